package indextest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/index"
)

// testModel makes any calls in any order and compares every answer with the
// model's.
func testModel(t *testing.T, f *fixture) {
	s := f.store(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{f: f, t: t, store: s, model: model{}}
		defer func() { s = m.store }()
		if _, err := m.store.DeleteWhere(t.Context(), everything); err != nil {
			rt.Fatal(err)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"Upsert":      m.upsert,
			"DeleteWork":  m.deleteWork,
			"DeletePhoto": m.deletePhoto,
			"DeleteWhere": m.deleteWhere,
			"Get":         m.get,
			"FindHash":    m.findHash,
			"Search":      m.search,
			"Count":       m.count,
			"Scan":        m.scan,
		})
	})
}

// everything chooses all works, and is a filter nevertheless.
var everything = index.Filter{{Field: "id", Op: index.NotEqual, Values: []string{""}}}

type machine struct {
	f     *fixture
	t     *testing.T
	store index.Store
	model model
}

func drawWorkID(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "B", "é", "a b"}).Draw(t, "work")
}
func drawPhotoID(t *rapid.T) string {
	return rapid.SampledFrom([]string{"1", "2", "10"}).Draw(t, "photo")
}
func drawHash(t *rapid.T) string { return rapid.SampledFrom([]string{"", "h1", "h2"}).Draw(t, "hash") }

// drawVector draws few different directions, so that there are ties.
func drawVector(t *rapid.T) []float32 {
	values := rapid.SliceOfN(rapid.IntRange(-2, 2), space.Dimension, space.Dimension).
		Filter(func(v []int) bool { return slices.ContainsFunc(v, func(x int) bool { return x != 0 }) }).Draw(t, "vector")
	scale := rapid.SampledFrom([]float32{1, 0.1, 1e-20, 1e20}).Draw(t, "scale")
	v := make([]float32, len(values))
	for i, x := range values {
		v[i] = float32(x) * scale
	}
	return v
}

func drawEntry(t *rapid.T) index.Entry {
	e := index.Entry{Work: index.Work{
		ID:     drawWorkID(t),
		Title:  rapid.SampledFrom([]string{"", "Water Lilies", "夜"}).Draw(t, "title"),
		Artist: rapid.SampledFrom([]string{"", "Monet", "Manet"}).Draw(t, "artist"),
		Year:   rapid.SampledFrom([]int{0, -500, 1872, 1900}).Draw(t, "year"),
	}, KeepWork: rapid.Bool().Draw(t, "keep")}
	if rapid.Bool().Draw(t, "has metadata") {
		e.Work.Metadata = index.Metadata{
			"museum": rapid.SampledFrom([]any{"Orsay", 7, true, nil, []any{"Orsay", "Louvre"}, map[string]any{"x": 1.5}}).Draw(t, "museum"),
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "photos") {
		p := index.Photo{ID: drawPhotoID(t), Vector: drawVector(t), Hash: drawHash(t), Source: "file.jpg"}
		if rapid.Bool().Draw(t, "has crop") {
			p.Crop = rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "crop")
		}
		e.Photos = append(e.Photos, p)
	}
	return e
}

func drawFilter(t *rapid.T) index.Filter {
	texts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"artist=Monet", "artist=", "artist!=Manet", "title=夜", "year>=1800", "year<=1872", "year=0", "year!=1900|1872",
		"id=a|b", "id!=a b", "metadata.museum=Orsay", "metadata.museum!=Orsay", "metadata.museum=7|true", "metadata.none=",
	}), 0, 2).Draw(t, "filter")
	filter, err := index.ParseFilter(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return filter
}

func (m *machine) upsert(t *rapid.T) {
	entries := make([]index.Entry, rapid.IntRange(0, 3).Draw(t, "entries"))
	for i := range entries {
		entries[i] = drawEntry(t)
	}
	if err := m.store.Upsert(m.t.Context(), space, entries...); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		m.model.upsert(e)
	}
}

func (m *machine) deleteWork(t *rapid.T) {
	id := drawWorkID(t)
	err := m.store.DeleteWork(m.t.Context(), id)
	_, there := m.model[id]
	expectFound(t, there, err)
	delete(m.model, id)
}

func (m *machine) deletePhoto(t *rapid.T) {
	id, photo := drawWorkID(t), drawPhotoID(t)
	err := m.store.DeletePhoto(m.t.Context(), id, photo)
	w, there := m.model[id]
	if there {
		_, there = w.photos[photo]
		delete(w.photos, photo)
	}
	expectFound(t, there, err)
}

func (m *machine) deleteWhere(t *rapid.T) {
	filter := drawFilter(t)
	n, err := m.store.DeleteWhere(m.t.Context(), filter)
	if len(filter) == 0 {
		if index.KindOf(err) != index.Invalid {
			t.Fatalf("delete without a condition: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	chosen := m.model.chosen(filter)
	if n != len(chosen) {
		t.Fatalf("%d works deleted, want %q", n, chosen)
	}
	for _, id := range chosen {
		delete(m.model, id)
	}
}

func (m *machine) get(t *rapid.T) {
	id, photo := drawWorkID(t), drawPhotoID(t)
	got, err := m.store.Get(m.t.Context(), id)
	w, there := m.model[id]
	expectFound(t, there, err)
	if !there {
		return
	}
	if diff := cmp.Diff(m.model.entry(id, false), got); diff != "" {
		t.Fatalf("Get(%q) (-want +got):\n%s", id, diff)
	}
	gotPhoto, err := m.store.GetPhoto(m.t.Context(), id, photo)
	want, there := w.photos[photo]
	expectFound(t, there, err)
	if diff := cmp.Diff(want, gotPhoto); there && diff != "" {
		t.Fatalf("GetPhoto(%q, %q) (-want +got):\n%s", id, photo, diff)
	}
}

func (m *machine) findHash(t *rapid.T) {
	hash := drawHash(t)
	got, err := m.store.FindHash(m.t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	var want []index.PhotoRef
	for _, id := range slices.Sorted(maps.Keys(m.model)) {
		for _, p := range m.model.entry(id, false).Photos {
			if p.Hash == hash && hash != "" {
				want = append(want, index.PhotoRef{Work: id, Photo: p.ID})
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("FindHash(%q) (-want +got):\n%s", hash, diff)
	}
}

func (m *machine) count(t *rapid.T) {
	filter := drawFilter(t)
	got, err := m.store.Count(m.t.Context(), filter)
	if want := m.model.counts(filter); err != nil || got != want {
		t.Fatalf("Count(%v) = %v, %v, want %v", filter, got, err, want)
	}
}

func (m *machine) scan(t *rapid.T) {
	o := index.ScanOptions{Limit: rapid.IntRange(1, 6).Draw(t, "limit"), Filter: drawFilter(t), Crops: rapid.Bool().Draw(t, "crops")}
	var got, want []index.Entry
	for e, err := range index.All(m.t.Context(), m.store, o) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	for _, id := range m.model.chosen(o.Filter) {
		want = append(want, m.model.entry(id, o.Crops))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Scan(%+v) (-want +got):\n%s", o, diff)
	}
}

func (m *machine) search(t *rapid.T) {
	q := index.Query{
		Space:  space,
		Vector: drawVector(t),
		Limit:  rapid.IntRange(1, 6).Draw(t, "limit"),
		Photos: rapid.IntRange(1, 3).Draw(t, "photos"),
		Filter: drawFilter(t),
	}
	if rapid.Bool().Draw(t, "has threshold") {
		// Off the similarities that small whole numbers have.
		q.MinSimilarity = new(float32(rapid.IntRange(-9, 9).Draw(t, "threshold"))/10 + 0.0123)
	}
	got, err := m.store.Search(m.t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.model.checkMatches(q, got); err != nil {
		t.Fatalf("Search(%+v) = %+v: %v", q, got, err)
	}
}

// rounding is how far a similarity may be off, and how far apart two are that
// may come in either order.
const rounding = 1e-5

// checkMatches says what is wrong with the answer to a search.
func (m model) checkMatches(q index.Query, got []index.Match) error {
	floor := float32(-2)
	if q.MinSimilarity != nil {
		floor = *q.MinSimilarity
	}
	want := 0
	seen := map[string]bool{}
	for i, match := range got {
		id := match.Work.ID
		w, ok := m[id]
		switch {
		case !ok || seen[id] || !q.Filter.Match(&w.Work):
			return fmt.Errorf("work %q must not be there", id)
		case !cmp.Equal(w.Work, match.Work):
			return fmt.Errorf("work %q: %s", id, cmp.Diff(w.Work, match.Work))
		case i > 0 && (got[i-1].Similarity < match.Similarity || got[i-1].Similarity == match.Similarity && got[i-1].Work.ID > id):
			return fmt.Errorf("work %q is out of order", id)
		case len(match.Photos) == 0 || match.Photos[0].Similarity != match.Similarity:
			return fmt.Errorf("work %q: its similarity is not that of its best photo", id)
		}
		seen[id] = true
		if err := m.checkPhotos(q, match, floor); err != nil {
			return fmt.Errorf("work %q: %w", id, err)
		}
	}
	for _, id := range m.chosen(q.Filter) {
		similarity := m.similarity(id, q.Vector)
		if len(m[id].photos) == 0 || similarity < float64(floor) {
			continue
		}
		want++
		if !seen[id] && len(got) > 0 && len(got) == q.Limit && similarity > float64(got[len(got)-1].Similarity)+rounding {
			return fmt.Errorf("work %q of similarity %v is missing", id, similarity)
		}
	}
	if want = min(want, q.Limit); len(got) != want {
		return fmt.Errorf("%d works, want %d", len(got), want)
	}
	return nil
}

func (m model) checkPhotos(q index.Query, match index.Match, floor float32) error {
	w := m[match.Work.ID]
	var last *index.PhotoMatch
	seen := map[string]bool{}
	for _, got := range match.Photos {
		p, ok := w.photos[got.ID]
		similarity := cosine(p.Vector, q.Vector)
		switch {
		case !ok || seen[got.ID]:
			return fmt.Errorf("photo %q must not be there", got.ID)
		case got.Hash != p.Hash || got.Source != p.Source:
			return fmt.Errorf("photo %q: %+v, want hash and source of %+v", got.ID, got, p)
		case max(similarity-float64(got.Similarity), float64(got.Similarity)-similarity) > rounding:
			return fmt.Errorf("photo %q: similarity %v, want %v", got.ID, got.Similarity, similarity)
		case last != nil && (last.Similarity < got.Similarity || last.Similarity == got.Similarity && last.ID > got.ID):
			return fmt.Errorf("photo %q is out of order", got.ID)
		}
		seen[got.ID] = true
		last = &got
	}
	want := 0
	for id, p := range w.photos {
		similarity := cosine(p.Vector, q.Vector)
		if similarity < float64(floor) {
			continue
		}
		want++
		if !seen[id] && similarity > float64(last.Similarity)+rounding {
			return fmt.Errorf("photo %q of similarity %v is missing", id, similarity)
		}
	}
	if want = min(want, q.Photos); len(match.Photos) != want {
		return fmt.Errorf("%d photos, want %d", len(match.Photos), want)
	}
	return nil
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func expectFound(t fataler, there bool, err error) {
	t.Helper()
	if there && err != nil || !there && index.KindOf(err) != index.NotFound {
		t.Fatalf("there: %t, error: %v", there, err)
	}
}
