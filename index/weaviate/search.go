package weaviate

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"

	"github.com/lexicam/lexicrop/index"
)

// Search implements index.Store. Similarities are computed in float32 and may be
// off by about a millionth.
func (s *Store) Search(ctx context.Context, q index.Query) ([]index.Match, error) {
	q, err := q.Prepare(s.space)
	if err != nil {
		return nil, err
	}
	var matches []index.Match
	err = s.call(ctx, "search", func() error {
		hits, err := s.bestWorks(ctx, &q)
		if err != nil {
			return err
		}
		if q.Photos > 1 {
			if err := s.addPhotos(ctx, &q, hits); err != nil {
				return err
			}
		}
		matches, err = s.matches(ctx, &q, hits)
		return err
	})
	if err != nil {
		return nil, err
	}
	return matches, nil
}

// hit is a work that was found, with photos of it, best first.
type hit struct {
	key    string
	photos []index.PhotoMatch
}

func (h *hit) similarity() float32 { return h.photos[0].Similarity }

// bestWorks returns the works that are asked for and some more, best first.
func (s *Store) bestWorks(ctx context.Context, q *index.Query) ([]hit, error) {
	var found []hit
	var except []*filters.WhereBuilder // what is found already
	for {
		// The nearest photos have as many works as are asked for, unless some
		// works are a crowd: then more photos are looked at.
		for nearest := min(4*q.Limit+24, maxResults); ; nearest = min(8*nearest, maxResults) {
			photos, err := s.nearest(ctx, q, nearest, except...)
			if err != nil {
				return nil, err
			}
			hits := group(photos)
			if s.complete(q, len(found), photos, nearest, hits) {
				return append(found, hits...), nil
			}
			if nearest == maxResults {
				// The rest is looked for without these.
				found = append(found, hits...)
				for _, h := range hits {
					except = append(except, text("key", filters.NotEqual, h.key))
				}
				break
			}
		}
	}
}

// complete says whether no photo beyond the nearest ones belongs to a work that
// is asked for; equals of the last one count, too, as their ids decide.
func (s *Store) complete(q *index.Query, before int, photos []object, nearest int, hits []hit) bool {
	if len(photos) < nearest {
		return true
	}
	furthest := similarityOf(photos[len(photos)-1])
	if q.MinSimilarity != nil && furthest < *q.MinSimilarity {
		return true
	}
	last := q.Limit - 1 - before
	return last < 0 || last < len(hits) && hits[last].similarity() > furthest
}

// nearest returns the photos nearest to the query of the works that it chooses.
func (s *Store) nearest(ctx context.Context, q *index.Query, limit int, more ...*filters.WhereBuilder) ([]object, error) {
	query := s.client.get(matchFields).
		WithNearVector(s.client.graphql.NearVectorArgBuilder().WithVector(index.DirectionOf(q.Vector))).
		WithLimit(limit)
	if len(q.Filter) > 0 || len(more) > 0 { // a list of all photos would be looked up one by one; works have no vector
		query.WithWhere(where(kindPhoto, q.Filter, more...))
	}
	return s.client.objects(ctx, query)
}

// similarityOf is the opposite of the distance, which is that of the inner
// product, kept from being rounded beyond 1 and -1.
func similarityOf(o object) float32 { return float32(max(-1, min(1, -o.Additional.Distance))) }

// group makes works of photos. Works come best first, those of equal similarity
// by id, and photos likewise.
func group(photos []object) []hit {
	of := map[string]*hit{}
	for i := range photos {
		o := &photos[i]
		h := of[o.Key]
		if h == nil {
			h = &hit{key: o.Key}
			of[o.Key] = h
		}
		h.photos = append(h.photos, o.match())
	}
	hits := make([]hit, 0, len(of))
	for _, h := range of {
		slices.SortFunc(h.photos, func(a, b index.PhotoMatch) int {
			return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.ID, b.ID))
		})
		hits = append(hits, *h)
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(b.similarity(), a.similarity()), cmp.Compare(a.key, b.key))
	})
	return hits
}

func (o *object) match() index.PhotoMatch {
	var r photoRecord
	_ = json.Unmarshal([]byte(o.Record), &r) // Verify lists what is damaged
	return index.PhotoMatch{ID: r.ID, Hash: r.Hash, Source: r.Source, Similarity: similarityOf(*o)}
}

// addPhotos adds the photos of the best works that are not among the nearest.
func (s *Store) addPhotos(ctx context.Context, q *index.Query, hits []hit) error {
	var keys []string
	at := map[string]int{}
	for i := range hits[:min(len(hits), q.Limit)] {
		if len(hits[i].photos) < q.Photos {
			keys = append(keys, hits[i].key)
			at[hits[i].key] = i
		}
	}
	for n := len(keys); len(keys) > 0; {
		n = min(n, len(keys))
		photos, err := s.nearest(ctx, q, maxResults, anyOf("key", keys[:n]...))
		if err != nil {
			return err
		}
		if len(photos) == maxResults && n > 1 { // there may be more
			n /= 2
			continue
		}
		for _, h := range group(photos) {
			hits[at[h.key]].photos = h.photos
		}
		keys = keys[n:]
	}
	return nil
}

// matches makes matches of hits, which come best first, with what is known of
// the works.
func (s *Store) matches(ctx context.Context, q *index.Query, hits []hit) ([]index.Match, error) {
	var matches []index.Match
	for len(hits) > 0 && len(matches) < q.Limit {
		n := min(len(hits), q.Limit-len(matches))
		ids := make([]string, n)
		for i := range ids {
			ids[i] = idOf(hits[i].key)
		}
		objects, err := s.works(ctx, ids...)
		if err != nil {
			return nil, err
		}
		works := make(map[string]*object, n)
		for i := range objects {
			works[objects[i].Key] = &objects[i]
		}
		for i := range hits[:n] {
			if o := works[hits[i].key]; o != nil { // else it was deleted just now
				matches = s.appendMatch(ctx, matches, q, o, hits[i].photos)
			}
		}
		hits = hits[n:]
	}
	return matches, nil
}

func (s *Store) appendMatch(ctx context.Context, matches []index.Match, q *index.Query, o *object, photos []index.PhotoMatch) []index.Match {
	w, err := o.work()
	if err != nil {
		s.log.WarnContext(ctx, "the index is damaged", slog.Any("error", err))
	}
	photos = photos[:min(len(photos), q.Photos)]
	if least := q.MinSimilarity; least != nil {
		below := slices.IndexFunc(photos, func(p index.PhotoMatch) bool { return p.Similarity < *least })
		if below >= 0 {
			photos = photos[:below]
		}
	}
	if len(photos) == 0 || !q.Filter.Match(&w) {
		return matches
	}
	return append(matches, index.Match{Work: w, Similarity: photos[0].Similarity, Photos: photos})
}
