package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/pgvector/pgvector-go"

	"github.com/lexicam/lexicrop/index"
)

// Verify implements index.Store: it checks every row against its sum, and what
// searches and filters use against what the rows say. Changes may go on
// meanwhile. Pages and indexes are PostgreSQL's to check (pg_amcheck).
func (s *Store) Verify(ctx context.Context) (index.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(errClosing) })() // Close does not wait for all of this
	var v verification
	err := s.read(ctx, "verify", func(tx pgx.Tx) error {
		v = verification{dimension: s.space.Dimension}
		if err := v.checkWorks(ctx, tx); err != nil {
			return err
		}
		return v.checkPhotos(ctx, tx)
	})
	if err != nil {
		if errors.Is(context.Cause(ctx), errClosing) {
			err = s.isClosed()
		}
		return index.Report{}, err
	}
	return v.report, nil
}

var errClosing = errors.New("the store is closing")

type verification struct {
	dimension int
	report    index.Report
}

func (v *verification) found(work, photo, what string) {
	v.report.Problems = append(v.report.Problems, index.Problem{Work: work, Photo: photo, What: what})
}

func (v *verification) checkWorks(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT "+workColumns+", w.terms FROM works w ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var terms []pgtype.UUID
		w, err := scanWork(rows, &terms)
		switch {
		case index.KindOf(err) == index.Damaged:
			v.found(w.ID, "", err.Error())
		case err != nil:
			return err
		case !slices.Equal(terms, termsOf(&w)):
			v.found(w.ID, "", "filters take it for another work")
		}
		v.report.Works++
	}
	return rows.Err()
}

func (v *verification) checkPhotos(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, "SELECT "+photoAndCropColumns+", p.direction FROM photos p ORDER BY work, id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var direction pgvector.Vector
		work, p, err := scanPhoto(rows, v.dimension, true, &direction)
		switch {
		case index.KindOf(err) == index.Damaged:
			v.found(work, p.ID, err.Error())
		case err != nil:
			return fmt.Errorf("read the photos: %w", err)
		case !slices.Equal(direction.Slice(), index.DirectionOf(p.Vector)):
			v.found(work, p.ID, "searches use another vector than the one kept")
		}
		v.report.Photos++
	}
	return rows.Err()
}
