package ingest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/index"
)

var otherSpace = index.Space{Name: "other", Fingerprint: "2", Dimension: 4}

// entries is the catalogue with its crops.
func entries(t *testing.T, store index.Store) (all []index.Entry) {
	t.Helper()
	for e, err := range index.All(t.Context(), store, index.ScanOptions{Crops: true}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func catalogueOf(n int) (all []index.Entry) {
	for i := range n {
		id := string(rune('a' + i))
		all = append(all, index.Entry{
			Work: index.Work{ID: id, Title: "title " + id, Year: 1800 + i, Metadata: index.Metadata{"room": id}},
			Photos: []index.Photo{
				{ID: "1", Vector: []float32{1, 0, 0, 0}, Hash: "h1" + id, Source: "s" + id, Crop: []byte("crop " + id)},
				{ID: "2", Vector: []float32{0, 1, 0, 0}, Crop: []byte("the other crop " + id)}, // without a hash
			},
		})
	}
	return append(all, index.Entry{Work: index.Work{ID: "without photos"}})
}

// rebuilt is what Rebuild should make of a catalogue.
func rebuilt(all []index.Entry) []index.Entry {
	for i := range all {
		for k := range all[i].Photos {
			p := &all[i].Photos[k]
			p.Vector = []float32{1, float32(len(p.Crop)), 0, 0} // as the stub does
		}
	}
	return all
}

func TestRebuild(t *testing.T) {
	from, to := openStore(t), openStoreOf(t, otherSpace)
	if err := from.Upsert(t.Context(), space, catalogueOf(10)...); err != nil {
		t.Fatal(err)
	}
	embedder := &stub{space: otherSpace}
	rebuild := func(ctx context.Context) (Counts, error) {
		return Rebuild(ctx, to, from, embedder, Options{Workers: 3})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		var once sync.Once
		embedder.refuse = func(string) error {
			if embedder.asked.Load() > 10 {
				once.Do(interrupt)
			}
			return nil
		}
		if counts, err := rebuild(ctx); !errors.Is(err, context.Canceled) || counts.Total() == 0 {
			t.Fatalf("%v, %v", counts, err)
		}
		embedder.refuse = nil
	})
	t.Run("from then on", func(t *testing.T) {
		there := len(contents(t, to))
		counts, err := rebuild(t.Context())
		if want := (Counts{Added: 20 - there, Updated: 1, Unchanged: there}); err != nil || counts != want {
			t.Errorf("%v, want %v: %v", counts, want, err)
		}
		if diff := cmp.Diff(rebuilt(catalogueOf(10)), entries(t, to)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	// Between an interruption and the next attempt the old catalogue may change.
	t.Run("after changes of the old one", func(t *testing.T) {
		if err := errors.Join(
			from.DeleteWork(t.Context(), "b"), from.DeletePhoto(t.Context(), "c", "1"),
			from.Upsert(t.Context(), space, index.Entry{
				Work:   index.Work{ID: "d", Title: "new"},
				Photos: []index.Photo{{ID: "2", Vector: []float32{0, 1, 0, 0}, Crop: []byte("another picture")}},
			}),
		); err != nil {
			t.Fatal(err)
		}
		embedder.asked.Store(0)
		if _, err := rebuild(t.Context()); err != nil || embedder.asked.Load() != 1 {
			t.Errorf("embedded %d: %v", embedder.asked.Load(), err)
		}
		if diff := cmp.Diff(rebuilt(entries(t, from)), entries(t, to)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("without a crop", func(t *testing.T) {
		if err := from.Upsert(t.Context(), space, index.Entry{
			Work: index.Work{ID: "e"}, KeepWork: true, Photos: []index.Photo{{ID: "3", Vector: []float32{0, 1, 0, 0}}},
		}); err != nil {
			t.Fatal(err)
		}
		if counts, err := rebuild(t.Context()); err != nil || counts[Failed] != 1 {
			t.Errorf("%v, %v", counts, err)
		}
	})
}

// A catalogue that cannot be read to its end must not look like a small one.
func TestRebuildOfAnUnreadableCatalogueFails(t *testing.T) {
	from := openStore(t)
	if err := from.Upsert(t.Context(), space, catalogueOf(3)...); err != nil {
		t.Fatal(err)
	}
	broken := &index.Error{Kind: index.Damaged, Err: errors.New("a page")}
	if _, err := Rebuild(t.Context(), openStoreOf(t, otherSpace), &unreadableStore{from, broken}, &stub{space: otherSpace}, Options{Workers: 2}); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type unreadableStore struct {
	index.Store
	err error
}

func (s *unreadableStore) Scan(context.Context, index.ScanOptions) (index.Page, error) {
	return index.Page{}, s.err
}
