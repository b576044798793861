package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/ingest"
)

func newIndexAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add FOLDER|TABLE...",
		Short: "Add pictures of works to the catalogue",
		Long: `Add pictures of works to the catalogue: all pictures of a folder, or those that a table names
(.csv, .tsv, or .ndjson with a JSON object a line).

In a folder every picture is a work, called as its file is: "Artist - Title (Year).jpg". A table works.csv in
the folder, or a NAME.json beside a picture, says more. The columns of a table are file (relative to it), id,
title, artist, year and link; all others become metadata of the work. Rows of one id are photos of one work.

Adding the same again adds what is new or was changed, so it goes on where it was interrupted. A picture that
cannot be read ends nothing; all of those are listed at the end.`,
		Example: `  lexicrop index add pictures/
  lexicrop index add works.csv`,
		Args: cobra.MinimumNArgs(1),
	}
	crop := cmd.Flags().Bool("crop", false, "the pictures are photos: find the work in each, and take that alone")
	return withConfig(cmd, func(cmd *cobra.Command, paths []string, c *config.Config) error {
		quiet(cmd, c)
		var embed service.EmbedOptions
		if *crop {
			embed = service.EmbedOptions{Crop: true, MinScore: c.Crop.MinScore, Padding: c.Crop.Padding}
		}
		return addPictures(cmd.Context(), cmd.OutOrStdout(), c, paths, embed)
	})
}

func addPictures(ctx context.Context, out io.Writer, c *config.Config, paths []string, embed service.EmbedOptions) error {
	var sources []ingest.Source
	for _, path := range paths {
		source, err := ingest.Open(path)
		if err != nil {
			return err
		}
		sources = append(sources, source)
	}
	source := ingest.Join(sources...)
	return withCatalogue(ctx, c, func(svc *service.Service, store index.Store) error {
		tally := startTally(ctx, func(ctx context.Context) int { return ingest.Count(ctx, source) })
		options := ingestOptions(c, tally)
		options.Embed = embed
		counts, err := ingest.Add(ctx, store, svc, source, options)
		if err = tally.finish(out, err); err == nil && counts.Total() == 0 {
			err = fmt.Errorf("there is no picture in %s", strings.Join(paths, ", "))
		}
		return err
	})
}

// ingestOptions keep all slots for decoding and inferring busy.
func ingestOptions(c *config.Config, t *tally) ingest.Options {
	cores := runtime.GOMAXPROCS(0)
	decode, infer := c.Admission.DecodeSlots, c.Admission.InferSlots
	if decode == 0 {
		decode = cores
	}
	if infer == 0 {
		infer = 2 * cores
	}
	return ingest.Options{
		Workers: decode + infer, MaxBytes: int64(c.Limits.MaxBodyBytes), Each: t.each,
		// A Triton that died is started again in seconds, one elsewhere perhaps in minutes.
		Patience: 2 * time.Minute,
	}
}

// tally shows the progress of an ingest and tells its result.
type tally struct {
	progress *progress
	began    time.Time
	counts   ingest.Counts
	failures []ingest.Outcome
	stop     context.CancelFunc // of the counting
	counted  chan struct{}
}

// listedFailures bounds what is kept and listed where everything is wrong.
const listedFailures = 1000

// startTally has what there is to do counted beside the work on it.
func startTally(ctx context.Context, count func(context.Context) int) *tally {
	ctx, stop := context.WithCancel(ctx)
	t := &tally{progress: newProgress(), began: time.Now(), stop: stop, counted: make(chan struct{})}
	go func() {
		defer close(t.counted)
		if n := count(ctx); ctx.Err() == nil {
			t.progress.total(n)
		}
	}()
	return t
}

func (t *tally) each(o ingest.Outcome) {
	t.counts[o.What]++
	if o.What == ingest.Failed && len(t.failures) < listedFailures {
		t.failures = append(t.failures, o)
	}
	t.progress.done(o.What == ingest.Failed)
}

// finish prints what became of everything. It returns an error if something failed; err is what ended
// the work before its end.
func (t *tally) finish(out io.Writer, err error) error {
	t.stop()
	<-t.counted
	t.progress.close()
	took := time.Since(t.began)
	n := t.counts
	_, printErr := fmt.Fprintf(out, "%d added, %d with new data, %d unchanged, %d failed (%s, %.0f a second)\n",
		n[ingest.Added], n[ingest.Updated], n[ingest.Unchanged], n[ingest.Failed], took.Round(100*time.Millisecond), float64(n.Total())/took.Seconds())
	for _, f := range t.failures {
		if printErr == nil {
			_, printErr = fmt.Fprintf(out, "  %s: %v\n", f.Where, f.Err)
		}
	}
	if more := n[ingest.Failed] - len(t.failures); more > 0 && printErr == nil {
		_, printErr = fmt.Fprintf(out, "  and %d more\n", more)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; what was added stays, and the same command again does the rest")
	case err != nil:
		return fmt.Errorf("it ended early: %w\n(what was added stays, and the same command again does the rest)", err)
	case printErr != nil:
		return printErr
	case n[ingest.Failed] > 0:
		return fmt.Errorf("%d of %d failed", n[ingest.Failed], n.Total())
	}
	return nil
}
