package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/postgres"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/index/weaviate"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/rest"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
)

// backend is the Triton to ask: a local one that belongs to this process, or one elsewhere.
type backend struct {
	client *triton.Client
	local  *local.Server
}

// openBackend starts a Triton on this machine unless the configuration names one elsewhere.
func openBackend(ctx context.Context, c *config.Config, log *slog.Logger) (*backend, error) {
	b := &backend{}
	options := triton.Options{Address: c.Triton.Address, Header: c.Triton.Headers}
	var err error
	if options.TLS, err = c.Triton.TLS.Client(); err != nil {
		return nil, err
	}
	if options.Address == "" {
		if b.local, err = startLocal(ctx, c, log); err != nil {
			return nil, err
		}
		options.Address, options.LoadConfig = b.local.Address(), b.local.LoadConfig
	}
	if b.client, err = triton.Dial(options); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func startLocal(ctx context.Context, c *config.Config, log *slog.Logger) (*local.Server, error) {
	l := c.Triton.Local
	models := []string{c.Models.Detector.Name}
	if name := c.Models.Embedder.Name; name != "" {
		models = append(models, name)
	}
	server, err := local.Start(ctx, local.Options{
		Install: l.Install, Repository: l.Repository, Models: models,
		Profile: l.Profile, Instances: l.Instances, Arguments: l.Arguments,
		Logger: log.With("from", "triton"),
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n(`make run` installs a local Triton; --triton-address names one elsewhere)", err)
	}
	return server, nil
}

// close ends the connection and a local Triton. It is not bound by the context that ended the
// process's work.
func (b *backend) close() error {
	var err error
	if b.client != nil {
		err = b.client.Close()
	}
	if b.local != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		b.local.Stop(ctx)
	}
	return err
}

// register shows how often a local Triton had to be started again.
func (b *backend) register(registry prometheus.Registerer) {
	if b.local == nil {
		return
	}
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "lexicrop_local_triton_restarts_total", Help: "How often the local Triton died and was started again.",
	}, func() float64 { return float64(b.local.Restarts()) }))
}

// newService has a catalogue where an embedder is configured.
func newService(c *config.Config, client *triton.Client, registry prometheus.Registerer, log *slog.Logger) *service.Service {
	options := rest.ServiceOptions(c)
	options.OpenStore = storeOpener(c, log)
	return service.New(options, client, registry, log)
}

// storeOpener opens the catalogue that is configured; nil where none is.
func storeOpener(c *config.Config, log *slog.Logger) service.OpenStore {
	switch c.Index.Store {
	case config.StoreSQLite:
		return func(ctx context.Context, space index.Space) (index.Store, error) {
			return sqlite.Open(ctx, c.Index.Path, sqlite.Options{Space: space, Log: log})
		}
	case config.StorePostgres:
		return func(ctx context.Context, space index.Space) (index.Store, error) {
			return postgres.Open(ctx, postgres.Options{DSN: string(c.Index.DSN), Space: space, Log: log})
		}
	case config.StoreWeaviate:
		return func(ctx context.Context, space index.Space) (index.Store, error) {
			return openWeaviate(ctx, c, space, log)
		}
	default:
		return nil
	}
}

func openWeaviate(ctx context.Context, c *config.Config, space index.Space, log *slog.Logger) (index.Store, error) {
	w := c.Index.Weaviate
	encryption, err := w.TLS()
	if err != nil {
		return nil, err
	}
	return weaviate.Open(ctx, weaviate.Options{
		URL: w.URL, APIKey: string(w.APIKey), Collection: w.Collection, Replicas: w.Replicas,
		TLS: encryption, Timeout: w.Timeout, Space: space, Log: log,
	})
}
