package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"modernc.org/sqlite" // the driver "sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/lexicam/lexicrop/index"
)

// connect prepares connections to a catalogue.
func connect(path string, parameters ...string) (*sql.DB, error) {
	return open(path, append([]string{
		"_busy_timeout=10000",
		"_foreign_keys=on",
		"_pragma=journal_size_limit(67108864)",
		// Three vectors of 512. It counts only when the file is made, which
		// _journal_mode does: the driver sees to that after every _pragma.
		"_pragma=page_size(8192)",
		"_journal_mode=WAL",
		"_synchronous=FULL", // WAL with less loses what was acknowledged when the power goes
	}, parameters...)...)
}

func open(path string, parameters ...string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(parameters, "&")}
	return sql.Open("sqlite", name.String())
}

// applicationID marks a file as ours.
const applicationID = 0x6c786372 // "lxcr"

// migrations bring a file from the version that is their position to the next.
// What was released stays as it is.
var migrations = []string{`
CREATE TABLE properties (
	name  TEXT PRIMARY KEY,
	value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE works (
	key      INTEGER PRIMARY KEY,
	id       TEXT NOT NULL UNIQUE,
	title    TEXT NOT NULL,
	artist   TEXT NOT NULL,
	year     INTEGER NOT NULL,
	link     TEXT NOT NULL,
	metadata TEXT NOT NULL,    -- JSON object, '' for none
	sum      INTEGER NOT NULL  -- of the row, see row.go
) STRICT;

CREATE TABLE photos (
	key    INTEGER PRIMARY KEY,
	work   INTEGER NOT NULL REFERENCES works (key) ON DELETE CASCADE,
	id     TEXT NOT NULL,
	hash   TEXT NOT NULL,
	source TEXT NOT NULL,
	vector BLOB NOT NULL,      -- float32, little endian
	sum    INTEGER NOT NULL,
	UNIQUE (work, id)
) STRICT;
CREATE INDEX photos_by_hash ON photos (hash) WHERE hash <> '';

-- On their own, so that reading all vectors passes no crops.
CREATE TABLE crops (
	photo INTEGER PRIMARY KEY REFERENCES photos (key) ON DELETE CASCADE,
	jpeg  BLOB NOT NULL,
	sum   INTEGER NOT NULL
) STRICT;
`}

// recognise returns the version of the tables in a file, 0 of an empty one. It
// changes nothing: the file may be another program's.
func recognise(ctx context.Context, path string) (version int, err error) {
	db, err := open(path, "_busy_timeout=10000", "_query_only=on")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var application, tables int
	err = db.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").
		Scan(&application, &version, &tables)
	switch {
	case err != nil:
		return 0, err
	case application != applicationID && (application != 0 || version != 0 || tables != 0):
		return 0, &index.Error{Kind: index.Invalid, Err: errors.New("a SQLite file of another program")}
	case version > len(migrations):
		return 0, &index.Error{Kind: index.Invalid, Err: fmt.Errorf("written by a newer lexicrop: the tables are of version %d, this one knows %d", version, len(migrations))}
	}
	return version, nil
}

// migrate makes the tables, or brings them from this version up to date.
func migrate(ctx context.Context, db *sql.DB, version int) error {
	if version == len(migrations) {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer rollback(tx)
	for _, m := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, m); err != nil {
			return fmt.Errorf("migrate the tables from version %d: %w", version, err)
		}
		version++
	}
	for pragma, value := range map[string]int{"application_id": applicationID, "user_version": version} {
		if _, err := tx.ExecContext(ctx, "PRAGMA "+pragma+" = "+strconv.Itoa(value)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// bind returns the space of the file. A new file takes the given one, any other
// must have it unless it is empty.
func bind(ctx context.Context, db *sql.DB, given index.Space) (index.Space, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return index.Space{}, err
	}
	defer rollback(tx)
	var own index.Space
	err = tx.QueryRowContext(ctx, `SELECT s.value, f.value, d.value FROM properties s, properties f, properties d
		WHERE s.name = 'space' AND f.name = 'fingerprint' AND d.name = 'dimension'`).Scan(&own.Name, &own.Fingerprint, &own.Dimension)
	switch {
	case errors.Is(err, sql.ErrNoRows) && given == index.Space{}:
		return own, &index.Error{Kind: index.NotFound, Err: errors.New("the file holds no index yet")}
	case errors.Is(err, sql.ErrNoRows):
		_, err := tx.ExecContext(ctx, "INSERT INTO properties VALUES ('space', ?), ('fingerprint', ?), ('dimension', ?)", given.Name, given.Fingerprint, given.Dimension)
		if err != nil {
			return own, err
		}
		return given, tx.Commit()
	case err != nil:
		return own, err
	case given != index.Space{}:
		if err := own.Check(given); err != nil {
			return own, err
		}
	}
	if err := own.Valid(); err != nil {
		return own, &index.Error{Kind: index.Damaged, Err: err}
	}
	return own, nil
}

// rollback ends a transaction that was not committed. It fails only where there
// is nothing left to undo.
func rollback(tx *sql.Tx) { _ = tx.Rollback() }

func kindOf(err error) index.Kind {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return index.Internal
	}
	switch e.Code() & 0xff { // without what extends it
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return index.Damaged
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return index.Locked
	}
	return index.Internal
}
