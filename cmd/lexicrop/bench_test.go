package main

import (
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/ingest"
)

// BenchmarkIndexAdd measures `lexicrop index add` on a folder of JPEGs of one megapixel, with a real
// local Triton that runs already.
func BenchmarkIndexAdd(b *testing.B) {
	c := config.Default()
	c.Triton.Address = servingTriton(b)
	folder := b.TempDir()
	const pictures = 200
	bytes := 0
	works := readPictures(b, "testdata/artworks")
	ids := sorted(works)
	for i := range pictures {
		jpeg := encodeJPEG(b, enlarged(works[ids[i%len(ids)]], uint64(i)), 90)
		bytes += len(jpeg)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.jpg", i)), jpeg, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d pictures of %d kB", pictures, bytes/pictures/1000)
	var rates []float64
	for b.Loop() {
		c.Index.Path = filepath.Join(b.TempDir(), "catalogue.db")
		err := withCatalogue(b.Context(), c, func(svc *service.Service, store index.Store) error {
			source, err := ingest.Open(folder)
			if err != nil {
				return err
			}
			options := ingestOptions(c, nil)
			options.Each = nil
			began := time.Now()
			counts, err := ingest.Add(b.Context(), store, svc, source, options)
			rates = append(rates, pictures/time.Since(began).Seconds())
			if counts[ingest.Added] != pictures {
				b.Errorf("of %d pictures %v were added, unchanged, and so on", pictures, counts)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(rates)
	b.ReportMetric(rates[len(rates)/2], "pictures/s")
}

// enlarged is a picture of one megapixel, with a grain as photos have it: what is smooth decodes faster.
func enlarged(picture image.Image, seed uint64) image.Image {
	large := image.NewRGBA(image.Rect(0, 0, 1154, 867))
	draw.CatmullRom.Scale(large, large.Bounds(), picture, picture.Bounds(), draw.Src, nil)
	r := rand.New(rand.NewPCG(seed, 3))
	for i := 0; i < len(large.Pix); i += 4 {
		grain := 4 * r.NormFloat64()
		for k := range 3 {
			large.Pix[i+k] = level(float64(large.Pix[i+k]) + grain)
		}
	}
	return large
}
