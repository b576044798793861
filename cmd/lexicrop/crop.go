package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

// cropFlags say what `lexicrop crop` leaves behind.
type cropFlags struct {
	out, draw string
	json      bool
	service.CropOptions
}

func newCropCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "crop PHOTO...",
		Short: "Find the artwork in photos, and crop it or draw its box",
		Example: `  lexicrop crop photo.jpg
  lexicrop crop photo.jpg --out work.jpg --draw seen.jpg
  lexicrop crop photos/*.jpg --out crops/ --json`,
		Args: cobra.MinimumNArgs(1),
	}
	var f cropFlags
	cmd.Flags().StringVarP(&f.out, "out", "o", "", "write the crop here (.jpg, .png or .webp); a folder for several photos")
	cmd.Flags().StringVarP(&f.draw, "draw", "d", "", "write the photo with its boxes here (.jpg or .png); a folder for several photos")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a photo")
	return withConfig(cmd, func(cmd *cobra.Command, photos []string, c *config.Config) error {
		f.CropOptions = service.CropOptions{Detections: c.Crop.Detections, MinScore: c.Crop.MinScore, Padding: c.Crop.Padding}
		if !cmd.Flags().Changed("log-level") {
			// A person looks at results here, not at the start of a server.
			c.Log.Level = slog.LevelWarn
		}
		return cropPhotos(cmd.Context(), cmd.OutOrStdout(), c, photos, f)
	})
}

// cropPhotos goes on after a photo that fails, and fails at the end.
func cropPhotos(ctx context.Context, out io.Writer, c *config.Config, photos []string, f cropFlags) (err error) {
	targets, err := planTargets(photos, f)
	if err != nil {
		return err
	}
	c.Models.Embedder = config.EmbedderModel{} // no one asks it here
	log := newLogger(c)
	backend, err := openBackend(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.close()) }()
	svc := newService(c, backend.client, prometheus.NewRegistry(), log)
	defer svc.Close()
	if err := svc.WaitReady(ctx); err != nil {
		return err
	}
	report := newReport(out, f.json)
	failed := 0
	for _, t := range targets {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		crop, err := cropPhoto(ctx, svc, c, t, f.CropOptions)
		if err != nil {
			failed++
		}
		report.photo(t.photo, crop, err)
	}
	if err := report.close(); err != nil {
		return fmt.Errorf("printing the results: %w", err)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d photos failed", failed, len(targets))
	}
	return nil
}

// target is a photo and the files to make of it; an empty name means none.
type target struct{ photo, crop, drawing string }

// planTargets finds out before any work whether everything has a place of its own.
func planTargets(photos []string, f cropFlags) ([]target, error) {
	targets := make([]target, len(photos))
	taken := map[string]string{}
	for i, photo := range photos {
		targets[i] = target{photo: photo}
		for _, place := range []struct {
			option, given string
			name          *string
			extensions    []string
		}{
			{"--out", f.out, &targets[i].crop, []string{".jpg", ".jpeg", ".png", ".webp"}},
			{"--draw", f.draw, &targets[i].drawing, []string{".jpg", ".jpeg", ".png"}},
		} {
			if place.given == "" {
				continue
			}
			name, err := targetFile(place.given, photo, len(photos) > 1)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", place.option, place.given, err)
			}
			if !slices.Contains(place.extensions, strings.ToLower(filepath.Ext(name))) {
				return nil, fmt.Errorf("%s %s: the name must end in one of %s", place.option, name, strings.Join(place.extensions, ", "))
			}
			if filepath.Clean(name) == filepath.Clean(photo) {
				return nil, fmt.Errorf("%s %s: would be written over the photo itself", place.option, name)
			}
			if other, ok := taken[name]; ok {
				return nil, fmt.Errorf("%s %s: would be written for %s and for %s", place.option, name, other, photo)
			}
			taken[name] = photo
			*place.name = name
		}
	}
	return targets, nil
}

// targetFile is the file for photo: given itself, or one in the folder given.
func targetFile(given, photo string, several bool) (string, error) {
	info, err := os.Stat(given)
	isFolder := err == nil && info.IsDir()
	if !isFolder && strings.HasSuffix(given, string(filepath.Separator)) {
		if err := os.MkdirAll(given, 0o755); err != nil {
			return "", fmt.Errorf("making the folder: %w", err)
		}
		isFolder = true
	}
	if isFolder {
		base := filepath.Base(photo)
		return filepath.Join(given, strings.TrimSuffix(base, filepath.Ext(base))+".jpg"), nil
	}
	if several {
		return "", errors.New("several photos need a folder (end its name with a slash to have it made)")
	}
	return given, nil
}

func cropPhoto(ctx context.Context, svc *service.Service, c *config.Config, t target, o service.CropOptions) (*service.Crop, error) {
	photo, err := os.ReadFile(t.photo)
	if err != nil {
		return nil, err
	}
	var crop *service.Crop
	var picture bytes.Buffer
	if t.crop == "" {
		crop, err = svc.Crop(ctx, photo, o)
	} else {
		crop, err = svc.CropImage(ctx, photo, o, &picture, formatOf(t.crop), c.Crop.JPEGQuality)
	}
	if err != nil {
		return nil, err
	}
	if t.drawing != "" {
		if err := drawBoxes(t.drawing, photo, crop, c); err != nil {
			return nil, err
		}
	}
	if t.crop == "" {
		return crop, nil
	}
	return crop, os.WriteFile(t.crop, picture.Bytes(), 0o644)
}

func formatOf(name string) string {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".png", ".webp":
		return ext[1:]
	default:
		return "jpeg"
	}
}
