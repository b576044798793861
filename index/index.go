// Package index is the catalogue: works of art with their photos as vectors,
// and the search for the work that a vector shows. Store is what every kind of
// catalogue does, whatever keeps it; package indextest checks that one does.
package index

import (
	"context"
	"iter"
)

// Store keeps a catalogue. It is safe for concurrent use.
//
// Durable: what Upsert and the deletions acknowledged, by returning nil,
// outlives the process, however it ends, and the machine, where its disks keep
// what they report as written. A call that failed may have done a part of its
// work if Kind is Internal or Unavailable; then repeating it is right.
//
// Consistent: every call that starts after a change was acknowledged sees it,
// Search included.
//
// A store holds vectors of one Space, fixed when it is made.
//
// Ids order by their bytes.
//
// Errors are *Error, except those of a context that ended, which satisfy
// errors.Is with ctx.Err(). After Close every call fails with Closed.
type Store interface {
	// Info describes the store.
	Info(ctx context.Context) (Info, error)

	// Upsert adds entries or replaces what is there under their ids, in order.
	// Photos of a work that its entry does not mention stay. Doing it again
	// changes nothing. space is the one that the vectors come from.
	//
	// Within a work a content hash occurs once: a photo replaces the one of the
	// same hash that has another id.
	//
	// Fails with Invalid, WrongDimension, BadVector or OtherSpace.
	Upsert(ctx context.Context, space Space, entries ...Entry) error

	// DeleteWork removes a work and its photos; NotFound if there is none.
	DeleteWork(ctx context.Context, work string) error
	// DeletePhoto removes one photo; NotFound if there is none. Its work stays,
	// be it without photos.
	DeletePhoto(ctx context.Context, work, photo string) error
	// DeleteWhere removes the works that filter chooses, with their photos, and
	// counts them. A filter without conditions is Invalid: it would empty the
	// catalogue by an oversight.
	DeleteWhere(ctx context.Context, filter Filter) (works int, err error)

	// Get returns a work with its photos by ascending id, without their crops;
	// NotFound if there is none.
	Get(ctx context.Context, work string) (Entry, error)
	// GetPhoto returns a photo with its crop; NotFound if there is none.
	GetPhoto(ctx context.Context, work, photo string) (Photo, error)
	// FindHash returns the photos of this content hash, by work and photo id.
	FindHash(ctx context.Context, hash string) ([]PhotoRef, error)

	// Search returns the works most similar to a vector, best first; works of
	// equal similarity by ascending id. No match is no error.
	// Fails with Invalid, WrongDimension, BadVector or OtherSpace.
	Search(ctx context.Context, query Query) ([]Match, error)

	// Count counts the works that filter chooses and their photos.
	Count(ctx context.Context, filter Filter) (Counts, error)
	// Scan reads the catalogue by ascending work id, a page a call; All reads
	// the whole of it. What is there all the while comes exactly once.
	Scan(ctx context.Context, options ScanOptions) (Page, error)

	// Verify reads everything and lists what is damaged. The error is about
	// the attempt, not about the damage.
	Verify(ctx context.Context) (Report, error)

	// Close waits for the calls under way and frees what the store holds. A
	// second Close does nothing.
	Close() error
}

// Info describes a store.
type Info struct {
	Kind  string // "sqlite", ...
	Space Space
	Counts
	// Bytes is the room taken where the catalogue is kept, 0 where unknown.
	Bytes int64
}

// Counts are numbers of works and of photos.
type Counts struct {
	Works  int
	Photos int
}

// PhotoRef names a photo.
type PhotoRef struct {
	Work  string
	Photo string
}

// ScanOptions say what Scan reads.
type ScanOptions struct {
	Cursor string // Page.Next of the page before; empty for the first
	// Limit is the most works in a page: 100 if 0, up to MaxPage. A page may
	// hold fewer though there are more: photos are large.
	Limit  int
	Filter Filter
	Crops  bool // whether the photos come with their crops
}

// MaxPage is the most works that a page of Scan can hold.
const MaxPage = 1000

// Page is what Scan returns.
type Page struct {
	Entries []Entry // photos by ascending id
	Next    string  // Cursor of the next page; empty when this is the last
}

// All scans a store to its end. An error ends the sequence.
func All(ctx context.Context, store Store, options ScanOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			page, err := store.Scan(ctx, options)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			options.Cursor = page.Next
		}
	}
}

// Report is what Verify found.
type Report struct {
	Counts   // what was read
	Problems []Problem
}

// Problem is one damage.
type Problem struct {
	Work  string // empty where it is about no single work
	Photo string // empty where it is about no single photo
	What  string
}
