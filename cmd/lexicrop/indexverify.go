package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
)

func newIndexVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read the whole catalogue, and list what is damaged and which works look the same",
		Long: `Read the whole catalogue, and list what is damaged: adding those works again repairs them. Works whose
photos are nearly the same are listed, too: they may be one work under two ids, or a print and a copy.`,
		Args: cobra.NoArgs,
	}
	similarity := cmd.Flags().Float32("duplicates", config.SimilarWorks, "the similarity from which two works are listed; 0 looks for none")
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		quiet(cmd, c)
		return verifyCatalogue(cmd.Context(), cmd.OutOrStdout(), c, *similarity)
	})
}

func verifyCatalogue(ctx context.Context, out io.Writer, c *config.Config, similarity float32) (err error) {
	store, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	report, err := store.Verify(ctx)
	if err != nil {
		return err
	}
	for _, p := range report.Problems {
		if _, err := fmt.Fprintf(out, "damaged: %s\n", problem(p)); err != nil {
			return err
		}
	}
	duplicates := 0
	if similarity > 0 && len(report.Problems) == 0 { // a damaged catalogue cannot be read to its end
		if duplicates, err = listDuplicates(ctx, out, store, similarity); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%d works with %d photos were read, %d damages, %d pairs of works look the same\n",
		report.Works, report.Photos, len(report.Problems), duplicates)
	if err == nil && len(report.Problems) > 0 {
		err = fmt.Errorf("the catalogue is damaged in %d places; adding these works again repairs them", len(report.Problems))
	}
	return err
}

func problem(p index.Problem) string {
	switch {
	case p.Photo != "":
		return fmt.Sprintf("photo %s of work %s: %s", p.Photo, p.Work, p.What)
	case p.Work != "":
		return fmt.Sprintf("work %s: %s", p.Work, p.What)
	}
	return p.What
}

func listDuplicates(ctx context.Context, out io.Writer, store index.Store, similarity float32) (n int, err error) {
	for d, err := range index.NearDuplicates(ctx, store, similarity) {
		if err != nil {
			return n, err
		}
		n++
		if _, err := fmt.Fprintf(out, "the same? %.3f  %s (photo %s)  and  %s (photo %s)\n", d.Similarity, d.A.Work, d.A.Photo, d.B.Work, d.B.Photo); err != nil {
			return n, err
		}
	}
	return n, nil
}

func newIndexStatsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Tell what the catalogue holds",
		Args:  cobra.NoArgs,
	}
	return withConfig(cmd, func(cmd *cobra.Command, _ []string, c *config.Config) error {
		quiet(cmd, c)
		return printStats(cmd.Context(), cmd.OutOrStdout(), c)
	})
}

func printStats(ctx context.Context, out io.Writer, c *config.Config) (err error) {
	store, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	info, err := store.Info(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "works       %d\nphotos      %d\nspace       %s\nfingerprint %s\ndimension   %d\nkept by     %s\nbytes       %d\n",
		info.Works, info.Photos, info.Space.Name, info.Space.Fingerprint, info.Space.Dimension, info.Kind, info.Bytes)
	return err
}
