package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// TestReplicas has several stores of one catalogue change the same works, in
// batches of any order: they must neither fail nor leave what one alone could
// not have left, and each sees what another acknowledged.
func TestReplicas(t *testing.T) {
	dsn := newDatabase(t)
	stores := make([]*Store, 3)
	for i := range stores {
		stores[i] = openTest(t, Options{DSN: dsn, Space: testSpace})
	}
	var group sync.WaitGroup
	for g := range 6 {
		mine, other := stores[g%3], stores[(g+1)%3]
		r := rand.New(rand.NewPCG(uint64(g), 1))
		group.Go(func() {
			for range 40 {
				if err := changeSomething(t.Context(), mine, r); err != nil {
					t.Error(err)
				}
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
	if r, err := stores[0].Verify(t.Context()); err != nil || len(r.Problems) > 0 || r.Works == 0 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
	for e, err := range index.All(t.Context(), stores[1], index.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		hashes := map[string]bool{}
		for _, p := range e.Photos {
			if hashes[p.Hash] {
				t.Errorf("work %q has two photos of %s", e.Work.ID, p.Hash)
			}
			hashes[p.Hash] = true
		}
	}
}

func changeSomething(ctx context.Context, s *Store, r *rand.Rand) error {
	ids := r.Perm(6)[:1+r.IntN(5)]
	switch r.IntN(6) {
	case 0:
		if err := s.DeleteWork(ctx, fmt.Sprint(ids[0])); index.KindOf(err) != index.NotFound {
			return err
		}
		return nil
	case 1:
		if err := s.DeletePhoto(ctx, fmt.Sprint(ids[0]), "1"); index.KindOf(err) != index.NotFound {
			return err
		}
		return nil
	case 2:
		_, err := s.DeleteWhere(ctx, index.Filter{{Field: "year", Op: index.Equal, Values: []string{fmt.Sprint(1 + ids[0])}}})
		return err
	}
	var entries []index.Entry
	for _, id := range ids {
		e := index.Entry{Work: index.Work{ID: fmt.Sprint(id), Year: 1 + r.IntN(6)}, KeepWork: r.IntN(2) == 0}
		for range 1 + r.IntN(3) {
			e.Photos = append(e.Photos, index.Photo{ID: fmt.Sprint(r.IntN(4)), Hash: fmt.Sprint("h", r.IntN(3)), Vector: []float32{1, r.Float32(), 0}})
		}
		entries = append(entries, e)
	}
	return s.Upsert(ctx, testSpace, entries...)
}

// TestSearchMissesNone compares searches of a catalogue with crowds, ties and
// lonely works with those of index/exact.
func TestSearchMissesNone(t *testing.T) {
	const dimension = 6
	space := index.Space{Name: "s", Fingerprint: "f", Dimension: dimension}
	s := openTest(t, Options{DSN: newDatabase(t), Space: space})
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
	vectors := map[index.PhotoRef][]float32{}
	var entries []index.Entry
	for i := range 150 {
		e := index.Entry{Work: index.Work{ID: fmt.Sprint("w", i), Year: 1 + i%7}}
		center := vector()
		for j := range 1 + 400/(i+1) {
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
	for range 150 {
		q := index.Query{Space: space, Vector: vector(), Limit: 1 + r.IntN(160), Photos: 1 + r.IntN(4)}
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
		if diff := cmp.Diff(similarities(want, got), similarities(got, want), cmp.AllowUnexported(found{}), cmpopts.EquateApprox(0, 2e-6)); err != nil || diff != "" {
			t.Fatalf("%+v: %v (-exact +got):\n%s", q, err, diff)
		}
		for _, m := range got {
			for _, p := range m.Photos {
				if s := cosine(q.Vector, vectors[index.PhotoRef{Work: m.Work.ID, Photo: p.ID}]); max(s-float64(p.Similarity), float64(p.Similarity)-s) > 2e-6 {
					t.Fatalf("%+v: photo %s of %s has a similarity of %v, not %v", q, p.ID, m.Work.ID, s, p.Similarity)
				}
			}
		}
	}
}

// found is what of an answer does not depend on which of two works, or photos,
// that are equal but for rounding comes first, or at all.
type found struct {
	best   []float32            // of each work, in order
	photos map[string][]float32 // of the works that both answers have
}

func similarities(matches, other []index.Match) found {
	f := found{photos: map[string][]float32{}}
	for _, m := range matches {
		f.best = append(f.best, m.Similarity)
		if !slices.ContainsFunc(other, func(o index.Match) bool { return o.Work.ID == m.Work.ID }) {
			continue
		}
		for _, p := range m.Photos {
			f.photos[m.Work.ID] = append(f.photos[m.Work.ID], p.Similarity)
		}
	}
	return f
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

// TestDimensions keeps the smallest and the largest vectors, on the page of
// their row and aside, with the longest texts.
func TestDimensions(t *testing.T) {
	dsn := newDatabase(t)
	for _, dimension := range []int{1, pageDimension, pageDimension + 1, MaxDimension} {
		space := index.Space{Name: "s", Fingerprint: "f", Dimension: dimension}
		s := openTest(t, Options{DSN: dsn, Schema: fmt.Sprint("d", dimension), Space: space})
		r := rand.New(rand.NewPCG(1, 2))
		text := func(n int) string {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(' ' + r.IntN(95))
			}
			return string(b)
		}
		e := index.Entry{Work: index.Work{ID: text(index.MaxIDBytes)}}
		for range 3 {
			p := index.Photo{ID: text(index.MaxIDBytes), Hash: text(index.MaxTextBytes), Source: text(index.MaxTextBytes), Vector: make([]float32, dimension)}
			for i := range p.Vector {
				p.Vector[i] = float32(r.NormFloat64())
			}
			e.Photos = append(e.Photos, p)
		}
		slices.SortFunc(e.Photos, func(a, b index.Photo) int { return strings.Compare(a.ID, b.ID) })
		put(t, s, e)
		if got, err := s.Get(t.Context(), e.Work.ID); err != nil || !cmp.Equal(e, got) {
			t.Errorf("dimension %d: %v: %s", dimension, err, cmp.Diff(e, got))
		}
		m, err := s.Search(t.Context(), index.Query{Space: space, Vector: e.Photos[0].Vector})
		if err != nil || len(m) != 1 || m[0].Similarity < 1-1e-6 || m[0].Photos[0].ID != e.Photos[0].ID && dimension > 1 {
			t.Errorf("dimension %d: %v, %v", dimension, m, err)
		}
	}
}

// TestPagesByBytes scans works whose photos fill a page before its limit does.
func TestPagesByBytes(t *testing.T) {
	s := openTest(t, Options{DSN: newDatabase(t), Space: testSpace})
	const n = 9
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

// TestTermsAgreeWithFilters compares what the database compares with what
// index.Filter says, for any metadata.
func TestTermsAgreeWithFilters(t *testing.T) {
	texts := rapid.SampledFrom([]string{"", "a", "b", "a|b", `\`, "=", "1", "1.0", "true", "null"})
	value := rapid.Deferred(func() *rapid.Generator[any] { return drawValue(texts) })
	rapid.Check(t, func(t *rapid.T) {
		work := index.Work{ID: "w", Title: texts.Draw(t, "title"), Artist: texts.Draw(t, "artist"), Link: texts.Draw(t, "link"),
			Metadata: rapid.MapOf(texts, value).Draw(t, "metadata")}
		entries, err := index.Prepare(testSpace, testSpace, []index.Entry{{Work: work}})
		if err != nil {
			t.Fatal(err)
		}
		work = entries[0].Work
		field := rapid.SampledFrom([]string{"title", "artist", "link", "metadata.a", "metadata.b", "metadata.a|b", `metadata.\`, "metadata.="}).Draw(t, "field")
		wanted := texts.Draw(t, "value")
		want := index.Filter{{Field: field, Op: index.Equal, Values: []string{wanted}}}.Match(&work)
		if got := slices.Contains(termsOf(&work), pgtype.UUID{Bytes: index.TermOf(field, wanted), Valid: true}); got != want {
			t.Fatalf("%+v: %s=%s: %t, want %t", work, field, wanted, got, want)
		}
	})
}

func drawValue(texts *rapid.Generator[string]) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return true
		case 2:
			return rapid.SampledFrom([]float64{1, 0.5, 1e300}).Draw(t, "number")
		case 3:
			return []any{drawValue(texts).Draw(t, "element"), texts.Draw(t, "text")}
		case 4:
			return map[string]any{texts.Draw(t, "key"): texts.Draw(t, "inner")}
		}
		return texts.Draw(t, "text")
	})
}

// TestDamage changes rows behind the store's back. All that is whole must still
// be found, the damage be listed by Verify and reported by what reads it, and
// another Upsert must repair it.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage string // SQL
		reads  bool   // whether reading the work shows it
	}{
		{"title", "UPDATE lexicrop.works SET title = 'x' WHERE id = 'b'", true},
		{"metadata", `UPDATE lexicrop.works SET metadata = '{"a": "c"}' WHERE id = 'b'`, true},
		{"metadata that is no object", "UPDATE lexicrop.works SET metadata = '[]' WHERE id = 'b'", true},
		{"terms", "UPDATE lexicrop.works SET terms = '{}' WHERE id = 'b'", false},
		{"vector", "UPDATE lexicrop.photos SET vector = '[1,0,0]' WHERE work = 'b'", true},
		{"length of a vector", "UPDATE lexicrop.photos SET vector = '[1]' WHERE work = 'b'", true},
		{"direction", "UPDATE lexicrop.photos SET direction = '[1,0,0]' WHERE work = 'b'", false},
		{"hash", "UPDATE lexicrop.photos SET hash = 'x' WHERE work = 'b'", true},
		{"sum", "UPDATE lexicrop.photos SET sum = 1 WHERE work = 'b'", true},
		{"crop", "UPDATE lexicrop.photos SET crop = 'x' WHERE work = 'b'", true},
		{"a lost crop", "UPDATE lexicrop.photos SET crop = NULL WHERE work = 'b'", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := newDatabase(t)
			s := openTest(t, Options{DSN: dsn, Space: testSpace})
			whole := testEntry("b", 0, 1, 0)
			put(t, s, testEntry("a", 1, 0, 0), whole, testEntry("c", 0, 0, 1))
			execute(t, dsn, c.damage)
			r, err := s.Verify(t.Context())
			if err != nil || len(r.Problems) != 1 || r.Problems[0].Work != "b" || r.Problems[0].What == "" {
				t.Fatalf("Verify: %+v, %v", r, err)
			}
			if got := foundIDs(t, s); strings.Join(got, " ") != "a b c" {
				t.Errorf("search finds %q", got)
			}
			_, err = s.Scan(t.Context(), index.ScanOptions{Crops: true})
			if got := index.KindOf(err) == index.Damaged && err != nil; got != c.reads {
				t.Errorf("Scan: %v", err)
			}

			put(t, s, whole)
			if r, err := s.Verify(t.Context()); err != nil || len(r.Problems) > 0 {
				t.Errorf("Verify after the repair: %+v, %v", r, err)
			}
			p, err := s.GetPhoto(t.Context(), "b", "1")
			if diff := cmp.Diff(whole.Photos[0], p); err != nil || diff != "" {
				t.Errorf("GetPhoto after the repair: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestFailedChangeLeavesNothing lets the second half of a batch fail in the
// database.
func TestFailedChangeLeavesNothing(t *testing.T) {
	dsn := newDatabase(t)
	s := openTest(t, Options{DSN: dsn, Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0))
	execute(t, dsn, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''disk on fire''; END'`,
		"CREATE TRIGGER fail BEFORE INSERT ON lexicrop.works FOR EACH ROW WHEN (new.id = 'z') EXECUTE FUNCTION fail()")
	err := s.Upsert(t.Context(), testSpace, testEntry("z", 0, 0, 1), testEntry("b", 0, 1, 0))
	if !errors.As(err, new(*index.Error)) || index.KindOf(err) != index.Internal || !strings.Contains(err.Error(), "disk on fire") || !strings.Contains(err.Error(), `"z"`) {
		t.Errorf("Upsert: %v", err)
	}
	if got := foundIDs(t, s); strings.Join(got, " ") != "a" {
		t.Errorf("search finds %q", got)
	}
	put(t, s, testEntry("b", 0, 1, 0)) // and the store goes on
}
