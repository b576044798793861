package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/ingest"
)

func newIndexRebuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Embed the catalogue anew, for another embedder",
		Long: `Embed the catalogue anew with the embedder that is configured, from the crops that it keeps. The new
catalogue is made beside the old one and takes its place at the end, at once; an interruption leaves the old
one as it is, and the same command again goes on. Photos without a crop hinder it: add their pictures again
later, and leave them out now.`,
		Args: cobra.NoArgs,
	}
	leaveOut := cmd.Flags().Bool("leave-out", false, "leave out the photos that cannot be embedded anew")
	force := cmd.Flags().Bool("force", false, "embed the catalogue anew though it holds the vectors of this embedder: what runs it makes others now")
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		quiet(cmd, c)
		return rebuildCatalogue(cmd.Context(), cmd.OutOrStdout(), c, *leaveOut, *force)
	})
}

func rebuildCatalogue(ctx context.Context, out io.Writer, c *config.Config, leaveOut, force bool) error {
	if c.Index.Store != config.StoreSQLite {
		return fmt.Errorf("a catalogue of index.store %s cannot be rebuilt in place", c.Index.Store)
	}
	path, err := filepath.EvalSymlinks(c.Index.Path)
	if err != nil {
		return explain(&index.Error{Kind: index.NotFound, Err: err}, c)
	}
	old, err := sqlite.Open(ctx, path, sqlite.Options{Log: newLogger(c)})
	if err != nil {
		return explain(err, c)
	}
	defer old.Close()
	without := *c
	without.Index.Store = config.StoreNone // the service would want the catalogue for itself
	return withService(ctx, &without, func(svc *service.Service) error {
		info, err := old.Info(ctx)
		if err != nil {
			return err
		}
		if info.Space == embedderSpace(svc) && !force {
			_, err := fmt.Fprintln(out, "the catalogue holds the vectors of this embedder already")
			return err
		}
		next, err := openNext(ctx, path+".rebuild", svc, force)
		if err != nil {
			return err
		}
		defer next.Close()
		return rebuildInto(ctx, out, c, svc, old, next, info.Photos, leaveOut)
	})
}

// openNext opens the catalogue that is made beside the old one, or what an interruption left of it. One
// that was begun for another embedder is of no use any more, nor is any where all is to be made afresh.
func openNext(ctx context.Context, path string, svc *service.Service, afresh bool) (*sqlite.Store, error) {
	options := sqlite.Options{Space: embedderSpace(svc)}
	if afresh {
		if err := sqlite.Remove(ctx, path); err != nil {
			return nil, err
		}
	}
	next, err := sqlite.Open(ctx, path, options)
	switch index.KindOf(err) {
	case index.OtherSpace, index.WrongDimension, index.Damaged:
		if err := sqlite.Remove(ctx, path); err != nil {
			return nil, err
		}
		return sqlite.Open(ctx, path, options)
	}
	return next, err
}

// embedderSpace is that of the embedder, which is ready.
func embedderSpace(svc *service.Service) (space index.Space) {
	for _, m := range svc.Models() {
		if m.Contract != nil && m.Contract.Task == modelrepo.TaskEmbedder {
			space = index.Space{Name: m.Contract.Space, Fingerprint: m.Contract.Fingerprint, Dimension: m.Contract.Dimensions}
		}
	}
	return space
}

func rebuildInto(ctx context.Context, out io.Writer, c *config.Config, svc *service.Service, old, next *sqlite.Store, photos int, leaveOut bool) error {
	tally := startTally(ctx, func(context.Context) int { return photos })
	_, err := ingest.Rebuild(ctx, next, old, svc, ingestOptions(c, tally))
	if failure := tally.finish(out, err); err != nil || failure != nil && !leaveOut {
		return fmt.Errorf("the catalogue is as it was: %w", failure)
	}
	if err := old.Replace(next); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the catalogue holds vectors of %s now\n", embedderSpace(svc))
	return err
}
