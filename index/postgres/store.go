// Package postgres keeps a catalogue in PostgreSQL with the extension pgvector,
// for several processes at once: all of them read and write the same tables and
// keep nothing of them in memory. A search compares the query with every vector
// in the database, and so misses none.
//
// What is acknowledged is on the disk of the server that acknowledged it. With
// standby servers that follow asynchronously, a failover can lose the last
// moments; synchronous_standby_names is PostgreSQL's answer to that.
//
// Connections need a server of UTF-8, version 13 or newer, that takes writes.
// Between them and it, PgBouncer must pool sessions, not transactions.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lexicam/lexicrop/index"
)

// Options say how to open a catalogue.
type Options struct {
	// DSN says where the database is: a URL (postgres://user@host:5432/database)
	// or keyword=value pairs, with what is left out taken from the environment
	// as psql does (PGHOST, PGPASSWORD, PGPASSFILE, ...). No error and no log
	// has its text, which may hold a password.
	DSN string
	// Schema has the tables of the catalogue. Each schema has a catalogue of its
	// own. Default: lexicrop.
	Schema string
	// Space of the vectors. A catalogue that is there must have the same one;
	// left empty, it is that of the catalogue, which must be there.
	Space index.Space
	// MaxConns is the most connections to have at once, MinConns how many to
	// keep open without need. Default: pool_max_conns and pool_min_conns of the
	// DSN, else one for each core, but at least 4, and none.
	MaxConns, MinConns int
	// Log is told of settings of the server that endanger what is kept, and of
	// damage. Default: nowhere.
	Log *slog.Logger
}

// MaxDimension is the most values of a vector that pgvector can keep, a little
// less than index.MaxDimension. Search is fastest up to 1,900, which fit on a
// page of PostgreSQL.
const MaxDimension = 16000

// Store is an index.Store. Changes of the same work wait for each other,
// whichever process makes them.
type Store struct {
	place string // for people
	space index.Space
	log   *slog.Logger
	pool  *pgxpool.Pool

	using  sync.RWMutex // held to read by every call, to write by Close
	closed bool
	stop   context.CancelFunc // ends the calls that take long
	life   context.Context    // ended by stop
}

var _ index.Store = (*Store)(nil)

// Open opens the catalogue in a schema of a database, or makes it if it is not
// there: schema, extension and tables, as far as they are missing and the role
// may. Several processes may do so at once.
//
// Errors are *index.Error: OtherSpace and WrongDimension if the catalogue holds
// other vectors, NotFound if there is none and Options name no space, Invalid if
// Options, database or schema cannot serve, Unavailable if the server cannot be
// reached.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Schema == "" {
		o.Schema = "lexicrop"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config, err := configure(o)
	if err != nil {
		return nil, failure(ctx, "open the catalogue", err)
	}
	s := &Store{place: placeOf(config.ConnConfig, o.Schema), log: o.Log}
	if err := s.open(ctx, config, o); err != nil {
		return nil, failure(ctx, "open the catalogue in "+s.place, err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, config *pgxpool.Config, o Options) error {
	extension, err := s.prepare(ctx, config.ConnConfig, o)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["search_path"] = searchPath(o.Schema, extension)
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if err := s.pool.Ping(ctx); err != nil {
		s.pool.Close()
		return err
	}
	s.life, s.stop = context.WithCancel(context.Background())
	return nil
}

// prepare makes what is missing in the database, over a connection of its own,
// and learns the space. It returns the schema that has the extension.
func (s *Store) prepare(ctx context.Context, config *pgx.ConnConfig, o Options) (extension string, err error) {
	conn, err := pgx.ConnectConfig(ctx, config.Copy())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if err := s.checkServer(ctx, conn); err != nil {
		return "", err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		s.space, extension, err = migrate(ctx, tx, o.Schema, o.Space)
		return err
	})
	return extension, err
}

// Close implements index.Store.
func (s *Store) Close() error {
	s.stop()
	s.using.Lock()
	defer s.using.Unlock()
	if !s.closed {
		s.closed = true
		s.pool.Close()
	}
	return nil
}

// use begins a call; done ends it.
func (s *Store) use(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.using.RLock()
	if s.closed {
		s.using.RUnlock()
		return nil, s.isClosed()
	}
	return s.using.RUnlock, nil
}

func (s *Store) isClosed() error {
	return &index.Error{Kind: index.Closed, Err: errors.New(s.place)}
}

// Info implements index.Store.
func (s *Store) Info(ctx context.Context) (index.Info, error) {
	info := index.Info{Kind: "postgres", Space: s.space}
	err := s.read(ctx, "info", func(tx pgx.Tx) error {
		var err error
		if info.Counts, err = count(ctx, tx, nil); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT pg_total_relation_size('works') + pg_total_relation_size('photos')").Scan(&info.Bytes)
	})
	if err != nil {
		return index.Info{}, err
	}
	return info, nil
}

// Count implements index.Store.
func (s *Store) Count(ctx context.Context, filter index.Filter) (index.Counts, error) {
	if err := filter.Check(); err != nil {
		return index.Counts{}, err
	}
	var n index.Counts
	err := s.read(ctx, "count", func(tx pgx.Tx) error {
		var err error
		n, err = count(ctx, tx, filter)
		return err
	})
	return n, err
}

func count(ctx context.Context, tx pgx.Tx, filter index.Filter) (n index.Counts, err error) {
	if len(filter) == 0 {
		err = tx.QueryRow(ctx, "SELECT (SELECT count(*) FROM works), (SELECT count(*) FROM photos)").Scan(&n.Works, &n.Photos)
		return n, err
	}
	var args arguments
	chosen := where(filter, &args)
	err = tx.QueryRow(ctx, "WITH chosen AS (SELECT id FROM works w WHERE "+chosen+`)
		SELECT (SELECT count(*) FROM chosen), (SELECT count(*) FROM photos WHERE work IN (SELECT id FROM chosen))`, args.planned()...).Scan(&n.Works, &n.Photos)
	return n, err
}

func notFound(format string, args ...any) error {
	return &index.Error{Kind: index.NotFound, Err: fmt.Errorf(format, args...)}
}
