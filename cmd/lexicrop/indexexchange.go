package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/exchange"
)

func newIndexExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the whole catalogue as lines of JSON",
		Long: `Write the whole catalogue, vectors and crops included, as lines of JSON, a work each: to a file, which
appears when it is complete, or to the standard output. Importing it makes the same catalogue.`,
		Example: `  lexicrop index export catalogue.ndjson
  lexicrop index export | zstd > catalogue.ndjson.zst`,
		Args: cobra.MaximumNArgs(1),
	}
	noCrops := cmd.Flags().Bool("no-crops", false, "leave out the crops, which are most of it and without which nothing can be rebuilt")
	return withConfig(cmd, func(cmd *cobra.Command, args []string, c *config.Config) error {
		quiet(cmd, c)
		options := exchange.ExportOptions{Crops: !*noCrops}
		if len(args) == 0 || args[0] == "-" {
			_, err := exportCatalogue(cmd.Context(), cmd.OutOrStdout(), c, options)
			return err
		}
		return exportToFile(cmd.Context(), cmd.OutOrStdout(), c, args[0], options)
	})
}

func exportCatalogue(ctx context.Context, out io.Writer, c *config.Config, o exchange.ExportOptions) (n index.Counts, err error) {
	store, err := openStore(ctx, c)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return exchange.Export(ctx, store, out, o)
}

// exportToFile leaves what is there under the name until all is written.
func exportToFile(ctx context.Context, out io.Writer, c *config.Config, name string, o exchange.ExportOptions) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	n, err := exportCatalogue(ctx, file, c, o)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d works with %d photos are in %s\n", n.Works, n.Photos, name)
	return err
}

func newIndexImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Read works from an export, or from a table",
		Long: `Read works into the catalogue: lines of JSON that "index export" wrote (- for the standard input), or a
table (.csv) with what is known of works: id, title, artist, year, link; all other columns are metadata.
Pictures are added by "index add".`,
		Args: cobra.ExactArgs(1),
	}
	return withConfig(cmd, func(cmd *cobra.Command, args []string, c *config.Config) error {
		quiet(cmd, c)
		return importFile(cmd, c, args[0])
	})
}

func importFile(cmd *cobra.Command, c *config.Config, name string) error {
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	options := exchange.ImportOptions{Format: exchange.NDJSON, MaxLineBytes: int(c.Limits.MaxLineBytes)}
	if ext := strings.ToLower(filepath.Ext(name)); ext == ".csv" || ext == ".tsv" {
		options.Format = exchange.CSV
	}
	return withCatalogue(cmd.Context(), c, func(svc *service.Service, _ index.Store) error {
		p := newProgress()
		options.Progress = func(r exchange.Report) { p.set(r.Lines, r.Failed) }
		report, err := exchange.Import(cmd.Context(), svc, in, options)
		p.close()
		return printImport(cmd.OutOrStdout(), report, err)
	})
}

func printImport(out io.Writer, r *exchange.Report, err error) error {
	if _, err := fmt.Fprintf(out, "%d lines: %d works and %d photos imported, %d lines failed\n", r.Lines, r.Works, r.Photos, r.Failed); err != nil {
		return err
	}
	for _, e := range r.Errors {
		if _, err := fmt.Fprintf(out, "  line %d: %v\n", e.Line, e.Err); err != nil {
			return err
		}
	}
	if more := r.Failed - len(r.Errors); more > 0 {
		if _, err := fmt.Fprintf(out, "  and %d more\n", more); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("it ended early: %w\n(what was imported stays, and the same command again does the rest)", err)
	case r.Failed > 0:
		return fmt.Errorf("%d of %d lines failed", r.Failed, r.Lines)
	}
	return nil
}
