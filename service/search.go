package service

import (
	"context"

	"github.com/lexicam/lexicrop/index"
)

// SearchOptions says what to look for in the catalogue. Zeros of the numbers mean the index's defaults.
type SearchOptions struct {
	// Limit is the largest number of works to return, Photos the largest number of photos of each.
	Limit, Photos int
	// Threshold leaves out works and photos of a lower similarity; nil leaves out none.
	Threshold *float32
	// Filter chooses the works that are searched.
	Filter Filter
}

// Search is what was found in the catalogue.
type Search struct {
	// Embedding is what was searched; nil where a vector was.
	*Embedding
	// Matches are works, the most similar first; none is a normal answer.
	Matches []Match
	Timings []Timing
}

// Search finds the works of the catalogue that photo shows: crop, embed and search in one. photo must
// not change meanwhile. Every error is an *Error.
func (s *Service) Search(ctx context.Context, photo []byte, e EmbedOptions, o SearchOptions) (*Search, error) {
	watch := startStopwatch()
	store, err := s.soundCatalogue()
	if err != nil {
		return nil, AsError(err)
	}
	// A request that cannot be served is not worth two inferences.
	if err := o.Filter.Check(); err != nil {
		return nil, AsError(err)
	}
	embedding, err := s.embed(ctx, photo, e, nil, watch)
	if err != nil {
		return nil, AsError(err)
	}
	return s.search(ctx, store, embedding, o, watch)
}

// SearchVector finds the works of the catalogue that are most like a vector. space is the one that it
// comes from; its zero value takes it to be that of the catalogue. Every error is an *Error.
func (s *Service) SearchVector(ctx context.Context, vector []float32, space index.Space, o SearchOptions) (*Search, error) {
	store, err := s.Catalogue()
	if err != nil {
		return nil, AsError(err)
	}
	if space == (index.Space{}) {
		if space, err = s.catalogue.spaceOf(); err != nil {
			return nil, AsError(err)
		}
	}
	return s.search(ctx, store, &Embedding{Vector: vector, Space: space}, o, startStopwatch())
}

func (s *Service) search(ctx context.Context, store index.Store, e *Embedding, o SearchOptions, watch *stopwatch) (*Search, error) {
	matches, err := store.Search(ctx, index.Query{
		Space: e.Space, Vector: e.Vector, Limit: o.Limit, Photos: o.Photos, MinSimilarity: o.Threshold, Filter: o.Filter,
	})
	if err != nil {
		return nil, AsError(err)
	}
	watch.lap(StageSearch)
	if len(matches) > 0 {
		s.metrics.similarity.Observe(float64(matches[0].Similarity))
	}
	s.metrics.observe(watch)
	return &Search{Embedding: e, Matches: matches, Timings: watch.timings}, nil
}
