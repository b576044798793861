package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service/rest"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API, with a local Triton unless one elsewhere is configured",
		Args:  cobra.NoArgs,
	}
	cmd.Long = cmd.Short + `.

Other models are put in use while requests run when the section models of the configuration file
changes, or on SIGHUP, which also has the files of the models looked at again.`
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		return serve(cmd.Context(), c, config.Options{Flags: cmd.Flags()}, newLogger(c))
	})
}

// serve runs until ctx ends. c was loaded by o.
func serve(ctx context.Context, c *config.Config, o config.Options, log *slog.Logger) (err error) {
	// From the first moment on: the signal would end a process that does not expect it.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	defer signal.Stop(asked)
	// A port that is taken shows before a Triton is started for nothing.
	public, err := listen(ctx, "server.address", c.Server.Address)
	if err != nil {
		return err
	}
	admin, err := listen(ctx, "admin.address", c.Admin.Address)
	if err != nil {
		return errors.Join(err, public.Close())
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())

	backend, err := openBackend(ctx, c, log)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	defer func() { err = errors.Join(err, backend.close()) }()
	backend.register(registry)
	svc := newService(c, backend.client, registry, log)
	defer svc.Close()

	reloader := newReloader(c, svc, registry, log)
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { config.Watch(watching, c, o, asked, reloader.update) })
	defer watch.Wait()
	defer stop()

	log.Info("serving", "address", public.Addr().String(), "admin", admin.Addr().String(), "version", version())
	return rest.New(c, svc, registry, log).Serve(ctx, public, admin)
}

func listen(ctx context.Context, key, address string) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s %q: %w", key, address, err)
	}
	return listener, nil
}

func buildInfo() prometheus.Collector {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "lexicrop_build_info", Help: "1, with the version of the program.",
	}, []string{"version"})
	info.WithLabelValues(version()).Set(1)
	return info
}

// stopTimeout is how long a local Triton may take to end.
const stopTimeout = 10 * time.Second
