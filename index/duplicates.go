package index

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
)

// Duplicate is two works that have nearly the same photo.
type Duplicate struct {
	A, B       PhotoRef // the two photos most alike; A.Work < B.Work
	Similarity float32
}

// NearDuplicates finds the works whose best photos are at least this similar,
// each two once, by ascending ids. It searches once for every photo of the
// store, and finds up to MaxLimit others for each. An error ends the sequence.
func NearDuplicates(ctx context.Context, store Store, similarity float32) iter.Seq2[Duplicate, error] {
	return func(yield func(Duplicate, error) bool) {
		info, err := store.Info(ctx)
		if err != nil {
			yield(Duplicate{}, err)
			return
		}
		for e, err := range All(ctx, store, ScanOptions{}) {
			var found []Duplicate
			if err == nil {
				found, err = duplicatesOf(ctx, store, info.Space, e, similarity)
			}
			if err != nil {
				yield(Duplicate{}, err)
				return
			}
			for _, d := range found {
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// duplicatesOf finds those of e among the works after it.
func duplicatesOf(ctx context.Context, store Store, space Space, e Entry, similarity float32) ([]Duplicate, error) {
	best := map[string]Duplicate{} // by the id of the other work
	for _, p := range e.Photos {
		matches, err := store.Search(ctx, Query{Space: space, Vector: p.Vector, Limit: MaxLimit, MinSimilarity: &similarity})
		if err != nil {
			return nil, err
		}
		for _, m := range matches {
			known, ok := best[m.Work.ID]
			if m.Work.ID <= e.Work.ID || ok && known.Similarity >= m.Similarity {
				continue
			}
			best[m.Work.ID] = Duplicate{
				A:          PhotoRef{Work: e.Work.ID, Photo: p.ID},
				B:          PhotoRef{Work: m.Work.ID, Photo: m.Photos[0].ID},
				Similarity: m.Similarity,
			}
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b Duplicate) int { return cmp.Compare(a.B.Work, b.B.Work) }), nil
}
