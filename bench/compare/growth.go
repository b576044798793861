package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/image/draw"

	"github.com/lexicam/lexicrop/bench"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// measureGrowth measures how latency grows with each of several things, the others held.
func measureGrowth(ctx context.Context, p plan, r *results) error {
	catalogue, err := growCatalogue(ctx, p)
	if err != nil {
		return err
	}
	r.Growth = []growth{catalogue}
	process, err := bench.Start(ctx, ours("LEXICROP_CROP_DETECTIONS=32"), logFolder)
	if err != nil {
		return err
	}
	defer process.Stop()
	for _, grow := range []func(context.Context, plan, *bench.Process) (growth, error){growPicture, growWorks, growClients} {
		g, err := grow(ctx, p, process)
		if err != nil {
			return err
		}
		r.Growth = append(r.Growth, g)
	}
	return nil
}

// vectorSize is the number of values of a vector.
const vectorSize = 512

// growCatalogue measures the exact search alone, by one caller. Vectors without structure are its
// hard case.
func growCatalogue(ctx context.Context, p plan) (growth, error) {
	g := growth{Of: "photos in the catalogue (search alone)", Unit: "photos"}
	r := rand.New(rand.NewPCG(1, 2))
	set, n := exact.New(vectorSize), 0
	for _, size := range p.growth {
		for n < size {
			change := set.Begin()
			for stop := min(size, n+10_000); n < stop; n++ {
				id := fmt.Sprintf("work-%07d", n)
				change.PutWork(index.Work{ID: id})
				change.PutPhoto(id, &index.Photo{ID: "1", Vector: randomVector(r)})
			}
			change.Publish()
		}
		runtime.GC()
		var took []time.Duration
		for start := time.Now(); time.Since(start) < p.each || len(took) < 20; {
			begin := time.Now()
			matches, err := set.Search(ctx, index.Query{Vector: randomVector(r), Limit: 10, Photos: 1})
			if err != nil || len(matches) != 10 {
				return g, errors.Join(err, fmt.Errorf("%d matches of 10", len(matches)))
			}
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		g.Points = append(g.Points, point{X: float64(size), P50: bench.Quantile(took, 0.5), P99: bench.Quantile(took, 0.99)})
		slog.Info("growth", "photos", size, "p50", bench.Quantile(took, 0.5))
	}
	return g, nil
}

func randomVector(r *rand.Rand) []float32 {
	v := make([]float32, vectorSize)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func growPicture(ctx context.Context, p plan, process *bench.Process) (growth, error) {
	g := growth{Of: "size of the photo (JPEG)", Unit: "megapixels"}
	scene, err := readScene()
	if err != nil {
		return g, err
	}
	for _, width := range []int{320, 640, 1280, 2000, 3024, 4500, 6000} {
		photo := closer(scene, width, width*4/3)
		file, err := encodeJPEG(photo, 90)
		if err != nil {
			return g, err
		}
		megapixels := float64(width) * float64(width*4/3) / 1e6
		if err := g.measure(ctx, p, process, file, megapixels, 1); err != nil {
			return g, err
		}
	}
	return g, nil
}

// growWorks hangs more and more paintings on a wall.
func growWorks(ctx context.Context, p plan, process *bench.Process) (growth, error) {
	g := growth{Of: "works in view (960x960 JPEG)", Unit: "works"}
	scene, err := readScene()
	if err != nil {
		return g, err
	}
	painting := closer(scene, 400, 533)
	for _, works := range []int{1, 2, 4, 6, 9} {
		wall := image.NewRGBA(image.Rect(0, 0, 960, 960))
		draw.Draw(wall, wall.Rect, image.NewUniform(color.RGBA{205, 200, 190, 255}), image.Point{}, draw.Src)
		columns := 1
		for columns*columns < works {
			columns++
		}
		cell := 960 / columns
		for i := range works {
			corner := image.Pt(i%columns*cell, i/columns*cell)
			frame := image.Rect(cell/8, cell/16, cell-cell/8, cell-cell/16).Add(corner)
			draw.ApproxBiLinear.Scale(wall, frame, painting, painting.Rect, draw.Src, nil)
		}
		file, err := encodeJPEG(wall, 90)
		if err != nil {
			return g, err
		}
		if err := g.measure(ctx, p, process, file, float64(works), 1); err != nil {
			return g, err
		}
	}
	return g, nil
}

func growClients(ctx context.Context, p plan, process *bench.Process) (growth, error) {
	g := growth{Of: "clients at once (320x480 JPEG)", Unit: "clients"}
	photos, err := pictures()
	if err != nil {
		return g, err
	}
	for _, clients := range []int{1, 2, 4, 8, 16, 32, 64} {
		if err := g.measure(ctx, p, process, photos[0].files[0], float64(clients), clients); err != nil {
			return g, err
		}
	}
	return g, nil
}

// measure adds a point.
func (g *growth) measure(ctx context.Context, p plan, process *bench.Process, file []byte, x float64, clients int) error {
	form, err := bench.Form("image", file)
	if err != nil {
		return err
	}
	if err := warm(ctx, process.Detect, []bench.Request{form}, p.each/5); err != nil {
		return err
	}
	m, err := bench.Measure(ctx, process.Detect, []bench.Request{form}, bench.Load{Clients: clients, Duration: p.each})
	if err != nil {
		return err
	}
	if m.Failures > 0 {
		return fmt.Errorf("%s %v: %d failures: %v", g.Of, x, m.Failures, m.Faults)
	}
	g.Points = append(g.Points, point{X: x, P50: m.Latencies.P50, P99: m.Latencies.P99, PerSecond: m.PerSecond()})
	slog.Info("growth", "of", g.Of, "x", x, "p50", m.Latencies.P50)
	return nil
}
