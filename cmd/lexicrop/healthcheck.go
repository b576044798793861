package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
)

// newHealthcheckCommand is for containers, whose image has no curl.
func newHealthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running service on this machine whether it is ready",
		Args:  cobra.NoArgs,
	}
	timeout := cmd.Flags().Duration("timeout", 3*time.Second, "how long to wait for the answer")
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return checkHealth(ctx, cmd.OutOrStdout(), c)
	})
}

func checkHealth(ctx context.Context, out io.Writer, c *config.Config) error {
	host, port, err := net.SplitHostPort(c.Admin.Address)
	if err != nil {
		return fmt.Errorf("admin.address %q: %w", c.Admin.Address, err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking whether the service is ready: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("asking whether the service is ready: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the service is not ready: %s", strings.TrimSpace(string(body)))
	}
	_, err = fmt.Fprintln(out, "ready")
	return err
}
