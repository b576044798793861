package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var space = index.Space{Name: "test", Fingerprint: "1", Dimension: 4}

// stub embeds a picture by its length, unless refuse says no. What a real
// network does with pictures, the tests of the commands try; here it is about
// what may go wrong on the way.
type stub struct {
	refuse func(picture string) error
	space  index.Space
	asked  atomic.Int64
}

func (s *stub) Embed(ctx context.Context, picture []byte, _ service.EmbedOptions) (*service.Embedding, error) {
	photo, err := s.EmbedPhoto(ctx, "", picture, service.PhotoOptions{})
	if err != nil {
		return nil, err
	}
	photo.Embedding.Vector = photo.Vector
	return photo.Embedding, nil
}

func (s *stub) EmbedPhoto(ctx context.Context, id string, picture []byte, o service.PhotoOptions) (*service.CataloguePhoto, error) {
	s.asked.Add(1)
	if s.refuse != nil {
		if err := s.refuse(string(picture)); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	of := space
	if s.space != (index.Space{}) {
		of = s.space
	}
	photo := service.Photo{ID: id, Hash: service.HashOf(picture), Source: o.Source, Vector: []float32{1, float32(len(picture)), 0, 0}}
	return &service.CataloguePhoto{Photo: photo, Embedding: &service.Embedding{Space: of}}, nil
}

func openStore(t *testing.T) index.Store { return openStoreOf(t, space) }

func openStoreOf(t *testing.T, space index.Space) index.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "c.db"), sqlite.Options{Space: space})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func open(t *testing.T, path string) Source {
	t.Helper()
	source, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func add(t *testing.T, store index.Store, embedder Embedder, source Source) (Counts, []Outcome) {
	t.Helper()
	var outcomes []Outcome
	counts, err := Add(t.Context(), store, embedder, source, Options{
		Workers: 4, MaxBytes: 100, Patience: 10 * time.Second, Each: func(o Outcome) { outcomes = append(outcomes, o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if counts.Total() != len(outcomes) || counts.Total() != Count(t.Context(), source) {
		t.Errorf("%v counted of %d outcomes", counts, len(outcomes))
	}
	return counts, outcomes
}

// contents is the catalogue as "WORK title" by photo.
func contents(t *testing.T, store index.Store) map[string]string {
	t.Helper()
	photos := map[string]string{}
	for e, err := range index.All(t.Context(), store, index.ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Photos) == 0 {
			photos["none of "+e.Work.ID] = e.Work.Title
		}
		for _, p := range e.Photos {
			photos[e.Work.ID+" "+p.ID] = e.Work.Title
		}
	}
	return photos
}

func TestAddGoesOnAfterWhatFails(t *testing.T) {
	folder := write(t, map[string]string{
		"works.csv": "id,file,title\nw1,a.jpg,First\nw2,missing.jpg,x\nw1,b.jpg,\nw3,,Alone\n,,\n\x01,c.jpg,x\nw4,folder.jpg,x\nw5,large.jpg,x\n",
		"a.jpg":     "a", "b.jpg": "bb", "c.jpg": "ccc", "broken.jpg": "broken", "good_one.jpg": "good", "large.jpg": strings.Repeat("x", 101), "folder.jpg/x": "",
	})
	store := openStore(t)
	embedder := &stub{refuse: func(picture string) error {
		if picture == "broken" {
			return &service.Error{Code: service.CodeCorrupt, Detail: "broken"}
		}
		return nil
	}}
	counts, outcomes := add(t, store, embedder, open(t, folder))
	if want := (Counts{Added: 3, Updated: 1, Failed: 6}); counts != want {
		t.Errorf("counted %v, want %v: %+v", counts, want, outcomes)
	}
	var failed []string
	for _, o := range outcomes {
		if o.What == Failed {
			failed = append(failed, fmt.Sprintf("%s: %v", filepath.Base(o.Where), o.Err))
		}
	}
	expectFaults(t, []string{"works.csv:3: ", "works.csv:6: neither", "works.csv:7: invalid: id of work", "works.csv:8: ", "works.csv:9: ", "broken.jpg: corrupt_image"}, failed)
	want := map[string]string{"w1 a.jpg": "First", "w1 b.jpg": "First", "none of w3": "Alone", "good_one good_one.jpg": "good one"}
	if diff := cmp.Diff(want, contents(t, store)); diff != "" {
		t.Errorf("the catalogue (-want +got):\n%s", diff)
	}
}

func TestAddingAgainEmbedsOnlyWhatChanged(t *testing.T) {
	folder := write(t, map[string]string{
		"works.csv": "id,file,title,year,room\nw1,a.jpg,First,1872,3\nw2,b.jpg,Second,,\n", "a.jpg": "a", "b.jpg": "bb", "c_d.jpg": "ccc",
	})
	store, embedder := openStore(t), &stub{}
	source := open(t, folder)
	add(t, store, embedder, source)
	steps := []struct {
		name   string
		change func() error
		counts Counts
		asked  int64
		want   map[string]string
	}{
		{"nothing", func() error { return nil }, Counts{Unchanged: 3}, 0, nil},
		{
			"a title", func() error {
				return os.WriteFile(filepath.Join(folder, "works.csv"), []byte("id,file,title,year,room\nw1,a.jpg,New,1872,3\nw2,b.jpg,Second,,\n"), 0o600)
			},
			Counts{Updated: 1, Unchanged: 2}, 0, map[string]string{"w1 a.jpg": "New"},
		},
		{"a picture", func() error { return os.WriteFile(filepath.Join(folder, "b.jpg"), []byte("other"), 0o600) }, Counts{Added: 1, Unchanged: 2}, 1, nil},
		{
			"the name of a picture", func() error { return os.Rename(filepath.Join(folder, "c_d.jpg"), filepath.Join(folder, "e.jpg")) },
			Counts{Unchanged: 3}, 0, nil,
		},
		{
			"a title in the catalogue, where the file's name is but a guess", func() error {
				return store.Upsert(t.Context(), space, index.Entry{Work: index.Work{ID: "c_d", Title: "Known"}})
			},
			Counts{Unchanged: 3}, 0, map[string]string{"c_d c_d.jpg": "Known"},
		},
	}
	want := contents(t, store)
	for _, step := range steps {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		embedder.asked.Store(0)
		counts, _ := add(t, store, embedder, source)
		if counts != step.counts || embedder.asked.Load() != step.asked {
			t.Errorf("%s changed: counted %v, want %v; embedded %d, want %d", step.name, counts, step.counts, embedder.asked.Load(), step.asked)
		}
		maps.Copy(want, step.want)
		if diff := cmp.Diff(want, contents(t, store)); diff != "" {
			t.Errorf("%s changed: the catalogue (-want +got):\n%s", step.name, diff)
		}
	}
}

// Where only the names of files tell works apart, one picture is one work, and
// the first one's. Who says that two works have one picture is believed.
func TestTheSamePictureTwice(t *testing.T) {
	folder := write(t, map[string]string{"a.jpg": "a", "copy of a.jpg": "a", "z.jpg": "z"})
	table := write(t, map[string]string{"t.csv": "id,file\nw1,a.jpg\nw1,again.jpg\nw2,a.jpg\n", "a.jpg": "a", "again.jpg": "a"})
	for range 20 { // the order in which the workers are done differs
		store := openStore(t)
		counts, _ := add(t, store, &stub{}, open(t, folder))
		if diff := cmp.Diff(map[string]string{"a a.jpg": "a", "z z.jpg": "z"}, contents(t, store)); diff != "" || counts != (Counts{Added: 2, Unchanged: 1}) {
			t.Fatalf("%v, the catalogue of a folder (-want +got):\n%s", counts, diff)
		}
		store = openStore(t)
		add(t, store, &stub{}, open(t, filepath.Join(table, "t.csv")))
		if diff := cmp.Diff(map[string]string{"w1 a.jpg": "", "w2 a.jpg": ""}, contents(t, store)); diff != "" {
			t.Fatalf("the catalogue of a table (-want +got):\n%s", diff)
		}
	}
}

// The last word about a work stays, however long its picture takes.
func TestOrderStays(t *testing.T) {
	var table strings.Builder
	table.WriteString("id,file,title\n")
	files := map[string]string{}
	for i := range 50 {
		name := fmt.Sprintf("%02d.jpg", i)
		files[name] = name
		fmt.Fprintf(&table, "w,%s,title %d\n", name, i)
	}
	files["t.csv"] = table.String()
	store := openStore(t)
	embedder := &stub{refuse: func(picture string) error {
		if strings.HasSuffix(picture, "0.jpg") {
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	}}
	_, outcomes := add(t, store, embedder, open(t, filepath.Join(write(t, files), "t.csv")))
	for i, o := range outcomes {
		if want := fmt.Sprintf("t.csv:%d", i+2); !strings.HasSuffix(o.Where, want) {
			t.Fatalf("outcome %d is of %s, want %s", i, o.Where, want)
		}
	}
	if got := contents(t, store); len(got) != 50 || got["w 00.jpg"] != "title 49" {
		t.Errorf("the catalogue: %v", got)
	}
}

func manyFiles(t *testing.T, n int) string {
	t.Helper()
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("%03d.jpg", i)] = fmt.Sprint(i)
	}
	return write(t, files)
}

// What was counted is in the catalogue, and adding again does the rest.
func TestInterruptedAddGoesOn(t *testing.T) {
	const n = 200
	source := open(t, manyFiles(t, n))
	store := openStore(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var once sync.Once
	embedder := &stub{}
	embedder.refuse = func(string) error {
		if embedder.asked.Load() > n/2 {
			once.Do(interrupt)
		}
		return nil
	}
	var outcomes int
	counts, err := Add(ctx, store, embedder, source, Options{Workers: 4, Each: func(Outcome) { outcomes++ }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	there := len(contents(t, store))
	if counts != (Counts{Added: there}) || outcomes != there || there == 0 || there == n {
		t.Errorf("%v were counted, %d told of, %d are there", counts, outcomes, there)
	}
	embedder.asked.Store(0)
	counts, _ = add(t, store, embedder, source)
	if want := (Counts{Added: n - there, Unchanged: there}); counts != want || embedder.asked.Load() != int64(n-there) {
		t.Errorf("the rest: %v, want %v", counts, want)
	}
}

func TestANetworkThatIsAwayIsWaitedFor(t *testing.T) {
	store := openStore(t)
	gone := &service.Error{Code: service.CodeBackendGone, Detail: "gone"}
	embedder := &stub{}
	embedder.refuse = func(string) error {
		if embedder.asked.Load() < 3 {
			return gone
		}
		return nil
	}
	source := open(t, manyFiles(t, 5))
	if counts, _ := add(t, store, embedder, source); counts != (Counts{Added: 5}) {
		t.Errorf("it came back: %v", counts)
	}
	embedder.refuse = func(string) error { return gone }
	store = openStore(t)
	counts, err := Add(t.Context(), store, embedder, source, Options{Workers: 2})
	if !errors.Is(err, gone) || counts.Total() != 0 {
		t.Errorf("it stayed away: %v, %v", counts, err)
	}
}

func TestWhatConcernsAllEndsAll(t *testing.T) {
	source := open(t, manyFiles(t, 50))
	t.Run("another embedder", func(t *testing.T) {
		other := index.Space{Name: "other", Fingerprint: "2", Dimension: 4}
		counts, err := Add(t.Context(), openStore(t), &stub{space: other}, source, Options{Workers: 2})
		if index.KindOf(err) != index.OtherSpace || counts.Total() != 0 {
			t.Errorf("%v, %v", counts, err)
		}
	})
	t.Run("a store that fails", func(t *testing.T) {
		full := &index.Error{Kind: index.Internal, Err: errors.New("disk full")}
		counts, err := Add(t.Context(), &failingStore{openStore(t), full}, &stub{}, source, Options{Workers: 2})
		if !errors.Is(err, full) || counts.Total() != 0 {
			t.Errorf("%v, %v", counts, err)
		}
	})
	t.Run("a store that was closed", func(t *testing.T) {
		store := openStore(t)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Add(t.Context(), store, &stub{}, source, Options{Workers: 2}); index.KindOf(err) != index.Closed {
			t.Error(err)
		}
	})
}

type failingStore struct {
	index.Store
	err error
}

func (s *failingStore) Upsert(context.Context, index.Space, ...index.Entry) error { return s.err }
