package sqlite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

var benchSpace = index.Space{Name: "bench", Fingerprint: "f", Dimension: 512}

// benchFile is a catalogue of 100,000 photos of as many works, without crops.
// It is made once for all benchmarks.
func benchFile(b *testing.B) string {
	path := filepath.Join(os.TempDir(), "lexicrop-bench-index.db")
	s, err := Open(b.Context(), path, Options{Space: benchSpace})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 2))
	const photos, batch = 100_000, 1000
	n, err := s.Count(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	if n.Photos >= photos {
		return path
	}
	start := time.Now()
	for i := 0; i < photos; i += batch {
		entries := make([]index.Entry, batch)
		for j := range entries {
			entries[j] = benchEntry(r, i+j)
		}
		if err := s.Upsert(b.Context(), benchSpace, entries...); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d photos in batches of %d: %v", photos, batch, time.Since(start))
	return path
}

func benchEntry(r *rand.Rand, i int) index.Entry {
	vector := make([]float32, benchSpace.Dimension)
	for k := range vector {
		vector[k] = float32(r.NormFloat64())
	}
	id := fmt.Sprintf("work-%06d", i)
	return index.Entry{
		Work:   index.Work{ID: id, Title: "Title of " + id, Artist: "Artist", Year: 1400 + i%600, Metadata: index.Metadata{"museum": "m"}},
		Photos: []index.Photo{{ID: "1", Vector: vector, Hash: fmt.Sprintf("%064x", i), Source: id + ".jpg"}},
	}
}

func BenchmarkOpen(b *testing.B) {
	path := benchFile(b)
	for b.Loop() {
		s, err := Open(b.Context(), path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

var _ = []any{context.Background, runtime.GC, slices.Sort[[]int], atomic.Int32{}}
