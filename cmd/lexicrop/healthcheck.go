package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
)

// newHealthcheckCommand is for containers, whose image has no curl.
func newHealthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running service whether it is ready, or have it find the artwork in a photo",
		Example: `  lexicrop healthcheck
  lexicrop healthcheck --crop http://lexicrop.example`,
		Args: cobra.NoArgs,
	}
	timeout := cmd.Flags().Duration("timeout", 3*time.Second, "how long to wait for the answer")
	crop := cmd.Flags().String("crop", "", "URL of a service to send a photo to, in place of asking the one on this machine;\nshows the first of auth.keys")
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		if *crop != "" {
			return checkCrop(ctx, cmd.OutOrStdout(), c, *crop)
		}
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

// A wall with two paintings: docs/images/scene.jpg, smaller.
//
//go:embed healthcheck.jpg
var healthcheckPhoto []byte

// checkCrop has the service at url do its whole work once.
func checkCrop(ctx context.Context, out io.Writer, c *config.Config, url string) error {
	url = strings.TrimSuffix(url, "/") + "/v1/crop"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(healthcheckPhoto))
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	request.Header.Set("Content-Type", "image/jpeg")
	if len(c.Auth.Keys) > 0 {
		request.Header.Set("Authorization", "Bearer "+c.Auth.Keys[0])
	}
	start := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("sending a photo: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	var answer api.CropResult
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s answered what is no result: %w", url, err)
	}
	if len(answer.Detections) == 0 {
		return fmt.Errorf("%s found no artwork in a photo of a painting; its model is %s %s", url, answer.Model.Name, answer.Model.Version)
	}
	first := answer.Detections[0]
	_, err = fmt.Fprintf(out, "%s %s found a %s with score %.2f in %v\n",
		answer.Model.Name, answer.Model.Version, first.Label, first.Score, time.Since(start).Round(time.Millisecond))
	return err
}
