package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/lexicam/lexicrop/index"
)

// Get implements index.Store.
func (s *Store) Get(ctx context.Context, work string) (index.Entry, error) {
	var e index.Entry
	err := s.read(ctx, "get", func(tx pgx.Tx) error {
		if !canBeID(work) {
			return notFound("work %q", work)
		}
		var err error
		e.Work, err = scanWork(tx.QueryRow(ctx, "SELECT "+workColumns+" FROM works w WHERE id = $1", work))
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return notFound("work %q", work)
		case err != nil:
			return err
		}
		photos, err := s.photosOf(ctx, tx, []string{work}, false)
		e.Photos = photos[work]
		return err
	})
	if err != nil {
		return index.Entry{}, err
	}
	return e, nil
}

// GetPhoto implements index.Store.
func (s *Store) GetPhoto(ctx context.Context, work, photo string) (index.Photo, error) {
	var p index.Photo
	err := s.read(ctx, "get", func(tx pgx.Tx) error {
		if !canBeID(work) || !canBeID(photo) {
			return notFound("photo %q of work %q", photo, work)
		}
		var err error
		_, p, err = scanPhoto(tx.QueryRow(ctx, "SELECT "+photoAndCropColumns+" FROM photos p WHERE work = $1 AND id = $2", work, photo), s.space.Dimension, true)
		if errors.Is(err, pgx.ErrNoRows) {
			return notFound("photo %q of work %q", photo, work)
		}
		return err
	})
	if err != nil {
		return index.Photo{}, err
	}
	return p, nil
}

// FindHash implements index.Store.
func (s *Store) FindHash(ctx context.Context, hash string) ([]index.PhotoRef, error) {
	var refs []index.PhotoRef
	err := s.read(ctx, "find hash", func(tx pgx.Tx) error {
		if !utf8.ValidString(hash) || strings.ContainsRune(hash, 0) {
			return nil // PostgreSQL takes no such text, and no photo has it
		}
		// An error of Query is that of rows too.
		rows, _ := tx.Query(ctx, "SELECT work, id FROM photos WHERE hash = $1 AND hash <> '' ORDER BY work, id", hash)
		var err error
		refs, err = pgx.AppendRows(refs[:0], rows, pgx.RowToStructByPos[index.PhotoRef])
		return err
	})
	return refs, err
}

// pageBytes is about how large a page of Scan may get.
const pageBytes = 8 << 20

// Scan implements index.Store.
func (s *Store) Scan(ctx context.Context, o index.ScanOptions) (index.Page, error) {
	o, err := o.Prepare()
	if err != nil {
		return index.Page{}, err
	}
	after, err := index.DecodeCursor(o.Cursor)
	if err != nil {
		return index.Page{}, err
	}
	var page index.Page
	err = s.read(ctx, "scan", func(tx pgx.Tx) error {
		works, more, err := s.worksAfter(ctx, tx, after, o)
		if err != nil {
			return err
		}
		ids := make([]string, len(works))
		for i := range works {
			ids[i] = works[i].ID
		}
		photos, err := s.photosOf(ctx, tx, ids, o.Crops)
		if err != nil {
			return err
		}
		page = index.Page{Entries: make([]index.Entry, len(works))}
		for i, w := range works {
			page.Entries[i] = index.Entry{Work: w, Photos: photos[w.ID]}
		}
		if more {
			page.Next = index.EncodeCursor(ids[len(ids)-1])
		}
		return nil
	})
	if err != nil {
		return index.Page{}, err
	}
	return page, nil
}

// worksAfter returns a page of the works that the filter chooses, as many as may
// come with their photos, and whether there are more of them.
func (s *Store) worksAfter(ctx context.Context, tx pgx.Tx, after string, o index.ScanOptions) (works []index.Work, more bool, err error) {
	size := fmt.Sprint("count(*) * ", 4*s.space.Dimension)
	if o.Crops {
		size += " + coalesce(sum(octet_length(crop)), 0)"
	}
	var args arguments
	rows, err := tx.Query(ctx, "SELECT "+workColumns+", (SELECT "+size+" FROM photos WHERE work = w.id) FROM works w WHERE id > "+args.add(after)+
		" AND "+where(o.Filter, &args)+" ORDER BY id LIMIT "+args.add(o.Limit+1), args.planned()...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for total := int64(0); rows.Next(); {
		if len(works) == o.Limit || total > pageBytes {
			return works, true, nil
		}
		var bytes int64
		w, err := scanWork(rows, &bytes)
		if err != nil {
			return nil, false, err
		}
		works = append(works, w)
		total += bytes
	}
	return works, false, rows.Err()
}

// photosOf returns the photos of works by ascending id.
func (s *Store) photosOf(ctx context.Context, tx pgx.Tx, works []string, crops bool) (map[string][]index.Photo, error) {
	columns := photoColumns
	if crops {
		columns = photoAndCropColumns
	}
	rows, err := tx.Query(ctx, "SELECT "+columns+" FROM photos p WHERE work = ANY ($1) ORDER BY work, id", works)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	photos := make(map[string][]index.Photo, len(works))
	for rows.Next() {
		work, p, err := scanPhoto(rows, s.space.Dimension, crops)
		if err != nil {
			return nil, err
		}
		photos[work] = append(photos[work], p)
	}
	return photos, rows.Err()
}
