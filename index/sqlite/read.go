package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/index"
)

// Get implements index.Store.
func (s *Store) Get(ctx context.Context, work string) (index.Entry, error) {
	var e index.Entry
	err := s.read(ctx, "get", func(tx *sql.Tx) error {
		w, err := scanWork(tx.QueryRowContext(ctx, selectWorks+" WHERE id = ?", work).Scan)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return notFound("work %q", work)
		case err != nil:
			return err
		}
		e.Work = w.Work
		e.Photos, err = photosOf(ctx, tx, s.space.Dimension, w, false)
		return err
	})
	return e, err
}

// GetPhoto implements index.Store.
func (s *Store) GetPhoto(ctx context.Context, work, photo string) (index.Photo, error) {
	var p index.Photo
	err := s.read(ctx, "get", func(tx *sql.Tx) error {
		row := tx.QueryRowContext(ctx, selectPhotosAndCrops+" WHERE p.work = (SELECT key FROM works WHERE id = ?) AND p.id = ?", work, photo)
		found, err := scanPhoto(row.Scan, s.space.Dimension, true)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return notFound("photo %q of work %q", photo, work)
		case err != nil:
			return fmt.Errorf("photo %q of work %q: %w", photo, work, err)
		}
		p = found.Photo
		return nil
	})
	return p, err
}

// FindHash implements index.Store.
func (s *Store) FindHash(ctx context.Context, hash string) ([]index.PhotoRef, error) {
	var refs []index.PhotoRef
	err := s.read(ctx, "find hash", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT w.id, p.id FROM photos p JOIN works w ON w.key = p.work
			WHERE p.hash = ? AND p.hash <> '' ORDER BY w.id, p.id`, hash)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r index.PhotoRef
			if err := rows.Scan(&r.Work, &r.Photo); err != nil {
				return err
			}
			refs = append(refs, r)
		}
		return rows.Err()
	})
	return refs, err
}

// pageBytes is about how large a page of Scan may get.
const pageBytes = 8 << 20

// Scan implements index.Store.
func (s *Store) Scan(ctx context.Context, o index.ScanOptions) (index.Page, error) {
	var page index.Page
	err := s.read(ctx, "scan", func(tx *sql.Tx) error {
		o, err := o.Prepare()
		if err != nil {
			return err
		}
		after, err := index.DecodeCursor(o.Cursor)
		if err != nil {
			return err
		}
		works, more, err := worksAfter(ctx, tx, after, o)
		if err != nil {
			return err
		}
		bytes := 0
		for i, w := range works {
			photos, err := photosOf(ctx, tx, s.space.Dimension, w, o.Crops)
			if err != nil {
				return err
			}
			page.Entries = append(page.Entries, index.Entry{Work: w.Work, Photos: photos})
			for _, p := range photos {
				bytes += 4*len(p.Vector) + len(p.Crop)
			}
			if bytes > pageBytes && i+1 < len(works) {
				more = true
				break
			}
		}
		if more {
			page.Next = index.EncodeCursor(page.Entries[len(page.Entries)-1].Work.ID)
		}
		return nil
	})
	if err != nil {
		return index.Page{}, err
	}
	return page, nil
}

// worksAfter returns a page of the works that the filter chooses, and whether
// there are more of them.
func worksAfter(ctx context.Context, tx *sql.Tx, after string, o index.ScanOptions) (works []storedWork, more bool, err error) {
	rows, err := tx.QueryContext(ctx, selectWorks+" WHERE id > ? ORDER BY id", after)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		w, err := scanWork(rows.Scan)
		if err != nil {
			return nil, false, err
		}
		if !o.Filter.Match(&w.Work) {
			continue
		}
		if len(works) == o.Limit {
			return works, true, nil
		}
		works = append(works, w)
	}
	return works, false, rows.Err()
}

// read gives f one view of the file.
func (s *Store) read(ctx context.Context, doing string, f func(*sql.Tx) error) error {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	tx, err := s.reads.BeginTx(ctx, nil)
	if err != nil {
		return failure(ctx, doing, err)
	}
	defer rollback(tx)
	if err := f(tx); err != nil {
		return failure(ctx, doing, err)
	}
	return nil
}

type storedWork struct {
	index.Work
	key int64
}

const selectWorks = "SELECT key, id, title, artist, year, link, metadata, sum FROM works"

// scanWork reads a row of selectWorks. Of a damaged one it returns what can be
// read, and an error (Damaged).
func scanWork(scan func(...any) error) (storedWork, error) {
	var w storedWork
	var metadata string
	var sum int64
	if err := scan(&w.key, &w.ID, &w.Title, &w.Artist, &w.Year, &w.Link, &metadata, &sum); err != nil {
		return w, err
	}
	if sum != sumOfWork(&w.Work, metadata) {
		return w, damaged(fmt.Errorf("work %q: %w", w.ID, errSum))
	}
	var err error
	if w.Metadata, err = decodeMetadata(metadata); err != nil {
		return w, damaged(fmt.Errorf("metadata of work %q: %w", w.ID, err))
	}
	return w, nil
}

type storedPhoto struct {
	index.Photo
	key  int64
	work int64 // key
}

const (
	selectPhotos         = "SELECT p.key, p.work, p.id, p.hash, p.source, p.vector, p.sum FROM photos p"
	selectPhotosAndCrops = "SELECT p.key, p.work, p.id, p.hash, p.source, p.vector, p.sum, c.jpeg, c.sum FROM photos p LEFT JOIN crops c ON c.photo = p.key"
)

// scanPhoto reads a row of selectPhotos, or of selectPhotosAndCrops. Of a
// damaged one it returns what can be read, and an error (Damaged).
func scanPhoto(scan func(...any) error, dimension int, crop bool) (storedPhoto, error) {
	var p storedPhoto
	var vector []byte
	var sum int64
	var cropSum sql.NullInt64
	into := []any{&p.key, &p.work, &p.ID, &p.Hash, &p.Source, &vector, &sum}
	if crop {
		into = append(into, &p.Crop, &cropSum)
	}
	if err := scan(into...); err != nil {
		return p, err
	}
	if sum != sumOfPhoto(p.work, p.ID, p.Hash, p.Source, vector) {
		return p, damaged(errSum)
	}
	var err error
	if p.Vector, err = decodeVector(vector, dimension); err != nil {
		return p, damaged(err)
	}
	if cropSum.Valid && cropSum.Int64 != sumOfCrop(p.key, p.Crop) {
		return p, damaged(fmt.Errorf("crop: %w", errSum))
	}
	return p, nil
}

func photosOf(ctx context.Context, tx *sql.Tx, dimension int, w storedWork, crops bool) ([]index.Photo, error) {
	query := selectPhotos
	if crops {
		query = selectPhotosAndCrops
	}
	rows, err := tx.QueryContext(ctx, query+" WHERE p.work = ? ORDER BY p.id", w.key)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var photos []index.Photo
	for rows.Next() {
		p, err := scanPhoto(rows.Scan, dimension, crops)
		if err != nil {
			return nil, fmt.Errorf("photo %q of work %q: %w", p.ID, w.ID, err)
		}
		photos = append(photos, p.Photo)
	}
	return photos, rows.Err()
}

func damaged(err error) error { return &index.Error{Kind: index.Damaged, Err: err} }
