package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
)

// searchFlags say what `lexicrop search` does with what it finds.
type searchFlags struct {
	sheet string
	json  bool
	embed service.EmbedOptions
	service.SearchOptions
}

func newSearchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search PHOTO...",
		Short: "Find the works of the catalogue that photos show",
		Example: `  lexicrop search photo.jpg
  lexicrop search photos/*.jpg --sheet found.jpg   # each photo beside the works found for it`,
		Args: cobra.MinimumNArgs(1),
	}
	var f searchFlags
	var limit int
	var whole bool
	cmd.Flags().StringVarP(&f.sheet, "sheet", "s", "", "write a picture of the photos beside the works found here (.jpg or .png)")
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "how many works to find for each photo (default search.limit)")
	cmd.Flags().BoolVar(&whole, "whole", false, "search the photo as it is: it shows nothing but the work")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a photo")
	return withConfig(cmd, func(cmd *cobra.Command, photos []string, c *config.Config) error {
		quiet(cmd, c)
		f.embed = service.EmbedOptions{Crop: !whole, MinScore: c.Crop.MinScore, Padding: c.Crop.Padding}
		f.SearchOptions = service.SearchOptions{Limit: c.Search.Limit, Photos: c.Search.Photos}
		if limit != 0 {
			f.Limit = limit
		}
		if t := float32(c.Search.Threshold); t > -1 {
			f.Threshold = &t
		}
		return searchPhotos(cmd.Context(), cmd.OutOrStdout(), c, photos, f)
	})
}

// searchPhotos goes on after a photo that fails, and fails at the end.
func searchPhotos(ctx context.Context, out io.Writer, c *config.Config, photos []string, f searchFlags) error {
	var drawn *sheet
	if f.sheet != "" {
		if !slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(f.sheet))) {
			return fmt.Errorf("--sheet %s: the name must end in .jpg, .jpeg or .png", f.sheet)
		}
		var err error
		if drawn, err = newSheet(); err != nil {
			return err
		}
	}
	if _, err := os.Stat(c.Index.Path); c.Index.Store == config.StoreSQLite && errors.Is(err, fs.ErrNotExist) {
		return explain(&index.Error{Kind: index.NotFound, Err: err}, c)
	}
	return withCatalogue(ctx, c, func(svc *service.Service, store index.Store) error {
		report := newSearchReport(out, f.json)
		failed := 0
		for _, photo := range photos {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			search, err := searchPhoto(ctx, c, svc, store, photo, f, drawn)
			if err != nil {
				failed++
			}
			report.photo(photo, search, err)
		}
		err := report.close()
		if drawn != nil {
			err = errors.Join(err, drawn.save(f.sheet))
		}
		if err == nil && failed > 0 {
			err = fmt.Errorf("%d of %d photos failed", failed, len(photos))
		}
		return err
	})
}

func searchPhoto(ctx context.Context, c *config.Config, svc *service.Service, store index.Store, name string, f searchFlags, drawn *sheet) (*service.Search, error) {
	photo, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	search, err := svc.Search(ctx, photo, f.embed, f.SearchOptions)
	if err != nil || drawn == nil {
		return search, err
	}
	var works []found
	for _, m := range search.Matches[:min(len(search.Matches), sheetWorks)] {
		p, err := store.GetPhoto(ctx, m.Work.ID, m.Photos[0].ID)
		if err != nil {
			return nil, err
		}
		works = append(works, found{m, p.Crop})
	}
	return search, drawn.add(photo, search, works, c)
}
