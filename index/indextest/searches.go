package indextest

import (
	"encoding/json"
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

	"github.com/lexicam/lexicrop/index"
)

func query(vector ...float32) index.Query { return index.Query{Space: space, Vector: vector} }

// work is an entry with photos "1", "2" and so on.
func work(id string, vectors ...[]float32) index.Entry {
	e := index.Entry{Work: index.Work{ID: id}}
	for i, v := range vectors {
		e.Photos = append(e.Photos, index.Photo{ID: fmt.Sprint(i + 1), Vector: v})
	}
	return e
}

func testSearchOrder(t *testing.T, f *fixture) {
	s := f.store(t)
	put(t, s,
		work("opposite", []float32{-5, 0, 0, 0}),
		work("tie b", []float32{3, 4, 0, 0}),
		work("same", []float32{0.001, 0, 0, 0}),
		work("right angle", []float32{0, 0, 7, 0}),
		work("tie a", []float32{3, 4, 0, 0}),
		work("tie c", []float32{30, 40, 0, 0}),
		work("without photos"))
	want := []index.Match{match("same", 1), match("tie a", 0.6), match("tie b", 0.6), match("tie c", 0.6), match("right angle", 0), match("opposite", -1)}
	for _, scale := range []float32{1, 1e-30, 1e30} {
		expectMatches(t, s, query(scale, 0, 0, 0), want...)
	}
	limited := query(1, 0, 0, 0)
	for limit := 1; limit <= len(want); limit++ {
		limited.Limit = limit
		expectMatches(t, s, limited, want[:limit]...)
	}

	// Ten unless told otherwise.
	for i := range 20 {
		put(t, s, work(fmt.Sprint("more ", i), []float32{1, 1, 1, 1}))
	}
	if m, err := s.Search(t.Context(), query(1, 1, 1, 1)); err != nil || len(m) != 10 {
		t.Errorf("Search: %d works, %v", len(m), err)
	}
}

// match is a work with its best photo, called "1".
func match(id string, similarity float32) index.Match {
	return index.Match{Work: index.Work{ID: id}, Similarity: similarity, Photos: []index.PhotoMatch{{ID: "1", Similarity: similarity}}}
}

func testSearchGroups(t *testing.T, f *fixture) {
	s := f.store(t)
	// The nearest photos of all are of one work, far more than the limit.
	crowd := index.Entry{Work: index.Work{ID: "crowd"}}
	for i := range 300 {
		crowd.Photos = append(crowd.Photos, index.Photo{ID: fmt.Sprintf("%03d", i), Vector: []float32{1, float32(i) / 1e4, 0, 0}})
	}
	put(t, s, crowd, work("second", []float32{0, 0, 0, 1}, []float32{4, 3, 0, 0}), work("third", []float32{3, 4, 0, 0}))

	q := query(1, 0, 0, 0)
	q.Limit, q.Photos = 3, 2
	got, err := s.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	want := []index.Match{
		{Work: index.Work{ID: "crowd"}, Similarity: 1, Photos: []index.PhotoMatch{{ID: "000", Similarity: 1}, {ID: "001", Similarity: 1}}},
		{Work: index.Work{ID: "second"}, Similarity: 0.8, Photos: []index.PhotoMatch{{ID: "2", Similarity: 0.8}, {ID: "1", Similarity: 0}}},
		match("third", 0.6),
	}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("Search (-want +got):\n%s", diff)
	}
}

var near = cmpopts.EquateApprox(0, rounding)

func testSearchThreshold(t *testing.T, f *fixture) {
	s := f.store(t)
	put(t, s, work("a", []float32{1, 0, 0, 0}, []float32{0, 1, 0, 0}), work("b", []float32{3, 4, 0, 0}), work("c", []float32{-1, 0, 0, 0}))
	for _, c := range []struct {
		least float32
		want  []index.Match
	}{
		{-1, []index.Match{match("a", 1), match("b", 0.6), match("c", -1)}},
		{0, []index.Match{match("a", 1), match("b", 0.6)}},
		{0.59, []index.Match{match("a", 1), match("b", 0.6)}},
		{0.61, []index.Match{match("a", 1)}},
		{1, []index.Match{match("a", 1)}},
	} {
		q := query(1, 0, 0, 0)
		q.MinSimilarity = &c.least
		expectMatches(t, s, q, c.want...)
	}
	q := query(1, 0, 0, 0)
	q.MinSimilarity, q.Photos = new(float32(0.5)), 5
	expectMatches(t, s, q, match("a", 1), match("b", 0.6)) // the other photo of a is below it too
	q = query(0, 0, 1, 0)
	q.MinSimilarity = new(float32(0.5))
	expectMatches(t, s, q)
}

func testFilters(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	monet := index.Entry{Work: index.Work{ID: "1", Title: "Impression, soleil levant", Artist: "Claude Monet", Year: 1872, Link: "https://example.org/1",
		Metadata: index.Metadata{"museum": "Marmottan", "rooms": []any{3, "A|B"}, "loan": true, "inv": 4014}}}
	manet := index.Entry{Work: index.Work{ID: "2", Title: "Olympia", Artist: "Édouard Manet", Year: 1863, Metadata: index.Metadata{"museum": "Orsay", "loan": false, "inv": "4014"}}}
	greek := index.Entry{Work: index.Work{ID: "3", Title: "Discobolus", Year: -450,
		Metadata: index.Metadata{"copies": []any{[]any{"Roman", 1e3}, map[string]any{"x": "y"}}, "height": json.Number("1.550"), "far": json.Number("1e400")}}}
	unknown := index.Entry{Work: index.Work{ID: "4", Artist: "a=b|c\\d", Metadata: index.Metadata{"a.b=c": "x", "null": nil}}}
	for i, e := range []*index.Entry{&monet, &manet, &greek, &unknown} {
		e.Photos = []index.Photo{{ID: "1", Vector: []float32{1, float32(i), 0, 0}}, {ID: "2", Vector: []float32{0, 0, 0, 1}}}
	}
	put(t, s, monet, manet, greek, unknown)

	for _, c := range []struct {
		conditions string // one a line
		want       string // ids
	}{
		{"", "1 2 3 4"},
		{"id=2", "2"},
		{"id=2|3|x", "2 3"},
		{"id!=2|3", "1 4"},
		{"title=Olympia", "2"},
		{"title=olympia", ""},
		{"title=Impression, soleil levant", "1"},
		{"artist=Claude Monet|Édouard Manet", "1 2"},
		{"artist=", "3"},
		{"artist!=", "1 2 4"},
		{`artist=a=b\|c\\d`, "4"},
		{"link=https://example.org/1", "1"},
		{"year=1872", "1"},
		{"year=0", "4"},
		{"year!=1872", "2 3 4"},
		{"year>=1863", "1 2"},
		{"year<=1863", "2 3"},
		{"year>=-450\nyear<=1863", "2 3"},
		{"metadata.museum=Orsay", "2"},
		{"metadata.museum!=Orsay", "1 3 4"},
		{"metadata.museum=Orsay|Marmottan\nyear=1872", "1"},
		{"metadata.museum=", ""},
		{"metadata.rooms=3", "1"},
		{`metadata.rooms=A\|B`, "1"},
		{"metadata.loan=true", "1"},
		{"metadata.loan=false|true", "1 2"},
		{"metadata.inv=4014", "1 2"},
		{`metadata.a.b\=c=x`, "4"},
		{"metadata.null=", ""},
		{"metadata.copies=Roman", "3"},
		{"metadata.copies=1000", "3"},
		{"metadata.copies=1e3|y|x", ""},
		{"metadata.height=1.550", "3"},
		{"metadata.height=1.55", ""},
		{"metadata.far=1e400", "3"},
		{"metadata.museum=Orsay\x00|\xff", ""},
		{"id=2\x00|\xff|" + strings.Repeat("x", 5000), ""},
		{"title!=Olympia\x00|\xff", "1 2 3 4"},
	} {
		var conditions []string
		if c.conditions != "" {
			conditions = strings.Split(c.conditions, "\n")
		}
		q := query(1, 0, 0, 0)
		q.Filter = filter(t, conditions...)
		matches, err := s.Search(ctx, q)
		if err != nil {
			t.Errorf("%q: %v", c.conditions, err)
		}
		var got []string
		for _, m := range matches {
			got = append(got, m.Work.ID)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("Search with %q: %q, want %q", c.conditions, got, c.want)
		}
		works := len(strings.Fields(c.want))
		if n, err := s.Count(ctx, q.Filter); err != nil || n != (index.Counts{Works: works, Photos: 2 * works}) {
			t.Errorf("Count with %q: %+v, %v", c.conditions, n, err)
		}
		page, err := s.Scan(ctx, index.ScanOptions{Filter: q.Filter})
		if err != nil || len(page.Entries) != works {
			t.Errorf("Scan with %q: %d works, %v", c.conditions, len(page.Entries), err)
		}
	}
}

// testConcurrent writes, deletes and searches from many goroutines; each looks
// at once for what it just wrote.
func testConcurrent(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	const writers, rounds = 4, 25
	direction := func(writer, round int) []float32 { // no two of them alike
		angle := float64(writer*rounds+round+1) / (writers * rounds * 2)
		return []float32{float32(math.Cos(angle)), float32(math.Sin(angle)), 0, 0}
	}
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for r := range rounds {
				id := fmt.Sprintf("%d-%d", w, r)
				if err := s.Upsert(ctx, space, work(id, direction(w, r))); err != nil {
					t.Errorf("Upsert: %v", err)
					return
				}
				m, err := s.Search(ctx, index.Query{Space: space, Vector: direction(w, r), Limit: 1})
				if err != nil || len(m) != 1 || m[0].Work.ID != id {
					t.Errorf("Search for %s after it was written: %v, %v", id, m, err)
				}
				if _, err := s.Get(ctx, id); err != nil {
					t.Errorf("Get %s after it was written: %v", id, err)
				}
				if r%2 == 1 {
					continue
				}
				if err := s.DeleteWork(ctx, id); err != nil {
					t.Errorf("DeleteWork: %v", err)
				}
				m, err = s.Search(ctx, index.Query{Space: space, Vector: direction(w, r), Limit: 1})
				if err != nil || len(m) == 1 && m[0].Work.ID == id {
					t.Errorf("Search for %s after it was deleted: %v, %v", id, m, err)
				}
			}
		})
	}
	group.Wait()
	if n, err := s.Count(ctx, nil); err != nil || n.Works != writers*(rounds/2) {
		t.Errorf("Count: %+v, %v, want %d works", n, err, writers*(rounds/2))
	}
	expectSound(t, s)
}

func testRefusals(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	good := work("good", []float32{1, 0, 0, 0})
	put(t, s, good)

	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	long := strings.Repeat("x", index.MaxTextBytes+1)
	for name, c := range map[string]struct {
		want index.Kind
		edit func(*index.Entry)
	}{
		"short vector":     {index.WrongDimension, func(e *index.Entry) { e.Photos[0].Vector = []float32{1, 0, 0} }},
		"long vector":      {index.WrongDimension, func(e *index.Entry) { e.Photos[0].Vector = []float32{1, 0, 0, 0, 0} }},
		"no vector":        {index.WrongDimension, func(e *index.Entry) { e.Photos[0].Vector = nil }},
		"zero vector":      {index.BadVector, func(e *index.Entry) { e.Photos[0].Vector = make([]float32, 4) }},
		"NaN":              {index.BadVector, func(e *index.Entry) { e.Photos[0].Vector[2] = nan }},
		"infinite":         {index.BadVector, func(e *index.Entry) { e.Photos[0].Vector[2] = -inf }},
		"no work id":       {index.Invalid, func(e *index.Entry) { e.Work.ID = "" }},
		"long work id":     {index.Invalid, func(e *index.Entry) { e.Work.ID = strings.Repeat("x", index.MaxIDBytes+1) }},
		"line in work id":  {index.Invalid, func(e *index.Entry) { e.Work.ID = "a\nb" }},
		"work id no UTF-8": {index.Invalid, func(e *index.Entry) { e.Work.ID = "\xff" }},
		"no photo id":      {index.Invalid, func(e *index.Entry) { e.Photos[0].ID = "" }},
		"long title":       {index.Invalid, func(e *index.Entry) { e.Work.Title = long }},
		"artist no UTF-8":  {index.Invalid, func(e *index.Entry) { e.Work.Artist = "\xff" }},
		"NUL in link":      {index.Invalid, func(e *index.Entry) { e.Work.Link = "a\x00" }},
		"long hash":        {index.Invalid, func(e *index.Entry) { e.Photos[0].Hash = long }},
		"NUL in source":    {index.Invalid, func(e *index.Entry) { e.Photos[0].Source = "\x00" }},
		"large crop":       {index.Invalid, func(e *index.Entry) { e.Photos[0].Crop = make([]byte, index.MaxCropBytes+1) }},
		"year":             {index.Invalid, func(e *index.Entry) { e.Work.Year = math.MaxInt }},
		"large metadata": {index.Invalid, func(e *index.Entry) {
			e.Work.Metadata = index.Metadata{"x": strings.Repeat("x", index.MaxMetadataBytes)}
		}},
		"metadata no JSON": {index.Invalid, func(e *index.Entry) { e.Work.Metadata = index.Metadata{"x": math.NaN()} }},
		"NUL in metadata":  {index.Invalid, func(e *index.Entry) { e.Work.Metadata = index.Metadata{"x": []any{"\x00"}} }},
	} {
		bad := work("bad", []float32{0, 1, 0, 0})
		c.edit(&bad)
		err := s.Upsert(ctx, space, work("new", []float32{1, 1, 0, 0}), bad)
		if index.KindOf(err) != c.want || err == nil {
			t.Errorf("Upsert, %s: %v", name, err)
		}
	}
	expectEntries(t, s, good) // nothing of a batch that was refused

	for name, c := range map[string]struct {
		want index.Kind
		edit func(*index.Query)
	}{
		"short vector":    {index.WrongDimension, func(q *index.Query) { q.Vector = q.Vector[:3] }},
		"zero vector":     {index.BadVector, func(q *index.Query) { q.Vector = make([]float32, 4) }},
		"NaN":             {index.BadVector, func(q *index.Query) { q.Vector[0] = nan }},
		"infinite":        {index.BadVector, func(q *index.Query) { q.Vector[0] = inf }},
		"negative limit":  {index.Invalid, func(q *index.Query) { q.Limit = -1 }},
		"large limit":     {index.Invalid, func(q *index.Query) { q.Limit = index.MaxLimit + 1 }},
		"negative photos": {index.Invalid, func(q *index.Query) { q.Photos = -1 }},
		"threshold":       {index.Invalid, func(q *index.Query) { q.MinSimilarity = new(float32(1.01)) }},
		"threshold NaN":   {index.Invalid, func(q *index.Query) { q.MinSimilarity = &nan }},
		"unknown field": {index.Invalid, func(q *index.Query) {
			q.Filter = index.Filter{{Field: "colour", Op: index.Equal, Values: []string{"x"}}}
		}},
		"year is a number": {index.Invalid, func(q *index.Query) { q.Filter = index.Filter{{Field: "year", Op: index.Equal, Values: []string{"x"}}} }},
		"no value":         {index.Invalid, func(q *index.Query) { q.Filter = index.Filter{{Field: "title", Op: index.Equal}} }},
		"title at least": {index.Invalid, func(q *index.Query) {
			q.Filter = index.Filter{{Field: "title", Op: index.AtLeast, Values: []string{"x"}}}
		}},
		"unknown operator": {index.Invalid, func(q *index.Query) { q.Filter = index.Filter{{Field: "title", Op: "~", Values: []string{"x"}}} }},
	} {
		q := query(1, 0, 0, 0)
		c.edit(&q)
		if _, err := s.Search(ctx, q); index.KindOf(err) != c.want || err == nil {
			t.Errorf("Search, %s: %v", name, err)
		}
	}
	for _, o := range []index.ScanOptions{{Cursor: "?"}, {Cursor: "AAAA"}, {Limit: -1}, {Limit: index.MaxPage + 1}, {Filter: index.Filter{{}}}} {
		if _, err := s.Scan(ctx, o); index.KindOf(err) != index.Invalid {
			t.Errorf("Scan(%+v): %v", o, err)
		}
	}
	if _, err := s.Count(ctx, index.Filter{{}}); index.KindOf(err) != index.Invalid {
		t.Errorf("Count: %v", err)
	}
	if _, err := s.DeleteWhere(ctx, index.Filter{{}}); index.KindOf(err) != index.Invalid {
		t.Errorf("DeleteWhere: %v", err)
	}
}

func testSpace(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	for _, wrong := range []index.Space{
		{},
		{Name: "another space", Fingerprint: space.Fingerprint, Dimension: space.Dimension},
		{Name: space.Name, Fingerprint: "f1", Dimension: space.Dimension},
		{Name: space.Name, Fingerprint: space.Fingerprint, Dimension: space.Dimension + 1},
	} {
		expectOtherSpace(t, wrong, s.Upsert(ctx, wrong, work("a", []float32{1, 0, 0, 0})))
		q := query(1, 0, 0, 0)
		q.Space = wrong
		_, err := s.Search(ctx, q)
		expectOtherSpace(t, wrong, err)
	}
	expectEntries(t, s)
}

// expectOtherSpace wants an error that names the store's space and the wrong
// one.
func expectOtherSpace(t *testing.T, wrong index.Space, err error) {
	t.Helper()
	want := index.OtherSpace
	if wrong.Name == space.Name && wrong.Fingerprint == space.Fingerprint {
		want = index.WrongDimension
	}
	var both *index.SpaceError
	if index.KindOf(err) != want || !errors.As(err, &both) || *both != (index.SpaceError{Index: space, Given: wrong}) {
		t.Errorf("with vectors of %v: %v", wrong, err)
		return
	}
	if text := err.Error(); !strings.Contains(text, space.String()) || !strings.Contains(text, wrong.String()) {
		t.Errorf("%q does not name both %v and %v", text, space, wrong)
	}
}

func testScan(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	const n = 23
	r := rand.New(rand.NewPCG(1, 1))
	for _, i := range r.Perm(n) {
		put(t, s, work(fmt.Sprintf("w%02d", i), []float32{1, float32(i), 0, 0}))
	}
	for _, limit := range []int{0, 1, 5, n - 1, n, n + 1} {
		var ids []string
		pages := 0
		for o := (index.ScanOptions{Limit: limit}); ; pages++ {
			page, err := s.Scan(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			if limit > 0 && len(page.Entries) > limit {
				t.Errorf("limit %d: %d works on a page", limit, len(page.Entries))
			}
			for _, e := range page.Entries {
				ids = append(ids, e.Work.ID)
			}
			if o.Cursor = page.Next; o.Cursor == "" {
				break
			}
		}
		if len(ids) != n || !slices.IsSorted(ids) || pages > n {
			t.Errorf("limit %d: %q on %d pages", limit, ids, pages)
		}
	}

	// What is there all the while comes once, whatever happens around it.
	seen := map[string]int{}
	for e, err := range index.All(ctx, s, index.ScanOptions{Limit: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Work.ID]++
		if e.Work.ID == "w05" {
			expectFound(t, true, s.DeleteWork(ctx, "w05"))
			expectFound(t, true, s.DeleteWork(ctx, "w01"))
			expectFound(t, true, s.DeleteWork(ctx, "w20"))
			put(t, s, work("a", []float32{1, 0, 0, 0}), work("w10", []float32{0, 1, 0, 0}))
		}
	}
	for i := range n {
		if id := fmt.Sprintf("w%02d", i); seen[id] != 1 && id != "w20" {
			t.Errorf("%s came %d times", id, seen[id])
		}
	}
}

func testNearDuplicates(t *testing.T, f *fixture) {
	s, ctx := f.store(t), t.Context()
	put(t, s,
		work("a", []float32{0, 0, 0, 1}, []float32{1, 0, 0, 0}),
		work("b", []float32{1, 0.01, 0, 0}, []float32{1, 0.02, 0, 0}),
		work("c", []float32{0, 1, 0, 0}),
		work("d", []float32{0, 0, 0, -1}, []float32{0, 0, 1, 0}, []float32{0, 2, 0, 0}))
	var got []index.Duplicate
	for d, err := range index.NearDuplicates(ctx, s, 0.99) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
	}
	want := []index.Duplicate{
		{A: index.PhotoRef{Work: "a", Photo: "2"}, B: index.PhotoRef{Work: "b", Photo: "1"}, Similarity: float32(1 / math.Sqrt(1.0001))},
		{A: index.PhotoRef{Work: "c", Photo: "1"}, B: index.PhotoRef{Work: "d", Photo: "3"}, Similarity: 1},
	}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func expectMatches(t *testing.T, s index.Store, q index.Query, want ...index.Match) {
	t.Helper()
	got, err := s.Search(t.Context(), q)
	if diff := cmp.Diff(want, got, near, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("Search(%+v): %v (-want +got):\n%s", q, err, diff)
	}
}
