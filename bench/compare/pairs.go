package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lexicam/lexicrop/bench"
)

const (
	logFolder = "build/bench"
	manyLoad  = 4 // clients of a tuning measurement under load
)

// tuneOriginal tries the settings of the original service, so that it is measured at its best.
func tuneOriginal(ctx context.Context, p plan, r *results) error {
	requests, err := smallForms()
	if err != nil {
		return err
	}
	r.Tuning = nil
	for _, s := range originalSettings() {
		process, err := bench.Start(ctx, original(s), logFolder)
		if err != nil {
			return err
		}
		t, err := tune(ctx, process, s, requests, p.each)
		process.Stop()
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		slog.Info("original", "setting", t.Setting, "p50", t.One.Latencies.P50, "requests/s", t.Many.PerSecond())
		r.Tuning = append(r.Tuning, t)
	}
	return nil
}

func originalSettings() []originalSetting {
	var settings []originalSetting
	for _, workers := range []int{1, 2} {
		for _, threads := range []int{0, 1, 2} {
			for _, handler := range []string{"sync", "async"} {
				settings = append(settings, originalSetting{workers, threads, handler})
			}
		}
	}
	return settings
}

func tune(ctx context.Context, process *bench.Process, s originalSetting, requests []bench.Request, each time.Duration) (tuned, error) {
	t := tuned{Setting: s.String()}
	if err := warm(ctx, process.Detect, requests, each/2); err != nil {
		return t, err
	}
	var err error
	if t.One, err = bench.Measure(ctx, process.Detect, requests, bench.Load{Clients: 1, Duration: each}); err != nil {
		return t, err
	}
	t.Many, err = bench.Measure(ctx, process.Detect, requests, bench.Load{Clients: manyLoad, Duration: each})
	return t, err
}

// best is the setting of the original that answers most under load.
func (r *results) best() (originalSetting, error) {
	best, found := originalSetting{}, -1.0
	for i, s := range originalSettings() {
		if i < len(r.Tuning) && r.Tuning[i].Setting == s.String() && r.Tuning[i].Many.PerSecond() > found {
			best, found = s, r.Tuning[i].Many.PerSecond()
		}
	}
	if found < 0 {
		return best, fmt.Errorf("the original's settings were not measured yet: run the part tuning")
	}
	return best, nil
}

func measureColdStarts(ctx context.Context, p plan, r *results) error {
	best, err := r.best()
	if err != nil {
		return err
	}
	r.Cold = nil
	for _, system := range []bench.System{original(best), ours()} {
		c := cold{System: system.Name}
		for range p.cold {
			process, err := bench.Start(ctx, system, logFolder)
			if err != nil {
				return err
			}
			process.Stop()
			c.Took = append(c.Took, process.ColdStart)
		}
		r.Cold = append(r.Cold, c)
	}
	return nil
}

// measurePairs measures the two services in turns under every load.
func measurePairs(ctx context.Context, p plan, r *results) error {
	best, err := r.best()
	if err != nil {
		return err
	}
	photos, err := pictures()
	if err != nil {
		return err
	}
	theirs, err := bench.Start(ctx, original(best), logFolder)
	if err != nil {
		return err
	}
	defer theirs.Stop()
	own, err := bench.Start(ctx, ours(), logFolder)
	if err != nil {
		return err
	}
	defer own.Stop()
	r.Pairs = nil
	for _, photo := range photos {
		requests, err := photo.forms()
		if err != nil {
			return err
		}
		for _, process := range []*bench.Process{theirs, own} {
			if err := warm(ctx, process.Detect, requests, p.each/2); err != nil {
				return err
			}
		}
		for _, load := range loads(p.each) {
			one := pair{Picture: photo.name, Clients: load.Clients, PerSecond: load.PerSecond}
			for range p.rounds {
				for _, side := range []struct {
					process *bench.Process
					turns   *[]turn
				}{{theirs, &one.Original}, {own, &one.Ours}} {
					t, err := measure(ctx, side.process, side.process.Detect, requests, load)
					if err != nil {
						return err
					}
					*side.turns = append(*side.turns, t)
				}
			}
			theirP50, _, _ := middle(one.Original, p50)
			ourP50, _, _ := middle(one.Ours, p50)
			slog.Info("pair", "picture", photo.name, "clients", one.Clients, "rate", one.PerSecond, "original p50", theirP50, "lexicrop p50", ourP50)
			r.Pairs = append(r.Pairs, one)
		}
	}
	return nil
}

// loads are closed loops of several sizes, and one open loop that the original can bear.
func loads(each time.Duration) []bench.Load {
	var all []bench.Load
	for _, clients := range []int{1, 2, 4, 8, 32} {
		all = append(all, bench.Load{Clients: clients, Duration: each})
	}
	return append(all, bench.Load{Clients: 100, PerSecond: 10, Duration: each})
}

func smallForms() ([]bench.Request, error) {
	photos, err := pictures()
	if err != nil {
		return nil, err
	}
	return photos[0].forms()
}
