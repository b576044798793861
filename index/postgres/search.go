package postgres

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

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
	err = s.read(ctx, "search", func(tx pgx.Tx) error {
		// The nearest photos have as many works as are asked for, unless some
		// works are a crowd: then more photos are looked at.
		for nearest := 4*q.Limit + 24; ; nearest *= 8 {
			var complete bool
			var err error
			if matches, complete, err = s.matches(ctx, tx, &q, nearest); err != nil || complete {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return matches, nil
}

// matches returns the best works among so many nearest photos, and whether there
// are none beyond that are asked for.
func (s *Store) matches(ctx context.Context, tx pgx.Tx, q *index.Query, nearest int) (matches []index.Match, complete bool, err error) {
	var args arguments
	query := args.add(pgvector.NewVector(index.DirectionOf(q.Vector)))
	chosen := "true"
	if len(q.Filter) > 0 {
		chosen = "work IN (SELECT id FROM works w WHERE " + where(q.Filter, &args) + ")"
	}
	// Opposite of the cosine, kept from being rounded beyond it.
	distance := "greatest(direction <#> " + query + ", -1)"
	rows, err := tx.Query(ctx, `
		WITH nearest AS MATERIALIZED (
			SELECT work, `+distance+` AS distance FROM photos WHERE `+chosen+`
			ORDER BY distance, work LIMIT `+args.add(nearest)+`
		), best AS (
			SELECT work, min(distance) AS distance FROM nearest GROUP BY work ORDER BY distance, work LIMIT `+args.add(q.Limit)+`
		)
		SELECT `+workColumns+`, p.ids, p.hashes, p.sources, p.distances,
			(SELECT count(*) FROM nearest), (SELECT max(distance) FROM nearest)
		FROM best b JOIN works w ON w.id = b.work, LATERAL (
			SELECT array_agg(id) AS ids, array_agg(hash) AS hashes, array_agg(source) AS sources, array_agg(distance) AS distances
			FROM (
				SELECT id, hash, source, `+distance+` AS distance FROM photos WHERE work = b.work
				ORDER BY distance, id LIMIT `+args.add(q.Photos)+`
			) photo
		) p
		ORDER BY b.distance, b.work`, args.planned()...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	var seen int
	var furthest float64
	for rows.Next() {
		var photos photoArrays
		w, err := scanWork(rows, &photos.ids, &photos.hashes, &photos.sources, &photos.distances, &seen, &furthest)
		switch {
		case index.KindOf(err) == index.Damaged:
			s.log.WarnContext(ctx, "the index is damaged", slog.Any("error", err))
		case err != nil:
			return nil, false, fmt.Errorf("read the matches: %w", err)
		}
		if found := photos.matches(q.MinSimilarity); len(found) > 0 {
			matches = append(matches, index.Match{Work: w, Similarity: found[0].Similarity, Photos: found})
		}
	}
	complete = seen < nearest || len(matches) == q.Limit || q.MinSimilarity != nil && float32(-furthest) < *q.MinSimilarity
	return matches, complete, rows.Err()
}

// photoArrays are the best photos of a work, as the database lists them.
type photoArrays struct {
	ids, hashes, sources []string
	distances            []float64
}

func (a *photoArrays) matches(least *float32) []index.PhotoMatch {
	matches := make([]index.PhotoMatch, 0, len(a.ids))
	for i, id := range a.ids {
		similarity := float32(-a.distances[i])
		if least != nil && similarity < *least {
			break
		}
		matches = append(matches, index.PhotoMatch{ID: id, Hash: a.hashes[i], Source: a.sources[i], Similarity: similarity})
	}
	return matches
}
