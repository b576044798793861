// Package sqlite keeps a catalogue in one SQLite file and searches it in
// memory. The file is the record: it is written, and flushed to the disk,
// before a change is acknowledged. Opening reads all vectors into memory, about
// 2.6 KB for a photo of 512 values, and what is known of the works.
//
// A file belongs to one process at a time, which FILE.lock sees to. FILE-wal
// and FILE-shm are SQLite's own, and part of the catalogue while it is open or
// was not closed.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/exact"
)

// Options say how to open a catalogue.
type Options struct {
	// Space of the vectors. A file that is there must have the same one; left
	// empty, it is that of the file, which must be there.
	Space index.Space
	// Log is told what of a damaged catalogue is left out. Default: nowhere.
	Log *slog.Logger
}

// Store is an index.Store. Calls that change the catalogue wait for each other;
// a call that has begun to change is not cut short by its context.
type Store struct {
	path   string
	space  index.Space
	log    *slog.Logger
	lock   *lock
	reads  *sql.DB
	writes *sql.DB // one connection

	// What the file holds, but for damaged rows. Changed after the file, before
	// the change is acknowledged.
	memory *exact.Set

	writing chan struct{} // holds a value while a call changes the catalogue
	stmts   statements    // of writes

	using  sync.RWMutex // held to read by every call, to write by Close
	closed bool
	stop   context.CancelFunc // ends the calls that take long
	life   context.Context    // ended by stop
}

var _ index.Store = (*Store)(nil)

// Open opens the catalogue in the file path, or makes it if it is not there.
// Errors are *index.Error: Locked while another process has it, OtherSpace and
// WrongDimension if it holds other vectors, NotFound if there is none and
// Options name no space, Damaged if it cannot be read.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s, err := newStore(ctx, path, o)
	if err != nil {
		return nil, failure(ctx, "open "+path, err)
	}
	return s, nil
}

func newStore(ctx context.Context, path string, o Options) (_ *Store, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved // one file must have one lock
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Space == (index.Space{}) {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, &index.Error{Kind: index.NotFound, Err: err}
		}
	} else if err := o.Space.Valid(); err != nil {
		return nil, err
	}

	s := &Store{path: path, log: o.Log, writing: make(chan struct{}, 1)}
	s.life, s.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if s.lock, err = acquire(ctx, path+".lock"); err != nil {
		return nil, err
	}
	version, err := recognise(ctx, path)
	if err != nil {
		return nil, err
	}
	if s.writes, err = connect(path, "_txlock=immediate"); err != nil {
		return nil, err
	}
	s.writes.SetMaxOpenConns(1)
	if err = migrate(ctx, s.writes, version); err != nil {
		return nil, err
	}
	if s.space, err = bind(ctx, s.writes, o.Space); err != nil {
		return nil, err
	}
	if s.reads, err = connect(path, "_query_only=on"); err != nil {
		return nil, err
	}
	s.reads.SetMaxIdleConns(maxReaders)
	s.reads.SetMaxOpenConns(maxReaders)
	if err = s.stmts.prepare(ctx, s.writes); err != nil {
		return nil, err
	}
	if s.memory, err = s.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// maxReaders bounds the connections that read, each with its cache of 2 MB.
const maxReaders = 4

// Close implements index.Store.
func (s *Store) Close() error {
	s.stop()
	s.using.Lock()
	defer s.using.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.memory = nil
	if err := s.release(); err != nil {
		return failure(context.Background(), "close "+s.path, err)
	}
	return nil
}

// release closes what is open. The connection that writes goes last of the
// two, and with it SQLite moves the write-ahead log into the file.
func (s *Store) release() error {
	s.stop()
	var errs []error
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.writes != nil {
		errs = append(errs, s.stmts.close(), s.writes.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}

// use begins a call; done ends it.
func (s *Store) use(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.using.RLock()
	if s.closed {
		s.using.RUnlock()
		return nil, &index.Error{Kind: index.Closed, Err: errors.New(s.path)}
	}
	return s.using.RUnlock, nil
}

// Info implements index.Store.
func (s *Store) Info(ctx context.Context) (index.Info, error) {
	done, err := s.use(ctx)
	if err != nil {
		return index.Info{}, err
	}
	defer done()
	info := index.Info{Kind: "sqlite", Space: s.space, Counts: s.memory.Snapshot().Counts()}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if file, err := os.Stat(s.path + suffix); err == nil {
			info.Bytes += file.Size()
		}
	}
	return info, nil
}

// Count implements index.Store.
func (s *Store) Count(ctx context.Context, filter index.Filter) (index.Counts, error) {
	done, err := s.use(ctx)
	if err != nil {
		return index.Counts{}, err
	}
	defer done()
	if err := filter.Check(); err != nil {
		return index.Counts{}, err
	}
	var n index.Counts
	for _, photos := range s.memory.Snapshot().Works(filter) {
		n.Works++
		n.Photos += photos
	}
	return n, nil
}

// Search implements index.Store. It compares the query with every vector, and
// so misses none.
func (s *Store) Search(ctx context.Context, q index.Query) ([]index.Match, error) {
	done, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if q, err = q.Prepare(s.space); err != nil {
		return nil, err
	}
	return s.memory.Search(ctx, q)
}

// failure makes an *index.Error of what is none yet, unless ctx ended: then it
// is why.
func failure(ctx context.Context, doing string, err error) error {
	if _, ok := errors.AsType[*index.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	return &index.Error{Kind: kindOf(err), Err: fmt.Errorf("%s: %w", doing, err)}
}
