package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/lexicam/lexicrop/index"
)

// Upsert implements index.Store.
func (s *Store) Upsert(ctx context.Context, space index.Space, entries ...index.Entry) error {
	entries, err := index.Prepare(s.space, space, entries)
	if err != nil {
		return err
	}
	// Every change locks the works it touches, and in this order: two that touch
	// the same ones wait for each other, never each for the other.
	slices.SortStableFunc(entries, func(a, b index.Entry) int { return cmp.Compare(a.Work.ID, b.Work.ID) })
	return s.change(ctx, "upsert", true, func(tx pgx.Tx) error {
		var u upserts
		for i := range entries {
			if err := u.add(&entries[i]); err != nil {
				return fmt.Errorf("work %q: %w", entries[i].Work.ID, err)
			}
		}
		return u.send(ctx, tx)
	})
}

// upserts are statements that go to the server together.
type upserts struct {
	batch pgx.Batch
	works []string // whom each is about
}

func (u *upserts) queue(work, statement string, args ...any) {
	u.batch.Queue(statement, args...)
	u.works = append(u.works, work)
}

func (u *upserts) send(ctx context.Context, tx pgx.Tx) error {
	results := tx.SendBatch(ctx, &u.batch)
	for _, work := range u.works {
		if _, err := results.Exec(); err != nil {
			return errors.Join(fmt.Errorf("work %q: %w", work, err), results.Close())
		}
	}
	return results.Close()
}

func (u *upserts) add(e *index.Entry) error {
	w := &e.Work
	metadata, err := encodeMetadata(w.Metadata)
	if err != nil {
		return err
	}
	statement := upsertWork
	if e.KeepWork {
		statement = keepWork
	}
	u.queue(w.ID, statement, w.ID, w.Title, w.Artist, w.Year, w.Link, metadata, termsOf(w), sumOfWork(w, metadata))
	for i := range e.Photos {
		u.addPhoto(w.ID, &e.Photos[i])
	}
	return nil
}

func (u *upserts) addPhoto(work string, p *index.Photo) {
	if p.Hash != "" {
		u.queue(work, "DELETE FROM photos WHERE work = $1 AND hash = $2 AND id <> $3", work, p.Hash, p.ID)
	}
	var crop []byte
	var cropSum *int64
	if len(p.Crop) > 0 {
		crop, cropSum = p.Crop, new(sumOfCrop(work, p))
	}
	u.queue(work, upsertPhoto, work, p.ID, p.Hash, p.Source, pgvector.NewVector(p.Vector), pgvector.NewVector(index.DirectionOf(p.Vector)),
		sumOfPhoto(work, p), crop, cropSum)
}

const (
	insertWork = "INSERT INTO works (id, title, artist, year, link, metadata, terms, sum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET "
	upsertWork = insertWork + `title = excluded.title, artist = excluded.artist, year = excluded.year, link = excluded.link,
		metadata = excluded.metadata, terms = excluded.terms, sum = excluded.sum`
	keepWork    = insertWork + "id = excluded.id" // locks it
	upsertPhoto = `INSERT INTO photos (work, id, hash, source, vector, direction, sum, crop, crop_sum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (work, id) DO UPDATE SET hash = excluded.hash, source = excluded.source, vector = excluded.vector,
			direction = excluded.direction, sum = excluded.sum, crop = excluded.crop, crop_sum = excluded.crop_sum`
)

// DeleteWork implements index.Store.
func (s *Store) DeleteWork(ctx context.Context, work string) error {
	return s.change(ctx, "delete", false, func(tx pgx.Tx) error {
		if !canBeID(work) {
			return notFound("work %q", work)
		}
		switch deleted, err := tx.Exec(ctx, "DELETE FROM works WHERE id = $1", work); {
		case err != nil:
			return fmt.Errorf("work %q: %w", work, err)
		case deleted.RowsAffected() == 0:
			return notFound("work %q", work)
		}
		return nil
	})
}

// DeletePhoto implements index.Store.
func (s *Store) DeletePhoto(ctx context.Context, work, photo string) error {
	return s.change(ctx, "delete", false, func(tx pgx.Tx) error {
		if !canBeID(work) || !canBeID(photo) {
			return notFound("photo %q of work %q", photo, work)
		}
		switch deleted, err := tx.Exec(ctx, "DELETE FROM photos WHERE work = $1 AND id = $2", work, photo); {
		case err != nil:
			return fmt.Errorf("photo %q of work %q: %w", photo, work, err)
		case deleted.RowsAffected() == 0:
			return notFound("photo %q of work %q", photo, work)
		}
		return nil
	})
}

// DeleteWhere implements index.Store.
func (s *Store) DeleteWhere(ctx context.Context, filter index.Filter) (works int, err error) {
	if err := filter.Check(); err != nil {
		return 0, err
	}
	if len(filter) == 0 {
		return 0, invalid("delete where: without a condition everything would go")
	}
	err = s.change(ctx, "delete where", false, func(tx pgx.Tx) error {
		var args arguments
		deleted, err := tx.Exec(ctx, "DELETE FROM works WHERE id IN (SELECT id FROM works w WHERE "+where(filter, &args)+" ORDER BY id FOR UPDATE)", args.planned()...)
		works = int(deleted.RowsAffected())
		return err
	})
	if err != nil {
		return 0, err
	}
	return works, nil
}
