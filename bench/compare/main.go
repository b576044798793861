// Compare measures lexicrop beside the service that it replaces: both on this machine, in one run, in
// turns, so that whatever else the machine does strikes both. It writes RESULTS/compare.json, the
// charts beside it and docs/performance.md.
//
//	go run ./bench/compare               measure everything (about 20 minutes), then report
//	go run ./bench/compare -quick        a short run, to see that everything works
//	go run ./bench/compare -only floor   measure one part, keeping the others' results
//	go run ./bench/compare -report       report what was measured before
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// plan is how thoroughly to measure.
type plan struct {
	each   time.Duration // of one measurement
	rounds int           // turns of a pair
	cold   int           // cold starts of each
	growth []int         // sizes of catalogue
	folder string        // of the results
}

func run(ctx context.Context) error {
	quick := flag.Bool("quick", false, "a short run, to see that everything works")
	only := flag.String("only", "", "measure only this part: "+strings.Join(partNames(), ", "))
	each := flag.Duration("each", 5*time.Second, "how long one measurement takes")
	report := flag.Bool("report", false, "only report what was measured before")
	folder := flag.String("results", "bench/results", "where the results are")
	document := flag.String("document", "docs/performance.md", "the document to write, empty for none")
	flag.Parse()

	p := plan{each: *each, rounds: 3, cold: 3, growth: []int{1_000, 10_000, 100_000, 1_000_000}, folder: *folder}
	if *quick {
		p = plan{each: time.Second, rounds: 2, cold: 1, growth: []int{1_000, 10_000}, folder: *folder}
	}
	if *only != "" && !slices.Contains(partNames(), *only) {
		return fmt.Errorf("there is no part %q: there are %s", *only, strings.Join(partNames(), ", "))
	}
	file := filepath.Join(p.folder, "compare.json")
	r, err := readResults(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !*report {
		r.describeMachine(ctx)
		for _, part := range parts {
			if *only != "" && part.name != *only {
				continue
			}
			slog.Info("measuring", "part", part.name)
			if err := part.measure(ctx, p, r); err != nil {
				return fmt.Errorf("measuring %s: %w", part.name, err)
			}
			// After each part, so that a run that is broken off keeps what it has.
			if err := r.write(file); err != nil {
				return err
			}
		}
	}
	return writeReport(r, p.folder, *document)
}

// parts are measured in this order; a later one may need an earlier one's results.
var parts = []struct {
	name    string
	measure func(context.Context, plan, *results) error
}{
	{"tuning", tuneOriginal},
	{"cold", measureColdStarts},
	{"pairs", measurePairs},
	{"settings", measureSettings},
	{"requests", measureRequests},
	{"floor", measureFloor},
	{"profile", measureProfile},
	{"growth", measureGrowth},
}

func partNames() []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return names
}
