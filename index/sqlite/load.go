package sqlite

import (
	"context"
	"log/slog"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// load reads the file into memory. A damaged work is there with what can be
// read of it, a damaged photo is left out.
func (s *Store) load(ctx context.Context) (*exact.Set, error) {
	set := exact.New(s.space.Dimension)
	memory := set.Begin()
	defer memory.Publish()
	works, err := s.loadWorks(ctx, memory)
	if err != nil {
		return nil, err
	}

	// One goroutine reads, this one makes the codes.
	ctx, stop := context.WithCancel(ctx)
	photos := make(chan []storedPhoto, 4)
	failed := make(chan error, 1)
	go func() {
		defer close(photos)
		failed <- s.readPhotos(ctx, photos)
	}()
	defer func() {
		stop()
		for range photos { // until the reader has seen that
		}
	}()
	for batch := range photos {
		for i := range batch {
			work, ok := works[batch[i].work]
			if !ok {
				s.log.WarnContext(ctx, "the index is damaged: the work of a photo is missing", slog.String("photo", batch[i].ID))
				continue
			}
			memory.PutPhoto(work, &batch[i].Photo)
		}
	}
	return set, <-failed
}

func (s *Store) loadWorks(ctx context.Context, memory *exact.Change) (ids map[int64]string, err error) {
	rows, err := s.reads.QueryContext(ctx, selectWorks)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ids = map[int64]string{}
	for rows.Next() {
		w, err := scanWork(rows.Scan)
		switch {
		case index.KindOf(err) == index.Damaged:
			s.log.WarnContext(ctx, "the index is damaged", slog.Any("error", err))
		case err != nil:
			return nil, err
		}
		ids[w.key] = w.ID
		memory.PutWork(w.Work)
	}
	return ids, rows.Err()
}

func (s *Store) readPhotos(ctx context.Context, photos chan<- []storedPhoto) error {
	rows, err := s.reads.QueryContext(ctx, selectPhotos)
	if err != nil {
		return err
	}
	defer rows.Close()
	const batchRows = 256
	var batch []storedPhoto
	send := func() error {
		select {
		case photos <- batch:
			batch = make([]storedPhoto, 0, batchRows)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for rows.Next() {
		p, err := scanPhoto(rows.Scan, s.space.Dimension, false)
		switch {
		case index.KindOf(err) == index.Damaged:
			s.log.WarnContext(ctx, "the index is damaged: a photo cannot be found", slog.String("photo", p.ID), slog.Any("error", err))
			continue
		case err != nil:
			return err
		}
		if batch = append(batch, p); len(batch) == batchRows {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return send()
}
