package exact

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/index"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKernelsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim := align * rapid.IntRange(1, 20).Draw(t, "dim")
		rows := rapid.IntRange(0, 5).Draw(t, "rows")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		extreme := rapid.Bool().Draw(t, "extreme")
		most := int(maxQueryCode(dim))
		codes, query := make([]int8, rows*dim), make([]int16, dim)
		for i := range codes {
			if codes[i] = int8(r.IntN(2*maxCode+1) - maxCode); extreme {
				codes[i] = maxCode
			}
		}
		for i := range query {
			if query[i] = int16(r.IntN(2*most+1) - most); extreme {
				query[i] = int16(most)
			}
		}
		got, want := make([]int32, rows), make([]int32, rows)
		dotRows(got, codes, query)
		dotRowsGo(want, codes, query)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-Go +best):\n%s", diff)
		}
	})
}

// TestNoDotProductOverflows takes the longest vectors with the largest codes.
func TestNoDotProductOverflows(t *testing.T) {
	for _, dim := range []int{align, 512, 4096, 4128, 8192, index.MaxDimension} {
		codes, query := make([]int8, dim), make([]int16, dim)
		for i := range codes {
			codes[i], query[i] = -maxCode, int16(maxQueryCode(dim))
		}
		got := make([]int32, 1)
		dotRows(got, codes, query)
		if want := -int64(dim) * maxCode * int64(maxQueryCode(dim)); int64(got[0]) != want {
			t.Errorf("dimension %d: %d, want %d", dim, got[0], want)
		}
	}
}

// TestBoundHolds compares what the codes say with the cosine in float64: the
// search misses nothing because the difference never exceeds the bound.
func TestBoundHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.IntRange(1, 600).Draw(t, "dim")
		u, q := drawVector(t, dim), drawVector(t, dim)
		row, codes := make([]int8, stride(dim)), make([]int16, stride(dim))
		scale, missed := quantise(row, u, norm(u))
		queryScale, queryMissed := quantiseQuery(codes, q)
		dots := make([]int32, 1)
		dotRows(dots, row, codes)
		about := float32(dots[0]) * queryScale * scale
		off := missed + queryMissed*(1+missed) + slack
		cosine := dot(u, q) / (norm(u) * norm(q))
		if math.Abs(float64(about)-cosine) > float64(off) {
			t.Fatalf("about %v, cosine %v, bound %v", about, cosine, off)
		}
		if off > 0.6 {
			t.Fatalf("a bound of %v says nothing", off)
		}
	})
}

// drawVector draws vectors of all shapes: dense, with few large values, nearly
// constant, of extreme lengths.
func drawVector(t *rapid.T, dim int) []float32 {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	shape := rapid.SampledFrom([]string{"normal", "spikes", "constant", "tail", "bits"}).Draw(t, "shape")
	scale := rapid.SampledFrom([]float64{1, 1e-30, 1e30}).Draw(t, "scale")
	v := make([]float32, dim)
	for i := range v {
		x := r.NormFloat64()
		switch shape {
		case "spikes":
			x = math.Pow(x, 9)
		case "constant":
			x = 1 + x/1000
		case "tail":
			if i > 0 {
				x = 0.0039 // half a code beside the first value
			} else {
				x = 1
			}
		case "bits":
			x = math.Copysign(1, x)
		}
		v[i] = float32(x * scale)
	}
	if norm(v) == 0 {
		v[0] = float32(scale)
	}
	return v
}

// brute is the search in the plainest way. Photo is the same as in matches.
func brute(entries []index.Entry, q index.Query) []index.Match {
	var all []index.Match
	for _, e := range entries {
		m := index.Match{Work: e.Work}
		for _, p := range e.Photos {
			s := float32(max(-1, min(1, dot(q.Vector, p.Vector)/(norm(q.Vector)*norm(p.Vector)))))
			if q.MinSimilarity == nil || s >= *q.MinSimilarity {
				m.Photos = append(m.Photos, index.PhotoMatch{ID: p.ID, Similarity: s})
			}
		}
		slices.SortStableFunc(m.Photos, func(a, b index.PhotoMatch) int { return -compare(a.Similarity, b.Similarity) })
		if len(m.Photos) > 0 && q.Filter.Match(&e.Work) {
			m.Similarity = m.Photos[0].Similarity
			m.Photos = m.Photos[:min(len(m.Photos), q.Photos)]
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b index.Match) int { return -compare(a.Similarity, b.Similarity) })
	return all[:min(len(all), q.Limit)]
}

func compare(a, b float32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// TestSearchIsExact wants the very answer of a search that compares all in full,
// bit by bit, for catalogues with clusters, ties and works of many photos.
func TestSearchIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.SampledFrom([]int{1, 2, 31, 32, 33, 100}).Draw(t, "dim")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		centres := make([][]float32, rapid.IntRange(1, 10).Draw(t, "centres"))
		for i := range centres {
			centres[i] = drawVector(t, dim)
		}
		spread := rapid.SampledFrom([]float64{0, 1e-7, 1e-3, 0.1, 2}).Draw(t, "spread")
		around := func() []float32 {
			centre := centres[r.IntN(len(centres))]
			v := slices.Clone(centre)
			length := norm(centre) / math.Sqrt(float64(dim))
			for i := range v {
				v[i] += float32(r.NormFloat64() * spread * length)
			}
			if norm(v) == 0 {
				return centre
			}
			return v
		}
		set := New(dim)
		entries := make([]index.Entry, rapid.IntRange(0, 300).Draw(t, "works"))
		c := set.Begin()
		for i := range entries {
			entries[i].Work = index.Work{ID: fmt.Sprintf("%03d", i), Year: 1 + i%3}
			c.PutWork(entries[i].Work)
			for j := range r.IntN(4) * r.IntN(4) {
				p := index.Photo{ID: fmt.Sprint(j), Vector: around()}
				entries[i].Photos = append(entries[i].Photos, p)
				c.PutPhoto(entries[i].Work.ID, &p)
			}
		}
		c.Publish()

		q := index.Query{Vector: around(), Limit: rapid.IntRange(1, 20).Draw(t, "limit"), Photos: rapid.IntRange(1, 3).Draw(t, "photos")}
		if rapid.Bool().Draw(t, "has filter") {
			q.Filter = index.Filter{{Field: "year", Op: index.NotEqual, Values: []string{"2"}}}
		}
		if rapid.Bool().Draw(t, "has threshold") {
			q.MinSimilarity = new(rapid.Float32Range(-1, 1).Draw(t, "threshold"))
		}
		got, err := set.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(brute(entries, q), got); diff != "" && len(got)+len(brute(entries, q)) > 0 {
			t.Fatalf("(-all in full +Search):\n%s", diff)
		}
	})
}

// TestRecall is TestSearchIsExact at the size of a catalogue, in parallel parts.
func TestRecall(t *testing.T) {
	const works, dim = 3 * parallelRows, 64
	r := rand.New(rand.NewPCG(1, 2))
	entries := make([]index.Entry, works)
	set := New(dim)
	c := set.Begin()
	for i := range entries {
		p := index.Photo{ID: "1", Vector: randomVector(r, dim)}
		entries[i] = index.Entry{Work: index.Work{ID: fmt.Sprintf("%06d", i)}, Photos: []index.Photo{p}}
		c.PutWork(entries[i].Work)
		c.PutPhoto(entries[i].Work.ID, &p)
	}
	c.Publish()
	for range 10 {
		q := index.Query{Vector: randomVector(r, dim), Limit: 100, Photos: 1}
		got, err := set.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(brute(entries, q), got); diff != "" {
			t.Fatalf("(-all in full +Search):\n%s", diff)
		}
	}
}

// TestSearchSeesWholeChanges searches while works are put and deleted by twos,
// which must come and go together.
func TestSearchSeesWholeChanges(t *testing.T) {
	set := New(2)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m, err := set.Search(t.Context(), index.Query{Vector: []float32{1, 0}, Limit: 1000, Photos: 1})
				if err != nil || len(m)%2 != 0 {
					t.Errorf("%d works, %v", len(m), err)
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 2))
	there := map[int]bool{}
	for range 2000 {
		i := r.IntN(100)
		c := set.Begin()
		for _, id := range []string{fmt.Sprint(i, "a"), fmt.Sprint(i, "b")} {
			if there[i] {
				c.DeleteWork(id)
			} else {
				c.PutWork(index.Work{ID: id})
				c.PutPhoto(id, &index.Photo{ID: "1", Vector: []float32{1, float32(i)}})
			}
		}
		c.Publish()
		there[i] = !there[i]
	}
	close(stop)
	group.Wait()
}

func TestSearchStopsWithItsContext(t *testing.T) {
	set := New(2)
	c := set.Begin()
	c.PutWork(index.Work{ID: "w"})
	c.PutPhoto("w", &index.Photo{ID: "1", Vector: []float32{1, 0}})
	c.Publish()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := set.Search(ctx, index.Query{Vector: []float32{1, 0}, Limit: 1, Photos: 1}); err == nil {
		t.Errorf("found %v", m)
	}
}
