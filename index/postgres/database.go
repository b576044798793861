package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	pgvector "github.com/pgvector/pgvector-go/pgx"

	"github.com/lexicam/lexicrop/index"
)

// configure makes of the options what the pool needs to connect.
func configure(o Options) (*pgxpool.Config, error) {
	if len(o.Schema) > 63 || strings.ContainsRune(o.Schema, 0) || strings.HasPrefix(o.Schema, "pg_") {
		return nil, invalid("schema %q: no name of a schema", o.Schema)
	}
	if o.MaxConns < 0 || o.MinConns < 0 || o.MaxConns > 0 && o.MinConns > o.MaxConns {
		return nil, invalid("%d to %d connections", o.MinConns, o.MaxConns)
	}
	if o.Space != (index.Space{}) {
		if err := o.Space.Valid(); err != nil {
			return nil, err
		}
		if o.Space.Dimension > MaxDimension {
			return nil, invalid("dimension %d of the vector space: PostgreSQL keeps 1 to %d", o.Space.Dimension, MaxDimension)
		}
	}
	c, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		// Not why: that quotes from the text, and what is not understood cannot
		// be cleared of its password.
		return nil, invalid("the DSN cannot be read: it is a postgres:// URL, in which @ / : # %% of a password are written as %%40 %%2F %%3A %%23 %%25, or keyword='value' pairs")
	}
	if o.MaxConns > 0 {
		c.MaxConns = int32(o.MaxConns)
	}
	if o.MinConns > 0 {
		c.MinConns = int32(o.MinConns)
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if c.PingTimeout == 0 {
		c.PingTimeout = 5 * time.Second // then the connection counts as lost
	}
	if c.ConnConfig.ValidateConnect == nil { // of several hosts, the one that takes writes
		c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	// A search whose caller went away ends in the server too, and its connection
	// stays.
	c.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 2 * time.Second}
	}
	// Compiling a search takes longer than the search.
	c.ConnConfig.RuntimeParams["jit"] = "off"
	if _, ok := c.ConnConfig.RuntimeParams["application_name"]; !ok {
		c.ConnConfig.RuntimeParams["application_name"] = "lexicrop"
	}
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := pgvector.RegisterTypes(ctx, conn); err != nil {
			return err
		}
		// What is acknowledged must be on the disk.
		_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
		return err
	}
	return c, nil
}

// placeOf names a catalogue to people, without secrets.
func placeOf(c *pgx.ConnConfig, schema string) string {
	host := c.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	return fmt.Sprintf("schema %q of database %q on %s", schema, c.Database, host)
}

func searchPath(schemas ...string) string {
	for i, s := range schemas {
		schemas[i] = pgx.Identifier{s}.Sanitize()
	}
	return strings.Join(schemas, ", ")
}

// checkServer refuses a server that cannot serve, and warns of one that forgets.
func (s *Store) checkServer(ctx context.Context, conn *pgx.Conn) error {
	var encoding, fsync, fullPages string
	var version int
	err := conn.QueryRow(ctx, `SELECT current_setting('server_encoding'), current_setting('fsync'), current_setting('full_page_writes'),
		current_setting('server_version_num')::int`).Scan(&encoding, &fsync, &fullPages, &version)
	switch {
	case err != nil:
		return err
	case version < 130000:
		return invalid("the server is PostgreSQL %d, 13 or newer is needed", version/10000)
	case encoding != "UTF8":
		return invalid("the database keeps text in %s, UTF8 is needed", encoding)
	case fsync != "on" || fullPages != "on":
		s.log.WarnContext(ctx, "PostgreSQL loses data when its machine stops: fsync and full_page_writes should be on",
			slog.String("fsync", fsync), slog.String("full_page_writes", fullPages))
	}
	return nil
}

// migrations bring the tables from the version that is their position to the
// next. What was released stays as it is.
var migrations = []string{`
CREATE TABLE catalogue ( -- one row
	version     integer NOT NULL, -- of the tables
	space       text NOT NULL,    -- that the vectors come from
	fingerprint text NOT NULL,
	dimension   integer NOT NULL
);

CREATE TABLE works (
	id       text COLLATE "C" PRIMARY KEY,
	title    text NOT NULL,
	artist   text NOT NULL,
	year     integer NOT NULL,
	link     text NOT NULL,
	metadata json,            -- as it was given, which jsonb would not keep
	terms    uuid[] NOT NULL, -- what filters look for, see filter.go
	sum      bigint NOT NULL  -- of the row, see row.go
);
CREATE INDEX works_by_term ON works USING gin (terms);

CREATE TABLE photos (
	work      text COLLATE "C" NOT NULL REFERENCES works (id) ON DELETE CASCADE,
	id        text COLLATE "C" NOT NULL,
	hash      text NOT NULL,
	source    text NOT NULL,
	direction vector NOT NULL, -- that of the vector: of length 1, to be searched
	"vector"  vector NOT NULL, -- as it was given
	sum       bigint NOT NULL, -- of the row, see row.go
	crop      bytea,
	crop_sum  bigint,
	PRIMARY KEY (work, id)
);
CREATE INDEX photos_by_hash ON photos USING hash (hash) WHERE hash <> '';

-- Crops and vectors lie aside, so that a search passes texts and directions only.
ALTER TABLE photos
	ALTER work SET STORAGE MAIN,
	ALTER id SET STORAGE MAIN,
	ALTER hash SET STORAGE MAIN,
	ALTER source SET STORAGE MAIN,
	ALTER vector SET STORAGE EXTERNAL,
	ALTER crop SET STORAGE EXTERNAL;
`}

// pageDimension is the most values of a direction that fit on a page beside the
// rest of their row.
const pageDimension = 1900

// migrate makes the catalogue, or brings it up to date, and returns its space
// and the schema of the extension. One process at a time does so.
func migrate(ctx context.Context, tx pgx.Tx, schema string, given index.Space) (space index.Space, extension string, err error) {
	const lock = 0x6c786372 // "lxcr"
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lock); err != nil {
		return space, "", err
	}
	var there, usable bool
	var tables []string
	err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
		(SELECT bool_and(has_schema_privilege(oid, 'USAGE')) IS NOT FALSE FROM pg_namespace WHERE nspname = $1),
		ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1)`, schema).
		Scan(&there, &usable, &tables)
	if err != nil {
		return space, "", err
	}
	made := strings.Join(tables, " ") == "catalogue photos works"
	switch {
	case !usable:
		return space, "", invalid("the role may not use the schema")
	case !made && len(tables) > 0:
		return space, "", invalid("the schema has tables of another program, such as %q", tables[0])
	case !made && given == index.Space{}:
		return space, "", notFound("there is no catalogue yet")
	case !there:
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize()); err != nil {
			return space, "", fmt.Errorf("make the schema: %w", err)
		}
	}
	if extension, err = findExtension(ctx, tx); err != nil {
		return space, "", err
	}
	if _, err := tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", searchPath(schema, extension)); err != nil {
		return space, "", err
	}
	if !made {
		return given, extension, create(ctx, tx, given)
	}
	space, err = update(ctx, tx)
	if err == nil && given != (index.Space{}) {
		err = space.Check(given)
	}
	return space, extension, err
}

// findExtension returns the schema that has pgvector, after installing it where
// it is missing.
func findExtension(ctx context.Context, tx pgx.Tx) (schema string, err error) {
	const query = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'vector'"
	err = tx.QueryRow(ctx, query).Scan(&schema)
	if !errors.Is(err, pgx.ErrNoRows) {
		return schema, err
	}
	// Not into the schema of one catalogue: others may come.
	if _, err := tx.Exec(ctx, "CREATE EXTENSION vector WITH SCHEMA public"); err != nil {
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			return "", invalid("the database lacks the extension pgvector (a superuser installs it with CREATE EXTENSION vector): %w", e)
		}
		return "", err
	}
	err = tx.QueryRow(ctx, query).Scan(&schema)
	return schema, err
}

// create makes the tables of a new catalogue.
func create(ctx context.Context, tx pgx.Tx, space index.Space) error {
	for _, m := range migrations {
		if _, err := tx.Exec(ctx, m); err != nil {
			return fmt.Errorf("make the tables: %w", err)
		}
	}
	storage := "PLAIN"
	if space.Dimension > pageDimension {
		storage = "EXTERNAL"
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE photos ALTER direction TYPE vector(%d), ALTER direction SET STORAGE %s", space.Dimension, storage))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO catalogue (version, space, fingerprint, dimension) VALUES ($1, $2, $3, $4)",
		len(migrations), space.Name, space.Fingerprint, space.Dimension)
	return err
}

// update brings the tables up to date, and returns the space of the catalogue.
func update(ctx context.Context, tx pgx.Tx) (space index.Space, err error) {
	var version int
	err = tx.QueryRow(ctx, "SELECT version, space, fingerprint, dimension FROM catalogue").Scan(&version, &space.Name, &space.Fingerprint, &space.Dimension)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return space, damaged(errors.New("the row of table catalogue is missing"))
	case err != nil:
		return space, err
	case version > len(migrations):
		return space, invalid("written by a newer lexicrop: the tables are of version %d, this one knows %d", version, len(migrations))
	case version < 1 || space.Valid() != nil:
		return space, damaged(fmt.Errorf("the row of table catalogue says version %d, space %s", version, space))
	}
	for ; version < len(migrations); version++ {
		if _, err := tx.Exec(ctx, migrations[version]); err != nil {
			return space, fmt.Errorf("migrate the tables from version %d: %w", version, err)
		}
		if _, err := tx.Exec(ctx, "UPDATE catalogue SET version = $1", version+1); err != nil {
			return space, err
		}
	}
	return space, nil
}

func invalid(format string, args ...any) error {
	return &index.Error{Kind: index.Invalid, Err: fmt.Errorf(format, args...)}
}
