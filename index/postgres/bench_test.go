package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

const benchPhotos = 100_000

var benchSpace = index.Space{Name: "bench", Fingerprint: "f", Dimension: 512}

// BenchmarkCatalogue measures a catalogue of 100,000 works of one photo each, on
// a server that has PostgreSQL's own settings and shares this machine.
func BenchmarkCatalogue(b *testing.B) {
	dsn := newDatabase(b)
	s := openTest(b, Options{DSN: dsn, Space: benchSpace})
	r := rand.New(rand.NewPCG(1, 2))
	const batch = 1000
	start := time.Now()
	for i := 0; i < benchPhotos; i += batch {
		put(b, s, benchEntries(r, i, batch)...)
	}
	took := time.Since(start).Round(time.Millisecond)
	execute(b, dsn, "VACUUM ANALYZE") // which autovacuum does in a while
	info, err := s.Info(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d photos put by %d in %v; the tables have %d MB", benchPhotos, batch, took, info.Bytes>>20)

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
				entries := benchEntries(r, r.IntN(benchPhotos), batch)
				for i := range entries {
					entries[i].Photos[0].Crop = crop
				}
				return s.Upsert(b.Context(), benchSpace, entries...)
			})
		})
	}
	b.Run("get", func(b *testing.B) {
		bench(b, func() error {
			_, err := s.Get(b.Context(), benchID(r.IntN(benchPhotos)))
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
