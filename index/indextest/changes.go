package indextest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/index"
)

func testEmpty(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	info, err := s.Info(ctx)
	if err != nil || info.Space != space || info.Counts != (index.Counts{}) || info.Kind == "" {
		t.Errorf("Info: %+v, %v", info, err)
	}
	if n, err := s.Count(ctx, nil); err != nil || n != (index.Counts{}) {
		t.Errorf("Count: %v, %v", n, err)
	}
	if m, err := s.Search(ctx, query(1, 0, 0, 0)); err != nil || len(m) != 0 {
		t.Errorf("Search: %v, %v", m, err)
	}
	if p, err := s.Scan(ctx, index.ScanOptions{}); err != nil || len(p.Entries) != 0 || p.Next != "" {
		t.Errorf("Scan: %v, %v", p, err)
	}
	if refs, err := s.FindHash(ctx, "h"); err != nil || len(refs) != 0 {
		t.Errorf("FindHash: %v, %v", refs, err)
	}
	if n, err := s.DeleteWhere(ctx, everything); err != nil || n != 0 {
		t.Errorf("DeleteWhere: %d, %v", n, err)
	}
	if err := s.Upsert(ctx, space); err != nil {
		t.Errorf("Upsert of nothing: %v", err)
	}
	_, err = s.Get(ctx, "none")
	expectFound(t, false, err)
	_, err = s.GetPhoto(ctx, "none", "1")
	expectFound(t, false, err)
	expectFound(t, false, s.DeleteWork(ctx, "none"))
	expectFound(t, false, s.DeletePhoto(ctx, "none", "1"))
	expectSound(t, s)
}

// full is an entry with something in every field.
func full() index.Entry {
	return index.Entry{
		Work: index.Work{
			ID: "Q12418/ä #1?%", Title: "Mona Lisa — «La Gioconda» 夜", Artist: "Leonardo da Vinci", Year: 1503, Link: "https://example.org/?a=b&c=d#e",
			Metadata: index.Metadata{
				"text": "öl auf \"Pappel\" <&>", "big": json.Number("9007199254740993"), "fraction": json.Number("0.10"), "flag": false, "none": nil,
				"list": []any{"a", json.Number("1"), true}, "object": map[string]any{"nested": map[string]any{"x": "y"}}, "": "no key",
			},
		},
		Photos: []index.Photo{
			{ID: "a", Vector: []float32{1, 0, math.SmallestNonzeroFloat32, -0.1}, Hash: strings.Repeat("0f", 32), Source: "folder/mona lisa.jpg", Crop: []byte{0xff, 0xd8, 0, 1}},
			{ID: "b", Vector: []float32{0, math.MaxFloat32, float32(math.Copysign(0, -1)), 3}},
		},
	}
}

func testRoundTrip(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	want := full()
	put(t, s, want)
	got, err := s.Get(ctx, want.Work.ID)
	if err != nil {
		t.Fatal(err)
	}
	withoutCrops := full()
	withoutCrops.Photos[0].Crop = nil
	if diff := cmp.Diff(withoutCrops, got, bits); diff != "" {
		t.Errorf("Get (-want +got):\n%s", diff)
	}
	for _, p := range want.Photos {
		got, err := s.GetPhoto(ctx, want.Work.ID, p.ID)
		if diff := cmp.Diff(p, got, bits); err != nil || diff != "" {
			t.Errorf("GetPhoto: %v (-want +got):\n%s", err, diff)
		}
	}
	page, err := s.Scan(ctx, index.ScanOptions{Crops: true})
	if diff := cmp.Diff([]index.Entry{want}, page.Entries, bits); err != nil || diff != "" {
		t.Errorf("Scan: %v (-want +got):\n%s", err, diff)
	}
	matches, err := s.Search(ctx, query(0, 1, 0, 0))
	if err != nil || len(matches) != 1 {
		t.Fatalf("Search: %v, %v", matches, err)
	}
	if diff := cmp.Diff(want.Work, matches[0].Work); diff != "" {
		t.Errorf("Search (-want +got):\n%s", diff)
	}
	// The store must not hold on to what the caller gave it.
	want.Photos[0].Vector[0], want.Photos[0].Crop[0] = 99, 99
	if got, err := s.GetPhoto(ctx, want.Work.ID, "a"); err != nil || !cmp.Equal(full().Photos[0], got, bits) {
		t.Errorf("after the caller changed its memory: %v, %v", got, err)
	}
	expectSound(t, s)
}

// testLargest puts the largest of everything, of text that does not compress.
func testLargest(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	r := rand.New(rand.NewPCG(1, 2))
	text := func(bytes int) string {
		b := make([]byte, bytes)
		for i := range b {
			b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[r.IntN(64)]
		}
		return string(b)
	}
	e := index.Entry{Work: index.Work{ID: text(index.MaxIDBytes), Title: text(index.MaxTextBytes), Artist: text(index.MaxTextBytes), Link: text(index.MaxTextBytes), Year: math.MinInt32,
		Metadata: index.Metadata{
			"long": text(index.MaxMetadataBytes / 4), text(index.MaxMetadataBytes / 4): "a long key",
			"many": slices.Repeat([]any{json.Number("1"), "a", false}, index.MaxMetadataBytes/4/12),
		}}}
	e.Photos = []index.Photo{{ID: text(index.MaxIDBytes), Hash: text(index.MaxTextBytes), Source: text(index.MaxTextBytes), Vector: []float32{1, 2, 3, 4}, Crop: []byte(text(index.MaxCropBytes))}}
	put(t, s, e)
	put(t, s, e)
	expectEntries(t, s, e)

	w, p := &e.Work, &e.Photos[0]
	q := query(p.Vector...)
	q.Filter = index.Filter{
		{Field: "id", Op: index.Equal, Values: []string{w.ID}},
		{Field: "title", Op: index.Equal, Values: []string{w.Title}},
		{Field: "artist", Op: index.Equal, Values: []string{w.Artist}},
		{Field: "link", Op: index.Equal, Values: []string{w.Link}},
		{Field: "metadata.long", Op: index.Equal, Values: []string{w.Metadata["long"].(string)}},
	}
	expectMatches(t, s, q, index.Match{Work: *w, Similarity: 1, Photos: []index.PhotoMatch{{ID: p.ID, Hash: p.Hash, Source: p.Source, Similarity: 1}}})
	refs, err := s.FindHash(ctx, p.Hash)
	if diff := cmp.Diff([]index.PhotoRef{{Work: w.ID, Photo: p.ID}}, refs); err != nil || diff != "" {
		t.Errorf("FindHash: %v (-want +got):\n%s", err, diff)
	}
	expectFound(t, true, s.DeletePhoto(ctx, w.ID, p.ID))
	expectFound(t, true, s.DeleteWork(ctx, w.ID))

	// cmp would take for ever.
	var deep any = "deep"
	for range 2000 {
		deep = []any{deep}
	}
	want := index.Work{ID: "deep", Metadata: index.Metadata{"deep": deep}}
	put(t, s, index.Entry{Work: want})
	if got, err := s.Get(ctx, "deep"); err != nil || !reflect.DeepEqual(got.Work, want) {
		t.Errorf("Get: %.100v, %v", got, err)
	}
	if n, err := s.Count(ctx, filter(t, "metadata.deep=deep")); err != nil || n.Works != 1 {
		t.Errorf("Count: %v, %v", n, err)
	}
	expectSound(t, s)
}

// testNoIDs asks for what no work and no photo can be called.
func testNoIDs(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	put(t, s, full())
	for _, id := range []string{"", "\x00", "a\x00", "\xff", "a\nb", strings.Repeat("x", index.MaxIDBytes+1), strings.Repeat("x", 1<<20)} {
		_, err := s.Get(ctx, id)
		expectFound(t, false, err)
		for _, ref := range []index.PhotoRef{{Work: id, Photo: "a"}, {Work: full().Work.ID, Photo: id}} {
			_, err = s.GetPhoto(ctx, ref.Work, ref.Photo)
			expectFound(t, false, err)
			expectFound(t, false, s.DeletePhoto(ctx, ref.Work, ref.Photo))
		}
		expectFound(t, false, s.DeleteWork(ctx, id))
		if refs, err := s.FindHash(ctx, id); err != nil || len(refs) != 0 {
			t.Errorf("FindHash(%q): %v, %v", id, refs, err)
		}
	}
	expectEntries(t, s, full())
}

// bits compares floats bit by bit: -0 is not 0.
var bits = cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })

func testIdempotent(t *testing.T, f *fixture) {
	s := f.store(t)
	for range 3 {
		put(t, s, full())
		expectEntries(t, s, full())
	}
	put(t, s, full(), full())
	expectEntries(t, s, full())
}

func testReplace(t *testing.T, f *fixture) {
	s := f.store(t)
	put(t, s, full())

	changed := full()
	changed.Work = index.Work{ID: full().Work.ID, Title: "another title"}
	put(t, s, index.Entry{Work: changed.Work})
	expectEntries(t, s, changed)

	changed.Photos[0] = index.Photo{ID: "a", Vector: []float32{0, 0, 0, 1}}
	put(t, s, index.Entry{Work: changed.Work, Photos: changed.Photos[:1]})
	expectEntries(t, s, changed)

	kept := index.Entry{KeepWork: true, Work: index.Work{ID: full().Work.ID, Title: "not this"}, Photos: []index.Photo{{ID: "c", Vector: []float32{1, 1, 1, 1}}}}
	put(t, s, kept)
	changed.Photos = append(changed.Photos, kept.Photos...)
	expectEntries(t, s, changed)

	// A work that is not there takes what KeepWork comes with; in one batch, the
	// second finds the first.
	fresh := index.Entry{KeepWork: true, Work: index.Work{ID: "new", Title: "first"}}
	again := fresh
	again.Work.Title = "second"
	put(t, s, fresh, again)
	fresh.KeepWork = false
	expectEntries(t, s, changed, fresh)
}

func testSameHash(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	photo := func(id, hash string) index.Photo {
		return index.Photo{ID: id, Hash: hash, Vector: []float32{1, 2, 3, 4}}
	}
	put(t, s, index.Entry{Work: index.Work{ID: "w"}, Photos: []index.Photo{photo("a", "h"), photo("b", "other"), photo("c", ""), photo("d", "")}})
	put(t, s, index.Entry{Work: index.Work{ID: "w"}, Photos: []index.Photo{photo("e", "h")}})
	put(t, s, index.Entry{Work: index.Work{ID: "v"}, Photos: []index.Photo{photo("a", "h")}})
	expectEntries(t, s,
		index.Entry{Work: index.Work{ID: "v"}, Photos: []index.Photo{photo("a", "h")}},
		index.Entry{Work: index.Work{ID: "w"}, Photos: []index.Photo{photo("b", "other"), photo("c", ""), photo("d", ""), photo("e", "h")}})

	refs, err := s.FindHash(ctx, "h")
	if diff := cmp.Diff([]index.PhotoRef{{Work: "v", Photo: "a"}, {Work: "w", Photo: "e"}}, refs); err != nil || diff != "" {
		t.Errorf("FindHash: %v (-want +got):\n%s", err, diff)
	}
	if refs, err := s.FindHash(ctx, ""); err != nil || len(refs) != 0 {
		t.Errorf("FindHash of nothing: %v, %v", refs, err)
	}
	// Within one entry, the last one counts.
	put(t, s, index.Entry{Work: index.Work{ID: "u"}, Photos: []index.Photo{photo("a", "h"), photo("b", "h")}})
	if e, err := s.Get(ctx, "u"); err != nil || len(e.Photos) != 1 || e.Photos[0].ID != "b" {
		t.Errorf("Get: %v, %v", e, err)
	}
	expectSound(t, s)
}

func testDelete(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	other := index.Entry{Work: index.Work{ID: "other"}, Photos: []index.Photo{{ID: "a", Vector: []float32{1, 0, 0, 0}}}}
	put(t, s, full(), other)
	id := full().Work.ID

	expectFound(t, true, s.DeletePhoto(ctx, id, "a"))
	expectFound(t, false, s.DeletePhoto(ctx, id, "a"))
	left := full()
	left.Photos = left.Photos[1:]
	expectEntries(t, s, other, left)

	expectFound(t, true, s.DeletePhoto(ctx, id, "b"))
	expectEntries(t, s, other, index.Entry{Work: full().Work})

	expectFound(t, true, s.DeleteWork(ctx, id))
	expectFound(t, false, s.DeleteWork(ctx, id))
	expectEntries(t, s, other)

	put(t, s, full())
	expectEntries(t, s, other, full())
}

func testDeleteWhere(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	a := index.Entry{Work: index.Work{ID: "a", Year: 1900}, Photos: []index.Photo{{ID: "1", Vector: []float32{1, 0, 0, 0}}}}
	b := index.Entry{Work: index.Work{ID: "b", Year: 1950}, Photos: []index.Photo{{ID: "1", Vector: []float32{1, 0, 0, 0}}}}
	c := index.Entry{Work: index.Work{ID: "c"}, Photos: []index.Photo{{ID: "1", Vector: []float32{1, 0, 0, 0}}}}
	put(t, s, a, b, c)
	if _, err := s.DeleteWhere(ctx, nil); index.KindOf(err) != index.Invalid {
		t.Errorf("without a condition: %v", err)
	}
	if n, err := s.DeleteWhere(ctx, filter(t, "year<=1900")); err != nil || n != 1 {
		t.Errorf("DeleteWhere: %d, %v", n, err)
	}
	expectEntries(t, s, b, c)
	if n, err := s.DeleteWhere(ctx, filter(t, "year<=1900")); err != nil || n != 0 {
		t.Errorf("DeleteWhere again: %d, %v", n, err)
	}
	expectEntries(t, s, b, c)
}

func testContext(t *testing.T, f *fixture) {
	s := f.store(t)
	put(t, s, full())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range callAll(ctx, s) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	expectEntries(t, s, full())
}

func testClosed(t *testing.T, f *fixture) {
	s, err := f.open(t, f.name, space)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	for name, err := range callAll(t.Context(), s) {
		if index.KindOf(err) != index.Closed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// callAll makes every call that can fail, and returns how.
func callAll(ctx context.Context, s index.Store) map[string]error {
	errs := map[string]error{}
	_, errs["Info"] = s.Info(ctx)
	errs["Upsert"] = s.Upsert(ctx, space, index.Entry{Work: index.Work{ID: "new"}})
	errs["DeleteWork"] = s.DeleteWork(ctx, full().Work.ID)
	errs["DeletePhoto"] = s.DeletePhoto(ctx, full().Work.ID, "a")
	_, errs["DeleteWhere"] = s.DeleteWhere(ctx, everything)
	_, errs["Get"] = s.Get(ctx, full().Work.ID)
	_, errs["GetPhoto"] = s.GetPhoto(ctx, full().Work.ID, "a")
	_, errs["FindHash"] = s.FindHash(ctx, "h")
	_, errs["Search"] = s.Search(ctx, query(1, 0, 0, 0))
	_, errs["Count"] = s.Count(ctx, nil)
	_, errs["Scan"] = s.Scan(ctx, index.ScanOptions{})
	_, errs["Verify"] = s.Verify(ctx)
	return errs
}

func testReopen(t *testing.T, f *fixture) {
	ctx := t.Context()
	other := index.Entry{Work: index.Work{ID: "other"}, Photos: []index.Photo{{ID: "a", Vector: []float32{0, 0, 1, 0}}}}
	s, err := f.open(t, f.name, space)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, full(), other)
	expectFound(t, true, s.DeletePhoto(ctx, full().Work.ID, "a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	for _, wrong := range []index.Space{
		{Name: "another space", Fingerprint: space.Fingerprint, Dimension: space.Dimension},
		{Name: space.Name, Fingerprint: "f1", Dimension: space.Dimension},
		{Name: space.Name, Fingerprint: space.Fingerprint, Dimension: space.Dimension + 1},
	} {
		s, err := f.open(t, f.name, wrong)
		if err == nil {
			s.Close()
		}
		expectOtherSpace(t, wrong, err)
	}

	s, err = f.open(t, f.name, space)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	left := full()
	left.Photos = left.Photos[1:]
	expectEntries(t, s, other, left)
	if m, err := s.Search(ctx, query(0, 0, 1, 0)); err != nil || len(m) != 2 || m[0].Work.ID != "other" {
		t.Errorf("Search: %v, %v", m, err)
	}
}

func put(t testing.TB, s index.Store, entries ...index.Entry) {
	t.Helper()
	if err := s.Upsert(t.Context(), space, entries...); err != nil {
		t.Fatalf("Upsert: %v", err)
	}
}

func filter(t testing.TB, conditions ...string) index.Filter {
	t.Helper()
	f, err := index.ParseFilter(conditions...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// expectEntries says what the store must hold, crops included.
func expectEntries(t testing.TB, s index.Store, want ...index.Entry) {
	t.Helper()
	slices.SortFunc(want, func(a, b index.Entry) int { return strings.Compare(a.Work.ID, b.Work.ID) })
	var got []index.Entry
	var counts index.Counts
	for e, err := range index.All(t.Context(), s, index.ScanOptions{Crops: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
		counts.Works++
		counts.Photos += len(e.Photos)
	}
	if diff := cmp.Diff(want, got, bits); diff != "" {
		t.Errorf("the store holds (-want +got):\n%s", diff)
	}
	if n, err := s.Count(t.Context(), nil); err != nil || n != counts {
		t.Errorf("Count: %+v, %v, want %+v", n, err, counts)
	}
	expectSound(t, s)
}

// expectSound says that nothing is damaged.
func expectSound(t testing.TB, s index.Store) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := s.Verify(t.Context())
	if diff := cmp.Diff(index.Report{Counts: info.Counts}, report); err != nil || diff != "" {
		t.Errorf("Verify: %v (-want +got):\n%s", err, diff)
	}
}
