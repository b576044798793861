package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
)

func newIndexCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "index", Short: "Fill, check or move the catalogue of works that a search looks in"}
	cmd.AddCommand(newIndexAddCommand(), newIndexRebuildCommand(), newIndexVerifyCommand(),
		newIndexExportCommand(), newIndexImportCommand(), newIndexStatsCommand())
	return cmd
}

// quiet lets a person see results, unless they ask for more.
func quiet(cmd *cobra.Command, c *config.Config) {
	if !cmd.Flags().Changed("log-level") {
		c.Log.Level = slog.LevelWarn
	}
}

// withService has run called with a service whose models are ready.
func withService(ctx context.Context, c *config.Config, run func(*service.Service) error) (err error) {
	if c.Models.Embedder.Name == "" {
		return errors.New("no embedder is configured, which makes vectors of pictures: set models.embedder.name")
	}
	log := newLogger(c)
	backend, err := openBackend(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.close()) }()
	svc := newService(c, backend.client, prometheus.NewRegistry(), log)
	defer svc.Close()
	// A model that will never be ready is tried again and again: nobody waits for ever.
	waiting, cancel := context.WithTimeout(ctx, c.Triton.LoadTimeout)
	defer cancel()
	if err := svc.WaitReady(waiting); err != nil {
		return err
	}
	return run(svc)
}

// withCatalogue has run called with a service whose catalogue is open, too, and holds vectors of its
// embedder.
func withCatalogue(ctx context.Context, c *config.Config, run func(*service.Service, index.Store) error) error {
	return withService(ctx, c, func(svc *service.Service) error {
		store, err := svc.WaitCatalogue(ctx)
		if err != nil {
			return explain(err, c)
		}
		if status, _ := svc.CatalogueStatus(); !status.Ready {
			return errors.New(status.Reason)
		}
		return run(svc, store)
	})
}

// openStore opens the catalogue that is there, whatever its vectors. Nothing is inferred with it.
func openStore(ctx context.Context, c *config.Config) (index.Store, error) {
	open := storeOpener(c, newLogger(c))
	if open == nil {
		return nil, errors.New("no catalogue is configured: index.store is none")
	}
	store, err := open(ctx, index.Space{})
	return store, explain(err, c)
}

// explain says what to do about a catalogue that cannot be opened.
func explain(err error, c *config.Config) error {
	if err == nil {
		return nil
	}
	switch index.KindOf(err) {
	case index.Locked:
		return fmt.Errorf("%w\n(a `lexicrop serve` that runs has the catalogue to itself: use its API, or stop it first)", err)
	case index.NotFound:
		if c.Index.Store != config.StoreSQLite {
			return fmt.Errorf("%w: `lexicrop index add` makes one", err)
		}
		return fmt.Errorf("there is no catalogue in %s: `lexicrop index add` makes one", c.Index.Path)
	}
	return err
}
