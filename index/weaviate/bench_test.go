package weaviate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

const benchPhotos = 100_000

var benchSpace = index.Space{Name: "bench", Fingerprint: "f", Dimension: 512}

// BenchmarkCatalogue measures a catalogue of 100,000 works of one photo each, on
// a server of one node that shares this machine. LEXICROP_BENCH_PHOTOS has it
// larger or smaller.
func BenchmarkCatalogue(b *testing.B) {
	photos := benchPhotos
	if text := os.Getenv("LEXICROP_BENCH_PHOTOS"); text != "" {
		var err error
		if photos, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	o := fresh(b)
	o.Space = benchSpace
	s := openTest(b, o)
	r := rand.New(rand.NewPCG(1, 2))
	const batch = 500
	start := time.Now()
	for i := 0; i < photos; i += batch {
		put(b, s, benchEntries(r, i, batch)...)
	}
	b.Logf("%d photos put by %d in %v", photos, batch, time.Since(start).Round(time.Millisecond))

	museum, _ := index.ParseFilter("metadata.museum=museum 7")
	modern, _ := index.ParseFilter("year>=1700")
	for _, c := range []struct {
		name   string
		filter index.Filter
	}{{"search", nil}, {"search a hundredth", museum}, {"search a half", modern}} {
		b.Run(c.name, func(b *testing.B) {
			bench(b, func() error {
				_, err := s.Search(b.Context(), index.Query{Space: benchSpace, Vector: benchVector(r), Limit: 10, Filter: c.filter})
				return err
			})
		})
	}
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("put %d", batch), func(b *testing.B) {
			crop := make([]byte, 20_000) // a JPEG of 320 pixels
			bench(b, func() error {
				entries := benchEntries(r, r.IntN(photos), batch)
				for i := range entries {
					entries[i].Photos[0].Crop = crop
				}
				return s.Upsert(b.Context(), benchSpace, entries...)
			})
		})
	}
	for _, limit := range []int{100, index.MaxPage} {
		b.Run(fmt.Sprintf("scan %d", limit), func(b *testing.B) {
			bench(b, func() error {
				_, err := s.Scan(b.Context(), index.ScanOptions{Limit: limit, Cursor: index.EncodeCursor(benchID(r.IntN(photos)))})
				return err
			})
		})
	}
	b.Run("get", func(b *testing.B) {
		bench(b, func() error {
			_, err := s.Get(b.Context(), benchID(r.IntN(photos)))
			return err
		})
	})
}

func bench(b *testing.B, f func() error) {
	var times []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	for name, v := range map[string]time.Duration{"ms-p50": times[len(times)/2], "ms-p99": times[len(times)*99/100]} {
		b.ReportMetric(float64(v.Nanoseconds())/1e6, name)
	}
}

func benchID(i int) string { return fmt.Sprintf("work-%06d", i) }

func benchEntries(r *rand.Rand, from, n int) []index.Entry {
	entries := make([]index.Entry, n)
	for i := range entries {
		id := benchID(from + i)
		entries[i] = index.Entry{
			Work: index.Work{ID: id, Title: "Title of " + id, Artist: "Artist", Year: 1400 + (from+i)%600,
				Metadata: index.Metadata{"museum": fmt.Sprint("museum ", (from+i)%100)}},
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
