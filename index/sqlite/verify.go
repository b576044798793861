package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// Verify implements index.Store: it checks the structure of the file, every row
// against its sum, and what is in memory against the file. Changes may go on
// meanwhile.
func (s *Store) Verify(ctx context.Context) (index.Report, error) {
	done, err := s.use(ctx)
	if err != nil {
		return index.Report{}, err
	}
	defer done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)() // Close does not wait for all of this

	v := verification{dimension: s.space.Dimension}
	tx, memory, err := s.freeze(ctx)
	if err != nil {
		return index.Report{}, failure(ctx, "verify", err)
	}
	defer rollback(tx)
	for _, check := range []func(context.Context, *sql.Tx) error{v.checkStructure, v.checkWorks, v.checkPhotos} {
		if err := check(ctx, tx); err != nil {
			if s.life.Err() != nil {
				return index.Report{}, &index.Error{Kind: index.Closed, Err: errors.New(s.path)}
			}
			return index.Report{}, failure(ctx, "verify", err)
		}
	}
	v.checkMemory(memory)
	return v.report, nil
}

// freeze returns a transaction that sees the file, and the memory, of one
// moment.
func (s *Store) freeze(ctx context.Context) (*sql.Tx, exact.Snapshot, error) {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, exact.Snapshot{}, ctx.Err()
	}
	defer func() { <-s.writing }()
	tx, err := s.reads.BeginTx(ctx, nil)
	if err != nil {
		return nil, exact.Snapshot{}, err
	}
	var any int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&any); err != nil { // the first read begins it
		rollback(tx)
		return nil, exact.Snapshot{}, err
	}
	return tx, s.memory.Snapshot(), nil
}

type verification struct {
	dimension int
	report    index.Report
	works     map[int64]string            // ids by key
	vectors   map[index.PhotoRef][32]byte // what memory must hold
}

func (v *verification) found(work, photo, format string, args ...any) {
	v.report.Problems = append(v.report.Problems, index.Problem{Work: work, Photo: photo, What: fmt.Sprintf(format, args...)})
}

// checkStructure lets SQLite check its pages, indexes and references.
func (v *verification) checkStructure(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT integrity_check FROM pragma_integrity_check
		UNION ALL SELECT 'a row of ' || "table" || ' refers to a missing row of ' || parent FROM pragma_foreign_key_check`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			return err
		}
		if what != "ok" {
			v.found("", "", "%s", what)
		}
	}
	return rows.Err()
}

func (v *verification) checkWorks(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, selectWorks)
	if err != nil {
		return err
	}
	defer rows.Close()
	v.works = map[int64]string{}
	for rows.Next() {
		w, err := scanWork(rows.Scan)
		switch {
		case index.KindOf(err) == index.Damaged:
			v.found(w.ID, "", "%v", err)
		case err != nil:
			return err
		}
		v.works[w.key] = w.ID
		v.report.Works++
	}
	return rows.Err()
}

func (v *verification) checkPhotos(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, selectPhotosAndCrops)
	if err != nil {
		return err
	}
	defer rows.Close()
	v.vectors = map[index.PhotoRef][32]byte{}
	for rows.Next() {
		p, err := scanPhoto(rows.Scan, v.dimension, true)
		work, ok := v.works[p.work]
		switch {
		case index.KindOf(err) == index.Damaged:
			v.found(work, p.ID, "%v", err)
		case err != nil:
			return err
		}
		v.report.Photos++
		if ok && p.Vector != nil {
			v.vectors[index.PhotoRef{Work: work, Photo: p.ID}] = sha256.Sum256(encodeVector(p.Vector))
		}
	}
	return rows.Err()
}

// checkMemory compares what is searched with what the file holds.
func (v *verification) checkMemory(memory exact.Snapshot) {
	for ref, vector := range memory.Photos() {
		switch sum, ok := v.vectors[ref]; {
		case !ok:
			v.found(ref.Work, ref.Photo, "is found by searches, but the file does not hold it")
		case sum != sha256.Sum256(encodeVector(vector)):
			v.found(ref.Work, ref.Photo, "searches use another vector than that in the file")
		}
		delete(v.vectors, ref)
	}
	for ref := range v.vectors {
		v.found(ref.Work, ref.Photo, "is in the file, but searches do not find it")
	}
}
