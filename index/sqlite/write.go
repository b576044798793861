package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// Upsert implements index.Store.
func (s *Store) Upsert(ctx context.Context, space index.Space, entries ...index.Entry) error {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	if entries, err = index.Prepare(s.space, space, entries); err != nil || len(entries) == 0 {
		return err
	}
	return s.change(ctx, "upsert", func(ctx context.Context, c *change) error {
		for i := range entries {
			if err := c.upsert(ctx, &entries[i]); err != nil {
				return fmt.Errorf("work %q: %w", entries[i].Work.ID, err)
			}
		}
		return nil
	})
}

// DeleteWork implements index.Store.
func (s *Store) DeleteWork(ctx context.Context, work string) error {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.change(ctx, "delete", func(ctx context.Context, c *change) error { return c.deleteWork(ctx, work) })
}

// DeletePhoto implements index.Store.
func (s *Store) DeletePhoto(ctx context.Context, work, photo string) error {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.change(ctx, "delete", func(ctx context.Context, c *change) error {
		switch n, err := rowsOf(c.stmt(ctx, c.stmts.deletePhoto).ExecContext(ctx, work, photo)); {
		case err != nil:
			return fmt.Errorf("photo %q of work %q: %w", photo, work, err)
		case n == 0:
			return notFound("photo %q of work %q", photo, work)
		}
		c.then(func(m *exact.Change) { m.DeletePhoto(work, photo) })
		return nil
	})
}

// DeleteWhere implements index.Store.
func (s *Store) DeleteWhere(ctx context.Context, filter index.Filter) (works int, err error) {
	done, err := s.use(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	if err := filter.Check(); err != nil {
		return 0, err
	}
	if len(filter) == 0 {
		return 0, &index.Error{Kind: index.Invalid, Err: errors.New("delete where: without a condition everything would go")}
	}
	err = s.change(ctx, "delete where", func(ctx context.Context, c *change) error {
		for w := range s.memory.Snapshot().Works(filter) {
			if err := c.deleteWork(ctx, w.ID); err != nil {
				return err
			}
			works++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return works, nil
}

// change is a transaction on the file, and what to do in memory once it is
// committed.
type change struct {
	tx    *sql.Tx
	stmts *statements
	after []func(*exact.Change)
}

// change makes a change as a whole. It waits for its turn as long as ctx
// allows, and is not interrupted after that: where a commit is cut short nobody
// could tell whether it took place.
func (s *Store) change(ctx context.Context, doing string, make func(context.Context, *change) error) error {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return failure(ctx, doing, ctx.Err())
	}
	defer func() { <-s.writing }()
	ctx = context.WithoutCancel(ctx)

	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return failure(ctx, doing, err)
	}
	defer rollback(tx)
	c := &change{tx: tx, stmts: &s.stmts}
	if err := make(ctx, c); err != nil {
		return failure(ctx, doing, err)
	}
	if err := tx.Commit(); err != nil {
		return failure(ctx, doing, err)
	}
	memory := s.memory.Begin()
	for _, f := range c.after {
		f(memory)
	}
	memory.Publish()
	return nil
}

func (c *change) then(f func(*exact.Change)) { c.after = append(c.after, f) }

// stmt returns the prepared statement s for use in the transaction.
func (c *change) stmt(ctx context.Context, s *sql.Stmt) *sql.Stmt { return c.tx.StmtContext(ctx, s) }

func (c *change) upsert(ctx context.Context, e *index.Entry) error {
	key, err := c.upsertWork(ctx, e)
	if err != nil {
		return err
	}
	for i := range e.Photos {
		if err := c.upsertPhoto(ctx, key, e.Work.ID, e.Photos[i]); err != nil {
			return fmt.Errorf("photo %q: %w", e.Photos[i].ID, err)
		}
	}
	return nil
}

func (c *change) upsertWork(ctx context.Context, e *index.Entry) (key int64, err error) {
	w := e.Work
	if e.KeepWork {
		err := c.stmt(ctx, c.stmts.workKey).QueryRowContext(ctx, w.ID).Scan(&key)
		if !errors.Is(err, sql.ErrNoRows) {
			return key, err
		}
	}
	metadata, err := encodeMetadata(w.Metadata)
	if err != nil {
		return 0, err
	}
	err = c.stmt(ctx, c.stmts.upsertWork).QueryRowContext(ctx, w.ID, w.Title, w.Artist, w.Year, w.Link, metadata, sumOfWork(&w, metadata)).Scan(&key)
	c.then(func(m *exact.Change) { m.PutWork(w) })
	return key, err
}

func (c *change) upsertPhoto(ctx context.Context, workKey int64, work string, p index.Photo) error {
	if p.Hash != "" {
		if err := c.deleteSame(ctx, workKey, work, &p); err != nil {
			return err
		}
	}
	var key int64
	vector := encodeVector(p.Vector)
	err := c.stmt(ctx, c.stmts.upsertPhoto).QueryRowContext(ctx, workKey, p.ID, p.Hash, p.Source, vector, sumOfPhoto(workKey, p.ID, p.Hash, p.Source, vector)).Scan(&key)
	if err != nil {
		return err
	}
	if len(p.Crop) > 0 {
		_, err = c.stmt(ctx, c.stmts.upsertCrop).ExecContext(ctx, key, p.Crop, sumOfCrop(key, p.Crop))
	} else {
		_, err = c.stmt(ctx, c.stmts.deleteCrop).ExecContext(ctx, key)
	}
	// The caller may use its memory again.
	p.Vector, p.Crop = append([]float32(nil), p.Vector...), nil
	c.then(func(m *exact.Change) { m.PutPhoto(work, &p) })
	return err
}

// deleteSame removes the photo of the same content as p that has another id.
func (c *change) deleteSame(ctx context.Context, workKey int64, work string, p *index.Photo) error {
	var id string
	err := c.stmt(ctx, c.stmts.deleteSame).QueryRowContext(ctx, workKey, p.Hash, p.ID).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	c.then(func(m *exact.Change) { m.DeletePhoto(work, id) })
	return err
}

func (c *change) deleteWork(ctx context.Context, work string) error {
	switch n, err := rowsOf(c.stmt(ctx, c.stmts.deleteWork).ExecContext(ctx, work)); {
	case err != nil:
		return fmt.Errorf("work %q: %w", work, err)
	case n == 0:
		return notFound("work %q", work)
	}
	c.then(func(m *exact.Change) { m.DeleteWork(work) })
	return nil
}

// statements are those that change the catalogue.
type statements struct {
	workKey, upsertWork, deleteWork      *sql.Stmt
	upsertPhoto, deletePhoto, deleteSame *sql.Stmt
	upsertCrop, deleteCrop               *sql.Stmt
}

func (s *statements) all() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&s.workKey: "SELECT key FROM works WHERE id = ?",
		&s.upsertWork: `INSERT INTO works (id, title, artist, year, link, metadata, sum) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET title = excluded.title, artist = excluded.artist, year = excluded.year,
				link = excluded.link, metadata = excluded.metadata, sum = excluded.sum
			RETURNING key`,
		&s.deleteWork: "DELETE FROM works WHERE id = ?",
		&s.upsertPhoto: `INSERT INTO photos (work, id, hash, source, vector, sum) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (work, id) DO UPDATE SET hash = excluded.hash, source = excluded.source, vector = excluded.vector, sum = excluded.sum
			RETURNING key`,
		&s.deletePhoto: "DELETE FROM photos WHERE work = (SELECT key FROM works WHERE id = ?) AND id = ?",
		&s.deleteSame:  "DELETE FROM photos WHERE work = ? AND hash = ? AND hash <> '' AND id <> ? RETURNING id",
		&s.upsertCrop:  "INSERT INTO crops (photo, jpeg, sum) VALUES (?, ?, ?) ON CONFLICT (photo) DO UPDATE SET jpeg = excluded.jpeg, sum = excluded.sum",
		&s.deleteCrop:  "DELETE FROM crops WHERE photo = ?",
	}
}

func (s *statements) prepare(ctx context.Context, db *sql.DB) error {
	for stmt, text := range s.all() {
		var err error
		if *stmt, err = db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (s *statements) close() error {
	var errs []error
	for stmt := range s.all() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	return errors.Join(errs...)
}

func rowsOf(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func notFound(format string, args ...any) error {
	return &index.Error{Kind: index.NotFound, Err: fmt.Errorf(format, args...)}
}
