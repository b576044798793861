package sqlite

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

const benchPhotos = 100_000

var benchSpace = index.Space{Name: "bench", Fingerprint: "f", Dimension: 512}

// BenchmarkCatalogue measures a catalogue of 100,000 works of one photo each.
// Vectors without any structure are the hard case for the search: the best are
// hardly better than the rest.
func BenchmarkCatalogue(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bench.db")
	r := benchRandom()
	fill(b, path, r)
	b.Run("open", func(b *testing.B) { benchOpen(b, path) })

	s, err := Open(b.Context(), path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("search", func(b *testing.B) { benchSearch(b, s, r) })
	b.Run("search on one core", func(b *testing.B) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		benchSearch(b, s, r)
	})
	b.Run("recall", func(b *testing.B) { benchRecall(b, s) })
	b.Run("search while one writes", func(b *testing.B) {
		stop := writeAlong(b, s)
		benchSearch(b, s, r)
		b.ReportMetric(stop(), "puts/s")
	})
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("put %d", batch), func(b *testing.B) { benchPut(b, s, r, batch) })
	}
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(b.Context(), benchID(r.IntN(benchPhotos))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benchRandom makes what the catalogue is filled with, always the same.
func benchRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// fill makes the file, and reports how long a photo took.
func fill(b *testing.B, path string, r *rand.Rand) {
	s, err := Open(b.Context(), path, Options{Space: benchSpace})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const batch = 1000
	start := time.Now()
	for i := 0; i < benchPhotos; i += batch {
		if err := s.Upsert(b.Context(), benchSpace, benchEntries(r, i, batch)...); err != nil {
			b.Fatal(err)
		}
	}
	info, err := s.Info(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d photos put by %d in %v; the file has %d MB", benchPhotos, batch, time.Since(start).Round(time.Millisecond), info.Bytes>>20)
}

func benchID(i int) string { return fmt.Sprintf("work-%06d", i) }

func benchEntries(r *rand.Rand, from, n int) []index.Entry {
	entries := make([]index.Entry, n)
	for i := range entries {
		id := benchID(from + i)
		entries[i] = index.Entry{
			Work:   index.Work{ID: id, Title: "Title of " + id, Artist: "Artist", Year: 1400 + i%600, Metadata: index.Metadata{"museum": "Orsay"}},
			Photos: []index.Photo{{ID: "1", Vector: benchVector(r), Hash: fmt.Sprintf("%064x", from+i), Source: id + ".jpg"}},
		}
	}
	return entries
}

func benchVector(r *rand.Rand) []float32 {
	v := make([]float32, benchSpace.Dimension)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func benchOpen(b *testing.B, path string) {
	for b.Loop() {
		b.StopTimer()
		before := heap()
		b.StartTimer()
		s, err := Open(b.Context(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/(1<<20), "MB-in-memory")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func benchSearch(b *testing.B, s *Store, r *rand.Rand) {
	queries := make([][]float32, 64)
	for i := range queries {
		queries[i] = benchVector(r)
	}
	var times durations
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := s.Search(b.Context(), index.Query{Space: benchSpace, Vector: queries[len(times)%len(queries)], Limit: 10}); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	times.report(b)
}

// benchRecall holds the ten best of some searches against those of all vectors as
// they were, compared in float64: recall is the share that was found, 1 for all.
func benchRecall(b *testing.B, s *Store) {
	const limit = 10
	queries := make([][]float32, 16)
	best := make([][]float64, len(queries)) // the similarities, the largest last
	r := rand.New(rand.NewPCG(5, 6))
	for i := range queries {
		queries[i] = benchVector(r)
	}
	for all, n := benchRandom(), 0; n < benchPhotos; n++ {
		v := benchVector(all)
		for i, q := range queries {
			place, _ := slices.BinarySearch(best[i], cosine(q, v))
			if best[i] = slices.Insert(best[i], place, cosine(q, v)); len(best[i]) > limit {
				best[i] = best[i][1:]
			}
		}
	}
	found := 0
	for b.Loop() {
		found = 0
		for i, q := range queries {
			matches, err := s.Search(b.Context(), index.Query{Space: benchSpace, Vector: q, Limit: limit})
			if err != nil {
				b.Fatal(err)
			}
			for _, m := range matches {
				if float64(m.Similarity) > best[i][0]-1e-6 { // what float32 can tell apart
					found++
				}
			}
		}
	}
	recall := float64(found) / float64(limit*len(queries))
	b.ReportMetric(recall, "recall@10")
	if recall < 1 {
		b.Errorf("recall@10 is %v", recall)
	}
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

// writeAlong replaces photos, one after another, until stop is called, which
// returns how many a second.
func writeAlong(b *testing.B, s *Store) (stop func() float64) {
	ctx, cancel := context.WithCancel(b.Context())
	r := rand.New(rand.NewPCG(7, 8))
	start, n := time.Now(), 0
	var writer sync.WaitGroup
	writer.Go(func() {
		for ; ctx.Err() == nil; n++ {
			if err := s.Upsert(ctx, benchSpace, benchEntries(r, r.IntN(benchPhotos), 1)...); err != nil && ctx.Err() == nil {
				b.Error(err)
			}
		}
	})
	return func() float64 {
		cancel()
		writer.Wait()
		return float64(n) / time.Since(start).Seconds()
	}
}

func benchPut(b *testing.B, s *Store, r *rand.Rand, batch int) {
	crop := []byte(strings.Repeat("crop", 5000)) // a JPEG of 320 pixels takes about 20 KB
	var times durations
	for b.Loop() {
		entries := benchEntries(r, r.IntN(benchPhotos), batch)
		for i := range entries {
			entries[i].Photos[0].Crop = crop
		}
		start := time.Now()
		if err := s.Upsert(b.Context(), benchSpace, entries...); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	times.report(b)
}

type durations []time.Duration

func (d durations) report(b *testing.B) {
	slices.Sort(d)
	for name, v := range map[string]time.Duration{"ms-min": d[0], "ms-p50": d[len(d)/2], "ms-p99": d[len(d)*99/100]} {
		b.ReportMetric(float64(v.Nanoseconds())/1e6, name)
	}
}
