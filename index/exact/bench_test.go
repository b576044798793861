package exact

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

const benchPhotos, benchDimension = 100_000, 512

// benchSet is a catalogue of 100,000 works of one photo. Vectors without any
// structure are the hard case: the best are hardly better than the rest.
var benchSet = sync.OnceValue(func() *Set {
	r := rand.New(rand.NewPCG(1, 2))
	set := New(benchDimension)
	c := set.Begin()
	for i := range benchPhotos {
		id := fmt.Sprintf("work-%06d", i)
		c.PutWork(index.Work{ID: id, Year: 1400 + i%600, Metadata: index.Metadata{"museum": fmt.Sprint(i % 100)}})
		c.PutPhoto(id, &index.Photo{ID: "1", Vector: randomVector(r, benchDimension)})
	}
	c.Publish()
	return set
})

func BenchmarkSearch(b *testing.B) {
	set := benchSet()
	r := rand.New(rand.NewPCG(3, 4))
	queries := make([][]float32, 64)
	for i := range queries {
		queries[i] = randomVector(r, benchDimension)
	}
	filter := func(text string) index.Filter {
		f, err := index.ParseFilter(text)
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		name  string
		query index.Query
	}{
		{"plain", index.Query{Limit: 10, Photos: 1}},
		{"limit=100", index.Query{Limit: 100, Photos: 1}},
		{"year", index.Query{Limit: 10, Photos: 1, Filter: filter("year=1888")}},
		{"museum", index.Query{Limit: 10, Photos: 1, Filter: filter("metadata.museum=17")}},
		{"id", index.Query{Limit: 10, Photos: 1, Filter: filter("id=work-017888")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			times := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			for b.Loop() {
				c.query.Vector = queries[len(times)%len(queries)]
				start := time.Now()
				if _, err := set.Search(b.Context(), c.query); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/p50")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms/p99")
			b.ReportMetric(float64(times[0].Microseconds())/1000, "ms/min")
		})
	}
}

func randomVector(r *rand.Rand, dimension int) []float32 {
	v := make([]float32, dimension)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func BenchmarkQuantise(b *testing.B) {
	v := randomVector(rand.New(rand.NewPCG(5, 6)), benchDimension)
	row := make([]int8, benchDimension)
	length := norm(v)
	for b.Loop() {
		quantise(row, v, length)
	}
}
