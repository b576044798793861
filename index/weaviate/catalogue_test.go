package weaviate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/weaviate/weaviate/entities/models"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// TestSearchMissesNone compares searches of a catalogue with crowds, ties and
// lonely works with those of index/exact.
func TestSearchMissesNone(t *testing.T) {
	const dimension = 6
	o := fresh(t)
	o.Space = index.Space{Name: "s", Fingerprint: "f", Dimension: dimension}
	s := openTest(t, o)
	r := rand.New(rand.NewPCG(3, 4))
	vector := func() []float32 {
		v := make([]float32, dimension)
		for i := range v {
			v[i] = float32(r.IntN(9)-4) + 0.5
		}
		return v
	}
	set := exact.New(dimension)
	memory := set.Begin()
	var entries []index.Entry
	vectors := map[index.PhotoRef][]float32{}
	for i := range 120 {
		e := index.Entry{Work: index.Work{ID: fmt.Sprint("w", i), Year: 1 + i%7}}
		center := vector()
		for j := range 1 + 300/(i+1) {
			v := vector()
			if i%2 == 0 {
				v = slices.Clone(center)
				v[j%dimension] += float32(j) / 1000
			}
			e.Photos = append(e.Photos, index.Photo{ID: fmt.Sprint("p", j), Vector: v, Source: "s"})
		}
		entries = append(entries, e)
		memory.PutWork(e.Work)
		for j := range e.Photos {
			memory.PutPhoto(e.Work.ID, &e.Photos[j])
			vectors[index.PhotoRef{Work: e.Work.ID, Photo: e.Photos[j].ID}] = e.Photos[j].Vector
		}
	}
	memory.Publish()
	put(t, s, entries...)
	for range 100 {
		q := index.Query{Space: o.Space, Vector: vector(), Limit: 1 + r.IntN(130), Photos: 1 + r.IntN(4)}
		if r.IntN(2) == 0 {
			q.Vector = entries[r.IntN(10)].Photos[0].Vector // amid a crowd
		}
		if r.IntN(2) == 0 {
			q.Filter = index.Filter{{Field: "year", Op: index.AtLeast, Values: []string{fmt.Sprint(r.IntN(8))}}}
		}
		if r.IntN(2) == 0 {
			q.MinSimilarity = new(r.Float32()*1.5 - 0.5)
		}
		want, err := set.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Search(t.Context(), q)
		if diff := gocmp.Diff(best(want), best(got), cmpopts.EquateApprox(0, 2e-6)); err != nil || diff != "" {
			t.Fatalf("%+v: %v (-exact +got):\n%s", q, err, diff)
		}
		for _, m := range got {
			for _, p := range m.Photos {
				if c := cosine(q.Vector, vectors[index.PhotoRef{Work: m.Work.ID, Photo: p.ID}]); math.Abs(c-float64(p.Similarity)) > 2e-6 {
					t.Fatalf("%+v: photo %s of %s has a similarity of %v, not %v", q, p.ID, m.Work.ID, c, p.Similarity)
				}
			}
		}
	}
}

// best are the similarities of works: which of two equal ones comes first may
// depend on rounding.
func best(matches []index.Match) []float32 {
	var s []float32
	for _, m := range matches {
		s = append(s, m.Similarity)
	}
	return s
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

// TestCrowd has more photos of one work, nearer than all others, than the server
// gives in one answer.
func TestCrowd(t *testing.T) {
	s := openTest(t, fresh(t))
	crowd := index.Entry{Work: index.Work{ID: "crowd"}}
	for i := range maxResults + 100 {
		crowd.Photos = append(crowd.Photos, index.Photo{ID: fmt.Sprintf("%05d", i), Hash: fmt.Sprint("h", i), Vector: []float32{1, float32(i) / 1e6, 0}})
	}
	put(t, s, testEntry("a", 1, 0.5, 0), testEntry("b", 1, 1, 0), testEntry("c", 0, 1, 0))
	for photos := range slices.Chunk(crowd.Photos, 2000) {
		put(t, s, index.Entry{Work: crowd.Work, Photos: photos, KeepWork: true})
	}
	matches, err := s.Search(t.Context(), index.Query{Space: testSpace, Vector: []float32{1, 0, 0}, Limit: 3, Photos: 2})
	var ids []string
	for _, m := range matches {
		ids = append(ids, m.Work.ID)
	}
	if got := strings.Join(ids, " "); err != nil || got != "crowd a b" || len(matches[0].Photos) != 2 {
		t.Errorf("Search: %q, %v", got, err)
	}
	e, err := s.Get(t.Context(), "crowd")
	if err != nil || !gocmp.Equal(e.Photos, crowd.Photos) {
		t.Errorf("Get: %d of %d photos, %v", len(e.Photos), len(crowd.Photos), err)
	}
	crowd.Work.Year = 1900 // reaches every photo
	put(t, s, index.Entry{Work: crowd.Work})
	year := index.Filter{{Field: "year", Op: index.Equal, Values: []string{"1900"}}}
	if n, err := s.Count(t.Context(), year); err != nil || n != (index.Counts{Works: 1, Photos: len(crowd.Photos)}) {
		t.Errorf("Count: %+v, %v", n, err)
	}
	if n, err := s.DeleteWhere(t.Context(), year); err != nil || n != 1 {
		t.Errorf("DeleteWhere: %d, %v", n, err)
	}
	if n, err := s.Count(t.Context(), nil); err != nil || n != (index.Counts{Works: 3, Photos: 3}) {
		t.Errorf("Count: %+v, %v", n, err)
	}
}

// TestReplicas has several stores of one catalogue at once, each with works of
// its own, and each sees what another acknowledged.
func TestReplicas(t *testing.T) {
	o := fresh(t)
	stores := []*Store{openTest(t, o), openTest(t, o), openTest(t, o)}
	var group sync.WaitGroup
	for g := range 6 {
		mine, other := stores[g%3], stores[(g+1)%3]
		r := rand.New(rand.NewPCG(uint64(g), 1))
		group.Go(func() {
			for range 30 {
				e := testEntry(fmt.Sprint("mine ", g), r.Float32(), 1, 1)
				if err := mine.Upsert(t.Context(), testSpace, e); err != nil {
					t.Error(err)
				}
				if p, err := other.GetPhoto(t.Context(), e.Work.ID, "1"); err != nil || !slices.Equal(p.Vector, e.Photos[0].Vector) {
					t.Errorf("another replica has not what was acknowledged: %v, %v", p, err)
				}
			}
		})
	}
	group.Wait()
	expectProblems(t, stores[0])
}

// TestPagesByBytes scans works whose photos fill a page before its limit does.
func TestPagesByBytes(t *testing.T) {
	s := openTest(t, fresh(t))
	const n = 7
	for i := range n {
		e := testEntry(fmt.Sprint(i), 1, 0, 0)
		e.Photos[0].Crop = make([]byte, pageBytes/3)
		put(t, s, e)
	}
	for _, c := range []struct{ crops, whole bool }{{true, false}, {false, true}} {
		works, pages := 0, 0
		for o := (index.ScanOptions{Crops: c.crops}); ; pages++ {
			page, err := s.Scan(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			works += len(page.Entries)
			if o.Cursor = page.Next; o.Cursor == "" {
				break
			}
		}
		if works != n || (pages == 0) != c.whole {
			t.Errorf("with crops %t: %d works on %d pages before the last", c.crops, works, pages)
		}
	}
}

// TestPagesOfOddIDs scans works whose ids begin with each other, and with much
// the same, by pages of any size.
func TestPagesOfOddIDs(t *testing.T) {
	s := openTest(t, fresh(t))
	r := rand.New(rand.NewPCG(5, 6))
	ids := map[string]bool{strings.Repeat("a", index.MaxIDBytes): true, "\U0010ffff": true, "!": true}
	for len(ids) < 300 {
		id := strings.Repeat("work ", r.IntN(3))
		for range 1 + r.IntN(4) {
			id += string([]rune("aAbé夜0")[r.IntN(6)])
		}
		ids[id] = true
	}
	want := slices.Sorted(maps.Keys(ids))
	var entries []index.Entry
	for i, id := range want {
		entries = append(entries, index.Entry{Work: index.Work{ID: id, Year: 1 + i%3}})
	}
	put(t, s, entries...)
	for _, limit := range []int{1, 7, 100, 299, 300, 301, 3, 50} {
		for year := range 4 {
			o, chosen := index.ScanOptions{Limit: limit}, want
			if year > 0 {
				o.Filter = index.Filter{{Field: "year", Op: index.Equal, Values: []string{fmt.Sprint(year)}}}
				chosen = nil
				for i := year - 1; i < len(want); i += 3 {
					chosen = append(chosen, want[i])
				}
			}
			var got []string
			for e, err := range index.All(t.Context(), s, o) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e.Work.ID)
			}
			if diff := gocmp.Diff(chosen, got); diff != "" {
				t.Fatalf("%+v (-want +got):\n%s", o, diff)
			}
		}
	}
}

// TestDamage changes objects behind the store's back: Verify tells what is
// wrong with which, and the same entry put again repairs it.
func TestDamage(t *testing.T) {
	type properties = map[string]any
	for _, c := range []struct {
		name  string
		edit  func(work, photo *models.Object)
		photo string // that Verify names
		says  string
	}{
		{"title", func(w, _ *models.Object) {
			w.Properties.(properties)["record"] = `{"id":"a","title":"another"}`
		}, "", "checksum"},
		{"no record", func(w, _ *models.Object) { w.Properties.(properties)["record"] = "" }, "", "checksum"},
		{"terms of a work", func(w, _ *models.Object) { w.Properties.(properties)["terms"] = []string{"x"} }, "", "another work"},
		{"terms of a photo", func(_, p *models.Object) { p.Properties.(properties)["terms"] = []string{"x"} }, "1", "another work"},
		{"year of a photo", func(_, p *models.Object) { p.Properties.(properties)["year"] = 7 }, "1", "another work"},
		{"embedding", func(_, p *models.Object) { p.Properties.(properties)["bits"] = bitsOf([]float32{0, 0, 1}) }, "1", "checksum"},
		{"embedding cut off", func(_, p *models.Object) { p.Properties.(properties)["bits"] = []byte{1, 2, 3} }, "1", "checksum"},
		{"crop", func(_, p *models.Object) { p.Properties.(properties)["crop"] = []byte("other") }, "1", "crop"},
		{"vector", func(_, p *models.Object) { p.Vector = []float32{0, 1, 0} }, "1", "another vector"},
		{"no vector", func(_, p *models.Object) { p.Vector = nil }, "1", "vector"},
		{"hash", func(_, p *models.Object) { p.Properties.(properties)["hash"] = "x" }, "1", "hash"},
		{"work in another's place", func(w, _ *models.Object) { w.Properties.(properties)["key"] = keyOf("b") }, "", "place of another"},
		{"photo without a work", func(w, _ *models.Object) { w.ID = "" }, "1", "no work"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t, fresh(t))
			e := testEntry("a", 1, 0, 0)
			put(t, s, e, testEntry("z", 0, 0, 1))
			work, err := s.client.workObject(&e.Work)
			if err != nil {
				t.Fatal(err)
			}
			photo, err := s.client.photoObject(&e.Work, &e.Photos[0])
			if err != nil {
				t.Fatal(err)
			}
			c.edit(work, photo)
			if work.ID == "" {
				err = s.removeObjects(t.Context(), []string{workUUID("a").String()})
			} else {
				err = s.client.put(t.Context(), []*models.Object{work, photo})
			}
			if err != nil {
				t.Fatal(err)
			}
			report, err := s.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			named := slices.ContainsFunc(report.Problems, func(p index.Problem) bool {
				return p.Work == "a" && p.Photo == c.photo && strings.Contains(p.What, c.says)
			})
			if !named || slices.ContainsFunc(report.Problems, func(p index.Problem) bool { return p.Work == "z" }) {
				t.Errorf("Verify: %+v", report)
			}
			put(t, s, e)
			expectProblems(t, s)
			if got, err := s.GetPhoto(t.Context(), "a", "1"); err != nil || !gocmp.Equal(got, e.Photos[0]) {
				t.Errorf("GetPhoto: %+v, %v", got, err)
			}
			m, err := s.Search(t.Context(), index.Query{Space: testSpace, Vector: []float32{1, 0, 0}})
			if err != nil || len(m) != 2 || m[0].Work.ID != "a" || m[0].Similarity != 1 {
				t.Errorf("Search: %+v, %v", m, err)
			}
		})
	}
}

// TestRemainsOfDeletions finds nothing of a work that lost its object alone, and
// nothing of it comes back with another of its name.
func TestRemainsOfDeletions(t *testing.T) {
	s := openTest(t, fresh(t))
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 1, 1, 0))
	if err := s.removeObjects(t.Context(), []string{workUUID("a").String()}); err != nil {
		t.Fatal(err)
	}
	m, err := s.Search(t.Context(), index.Query{Space: testSpace, Vector: []float32{1, 0, 0}, Limit: 1})
	if err != nil || len(m) != 1 || m[0].Work.ID != "b" {
		t.Errorf("Search: %+v, %v", m, err)
	}
	again := testEntry("a", 0, 0, 1)
	again.Photos[0].ID = "2"
	put(t, s, again)
	if e, err := s.Get(t.Context(), "a"); err != nil || len(e.Photos) != 1 || e.Photos[0].ID != "2" {
		t.Errorf("Get: %+v, %v", e, err)
	}
	expectProblems(t, s)
}

func expectProblems(t *testing.T, s *Store, want ...index.Problem) {
	t.Helper()
	r, err := s.Verify(t.Context())
	slices.SortFunc(r.Problems, func(a, b index.Problem) int { return cmp.Compare(a.What, b.What) })
	if diff := gocmp.Diff(want, r.Problems, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("Verify: %v (-want +got):\n%s", err, diff)
	}
}

// TestDimensions keeps the smallest and the largest vectors.
func TestDimensions(t *testing.T) {
	for _, dimension := range []int{1, 512, index.MaxDimension} {
		o := fresh(t)
		o.Space = index.Space{Name: "s", Fingerprint: "f", Dimension: dimension}
		s := openTest(t, o)
		r := rand.New(rand.NewPCG(1, 2))
		e := index.Entry{Work: index.Work{ID: "w"}}
		for i := range 3 {
			p := index.Photo{ID: fmt.Sprint(i), Vector: make([]float32, dimension)}
			for i := range p.Vector {
				p.Vector[i] = float32(r.NormFloat64())
			}
			e.Photos = append(e.Photos, p)
		}
		put(t, s, e)
		if got, err := s.Get(t.Context(), e.Work.ID); err != nil || !gocmp.Equal(e, got) {
			t.Errorf("dimension %d: %v: %s", dimension, err, gocmp.Diff(e, got))
		}
		m, err := s.Search(t.Context(), index.Query{Space: o.Space, Vector: e.Photos[1].Vector})
		if err != nil || len(m) != 1 || m[0].Similarity < 1-1e-6 || m[0].Photos[0].ID != "1" && dimension > 1 {
			t.Errorf("dimension %d: %v, %v", dimension, m, err)
		}
		expectProblems(t, s)
	}
}
