package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lexicam/lexicrop/index"
)

// read gives f one view of the catalogue.
func (s *Store) read(ctx context.Context, doing string, f func(pgx.Tx) error) error {
	return s.call(ctx, doing, true, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
}

// change makes a change as a whole. repeatable says whether making it twice is
// the same as once.
func (s *Store) change(ctx context.Context, doing string, repeatable bool, f func(pgx.Tx) error) error {
	return s.call(ctx, doing, repeatable, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, f)
}

// call runs f in a transaction, and once more where that may help: the
// connection was lost, as all of a pool are when the server starts again, or
// the transaction met another one.
func (s *Store) call(ctx context.Context, doing string, repeatable bool, o pgx.TxOptions, f func(pgx.Tx) error) error {
	done, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = pgx.BeginTxFunc(ctx, s.pool, o, f)
	lost := isLost(err)
	if lost {
		s.pool.Reset() // the others are no better
	}
	if ctx.Err() == nil && (metAnother(err) || lost && repeatable || pgconn.SafeToRetry(err)) {
		err = pgx.BeginTxFunc(ctx, s.pool, o, f)
	}
	if err != nil {
		return failure(ctx, doing, err)
	}
	return nil
}

// isLost says whether a connection that was there is gone, with what it was
// doing.
func isLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "57P") // shut down by an administrator, or after a crash
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, pgconn.ErrConnClosed)
}

// metAnother says whether the server gave up a transaction in favour of one that
// ran beside it, or found that one had removed what it built on.
func metAnother(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	const serialization, deadlock, foreignKey = "40001", "40P01", "23503"
	return ok && (e.Code == serialization || e.Code == deadlock || e.Code == foreignKey)
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
	if isLost(err) {
		err = fmt.Errorf("the connection to PostgreSQL was lost: %w", err)
	}
	return &index.Error{Kind: kindOf(err), Err: fmt.Errorf("%s: %w", doing, err)}
}

func kindOf(err error) index.Kind {
	e, said := errors.AsType[*pgconn.PgError](err)
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case said && strings.HasPrefix(e.Code, "XX00") && e.Code != "XX000":
		return index.Damaged // pages or indexes
	case isLost(err), unconnected && !said:
		return index.Unavailable
	}
	return index.Internal
}
