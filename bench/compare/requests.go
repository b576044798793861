package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/lexicam/lexicrop/bench"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/modelrepo"
)

// catalogued is how many photos the catalogue has that is searched.
const catalogued = 10_000

// measureRequests measures what lexicrop can be asked for, each in turns with the others, by one
// lexicrop with an embedder and a catalogue.
func measureRequests(ctx context.Context, p plan, r *results) error {
	folder, err := os.MkdirTemp("", "lexicrop-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "catalogue.db")
	if err := fillCatalogue(ctx, file); err != nil {
		return err
	}
	process, err := bench.Start(ctx, ours("LEXICROP_MODELS_EMBEDDER_NAME=embedder", "LEXICROP_INDEX_STORE=sqlite", "LEXICROP_INDEX_PATH="+file), logFolder)
	if err != nil {
		return err
	}
	defer process.Stop()
	kinds, err := requestKinds()
	if err != nil {
		return err
	}
	server := strings.TrimSuffix(process.Detect, "/detect")
	r.Requests = nil
	for _, clients := range []int{1, manyLoad} {
		measured := make([]requestKind, len(kinds))
		for range p.rounds {
			for i, k := range kinds {
				requests := []bench.Request{k.request}
				if err := warm(ctx, server+k.path, requests, p.each/5); err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
				t, err := measure(ctx, process, server+k.path, requests, bench.Load{Clients: clients, Duration: p.each})
				if err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
				measured[i].Name, measured[i].Clients = k.name, clients
				measured[i].Turns = append(measured[i].Turns, t)
				slog.Info("request", "of", k.name, "clients", clients, "p50", t.Latencies.P50, "requests/s", t.PerSecond())
			}
		}
		r.Requests = append(r.Requests, measured...)
	}
	return nil
}

type kind struct {
	name, path string
	request    bench.Request
}

func requestKinds() ([]kind, error) {
	photos, err := pictures()
	if err != nil {
		return nil, err
	}
	scene, err := readScene()
	if err != nil {
		return nil, err
	}
	crop, err := encodeJPEG(closer(scene, 224, 224), 40)
	if err != nil {
		return nil, err
	}
	small, large := bench.Raw(photos[0].files[0]), bench.Raw(photos[1].files[0])
	return []kind{
		{"box of the app's photo: /v1/crop", "/v1/crop", small},
		{"cropped picture of 12 megapixels: /v1/crop?output=image", "/v1/crop?output=image", large},
		{"vector of a crop of 224x224: /v1/embed?crop=false", "/v1/embed?crop=false", bench.Raw(crop)},
		{"whole search with the app's photo: /v1/search", "/v1/search", small},
		{"whole search with 12 megapixels: /v1/search", "/v1/search", large},
	}, nil
}

// fillCatalogue writes a catalogue of photos with random vectors in the space of the shipped embedder.
func fillCatalogue(ctx context.Context, file string) error {
	models, err := modelrepo.Open("modelrepo/models")
	if err != nil {
		return err
	}
	var space index.Space
	for _, m := range models {
		if m.Name == "embedder" {
			space = index.Space{Name: m.Contract.Space, Fingerprint: m.Contract.Fingerprint, Dimension: m.Contract.Dimensions}
		}
	}
	store, err := sqlite.Open(ctx, file, sqlite.Options{Space: space})
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2))
	const batch = 500
	for n := 0; n < catalogued; n += batch {
		entries := make([]index.Entry, batch)
		for i := range entries {
			vector := make([]float32, space.Dimension)
			for k := range vector {
				vector[k] = float32(r.NormFloat64())
			}
			entries[i] = index.Entry{
				Work:   index.Work{ID: fmt.Sprintf("work-%06d", n+i), Title: fmt.Sprintf("Work %d", n+i)},
				Photos: []index.Photo{{ID: "1", Vector: vector}},
			}
		}
		if err := store.Upsert(ctx, space, entries...); err != nil {
			return err
		}
	}
	return store.Close()
}
