package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/index"
)

// lock keeps other processes out, and other stores of this one: what is in
// memory would not follow their changes. It is an exclusive transaction on an
// empty SQLite file of its own, which every system that SQLite knows can do and
// which ends with the process, however that ends.
type lock struct {
	db   *sql.DB
	conn *sql.Conn
}

func acquire(ctx context.Context, path string) (*lock, error) {
	db, err := open(path, "_busy_timeout=0")
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l := &lock{db: db, conn: conn}
	if _, err := conn.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		if kindOf(err) == index.Locked {
			err = &index.Error{Kind: index.Locked, Err: fmt.Errorf("another process, or another part of this one, has it open (%s)", path)}
		}
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

func (l *lock) release() error { return errors.Join(l.conn.Close(), l.db.Close()) }
