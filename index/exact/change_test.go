package exact

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/index"
)

// TestAnyChanges makes any changes, several at a time, and compares searches
// with a plain copy of the set; searches of earlier snapshots must go on giving
// what they gave.
func TestAnyChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const dim = 3
		set := New(dim)
		works := map[string]map[string]index.Photo{}
		query := index.Query{Vector: []float32{1, 0.5, 0.25}, Limit: 1000, Photos: 1000}
		var snapshots []Snapshot
		var answers [][]index.Match
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			c := set.Begin()
			for range rapid.IntRange(0, 60).Draw(t, "steps") {
				id := fmt.Sprint("w", rapid.IntRange(0, 70).Draw(t, "work"))
				photo := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "photo"))
				switch rapid.IntRange(0, 5).Draw(t, "step") {
				case 0:
					c.DeleteWork(id)
					delete(works, id)
				case 1:
					if _, ok := works[id]; ok {
						c.DeletePhoto(id, photo)
						delete(works[id], photo)
					}
				default:
					p := index.Photo{ID: photo, Vector: drawVector(t, dim)}
					c.PutWork(index.Work{ID: id})
					c.PutPhoto(id, &p)
					if works[id] == nil {
						works[id] = map[string]index.Photo{}
					}
					works[id][photo] = p
				}
			}
			c.Publish()

			want := index.Counts{Works: len(works)}
			var entries []index.Entry
			for _, id := range slices.Sorted(maps.Keys(works)) {
				e := index.Entry{Work: index.Work{ID: id}}
				for _, photo := range slices.Sorted(maps.Keys(works[id])) {
					e.Photos = append(e.Photos, works[id][photo])
				}
				want.Photos += len(e.Photos)
				entries = append(entries, e)
			}
			snapshot := set.Snapshot()
			if got := snapshot.Counts(); got != want {
				t.Fatalf("Counts: %+v, want %+v", got, want)
			}
			snapshots, answers = append(snapshots, snapshot), append(answers, brute(entries, query))
			for i := range snapshots {
				got, err := snapshots[i].Search(t.Context(), query)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(answers[i], got); diff != "" && len(got)+len(answers[i]) > 0 {
					t.Fatalf("snapshot %d of %d (-want +got):\n%s", i, len(snapshots), diff)
				}
			}
		}
	})
}
