package postgres

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/postgres/postgrestest"
)

var testSpace = index.Space{Name: "test", Fingerprint: "f", Dimension: 3}

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func testEntry(id string, vector ...float32) index.Entry {
	return index.Entry{
		Work:   index.Work{ID: id, Title: "Title of " + id, Metadata: index.Metadata{"a": "b"}},
		Photos: []index.Photo{{ID: "1", Vector: vector, Hash: "hash of " + id, Crop: []byte("crop of " + id)}},
	}
}

func put(t testing.TB, s *Store, entries ...index.Entry) {
	t.Helper()
	if err := s.Upsert(t.Context(), s.space, entries...); err != nil {
		t.Fatal(err)
	}
}

// foundIDs are the works that a search finds, in order.
func foundIDs(t testing.TB, s *Store) []string {
	t.Helper()
	matches, err := s.Search(t.Context(), index.Query{Space: testSpace, Vector: []float32{1, 1, 1}, Limit: 100})
	if err != nil {
		t.Error(err)
	}
	var ids []string
	for _, m := range matches {
		ids = append(ids, m.Work.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestOpenRefuses(t *testing.T) {
	fresh := newDatabase(t)
	prepared := func(statements ...string) string {
		dsn := newDatabase(t)
		execute(t, dsn, statements...)
		return dsn
	}
	existing := newDatabase(t)
	openTest(t, Options{DSN: existing, Space: testSpace})
	newer := newDatabase(t)
	openTest(t, Options{DSN: newer, Space: testSpace})
	execute(t, newer, fmt.Sprintf("UPDATE lexicrop.catalogue SET version = %d", len(migrations)+1))
	emptied := newDatabase(t)
	openTest(t, Options{DSN: emptied, Space: testSpace})
	execute(t, emptied, "DELETE FROM lexicrop.catalogue")
	execute(t, server.DSN("postgres"), "DROP DATABASE IF EXISTS latin")
	execute(t, server.DSN("postgres"), "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
	guestRole := newRole(t)
	unreadable := newDatabase(t)
	openTest(t, Options{DSN: unreadable, Space: testSpace})
	execute(t, unreadable, "GRANT USAGE ON SCHEMA lexicrop TO "+guestRole)
	guest := func(dsn string) string { return as(guestRole, dsn) }

	for _, c := range []struct {
		name    string
		options Options
		want    index.Kind
		says    string
	}{
		{"no catalogue and no space", Options{DSN: fresh}, index.NotFound, "no catalogue"},
		{"no such database", Options{DSN: server.DSN("none"), Space: testSpace}, index.Internal, "none"},
		{"a wrong password", Options{DSN: strings.Replace(fresh, "correct", "staple", 1), Space: testSpace}, index.Internal, "password"},
		{"no server", Options{DSN: "host=/nowhere user=x password=staple", Space: testSpace}, index.Unavailable, "/nowhere"},
		{"a name that is no host", Options{DSN: "postgres://u:staple@host.invalid/db", Space: testSpace}, index.Unavailable, "host.invalid"},
		{"tables of another program", Options{DSN: prepared("CREATE SCHEMA lexicrop", "CREATE TABLE lexicrop.other (x int)"), Space: testSpace}, index.Invalid, "other"},
		{"a schema of everybody", Options{DSN: prepared("CREATE TABLE works (x int)"), Schema: "public", Space: testSpace}, index.Invalid, "works"},
		{"a newer version", Options{DSN: newer, Space: testSpace}, index.Invalid, "newer"},
		{"a catalogue that lost its space", Options{DSN: emptied, Space: testSpace}, index.Damaged, "missing"},
		{"text that is not UTF-8", Options{DSN: server.DSN("latin"), Space: testSpace}, index.Invalid, "LATIN1"},
		{"a role that may not make a schema", Options{DSN: guest(fresh), Space: testSpace}, index.Internal, "make the schema"},
		{"a role that may not install pgvector", Options{DSN: guest(prepared("CREATE SCHEMA lexicrop AUTHORIZATION " + guestRole)), Space: testSpace}, index.Invalid, "CREATE EXTENSION vector"},
		{"a role that may not use the schema", Options{DSN: guest(existing), Space: testSpace}, index.Invalid, "may not use"},
		{"a role that may not read", Options{DSN: guest(unreadable), Space: testSpace}, index.Internal, "permission denied"},
		{"another space", Options{DSN: existing, Space: index.Space{Name: "other", Fingerprint: "f", Dimension: 3}}, index.OtherSpace, "other"},
		{"a space without a name", Options{DSN: fresh, Space: index.Space{Fingerprint: "f", Dimension: 3}}, index.Invalid, "name"},
		{"too many dimensions", Options{DSN: fresh, Space: index.Space{Name: "n", Fingerprint: "f", Dimension: MaxDimension + 1}}, index.Invalid, "16001"},
		{"a schema of PostgreSQL", Options{DSN: fresh, Schema: "pg_x", Space: testSpace}, index.Invalid, "pg_x"},
		{"a long schema", Options{DSN: fresh, Schema: strings.Repeat("x", 64), Space: testSpace}, index.Invalid, "xxx"},
		{"fewer connections than kept", Options{DSN: fresh, MaxConns: 1, MinConns: 2, Space: testSpace}, index.Invalid, "2 to 1"},
		{"no DSN", Options{DSN: "correct horse battery staple", Space: testSpace}, index.Invalid, "DSN"},
		{"a password with a slash", Options{DSN: "postgres://me:horse/staple@host/db", Space: testSpace}, index.Invalid, "%2F"},
	} {
		s, err := Open(t.Context(), c.options)
		if err == nil {
			t.Errorf("%s was opened", c.name)
			s.Close()
			continue
		}
		if index.KindOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.says)
		}
		expectNoSecret(t, err)
	}
}

var roles atomic.Int32

// newRole makes a role that may only log in, see as.
func newRole(t testing.TB) string {
	t.Helper()
	name := fmt.Sprint("role", roles.Add(1))
	execute(t, server.DSN("postgres"), "CREATE ROLE "+name+" LOGIN PASSWORD 'staple'")
	return name
}

// as is the DSN for a role of newRole.
func as(role, dsn string) string {
	return strings.Replace(dsn, url.UserPassword("postgres", postgrestest.Password).String(), role+":staple", 1)
}

// TestNoSecretInErrors has any text as DSN, with a password in it: an error may
// quote no part of it.
func TestNoSecretInErrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.StringMatching("[:/@#?%&= '\\\\a-z\\[\\]]{0,5}")
		secret := odd.Draw(t, "before") + "s3cr3t" + odd.Draw(t, "after")
		form := rapid.SampledFrom([]string{"postgres://u:%s@h/d", "postgres://u:%s@h:x/d", "postgres://%s", "host=h password=%s", "host=h password='%s port=y", "postgres://h/d?password=%s&port=z", "%s"}).Draw(t, "form")
		if _, err := configure(Options{DSN: fmt.Sprintf(form, secret), Schema: "x"}); err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Fatal(err)
		}
	})
}

// TestOpenAtOnce opens a catalogue that is not there from several replicas.
func TestOpenAtOnce(t *testing.T) {
	dsn := newDatabase(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			s, err := Open(t.Context(), Options{DSN: dsn, Schema: fmt.Sprint("schema", i%2), Space: testSpace})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if err := s.Upsert(t.Context(), testSpace, testEntry(fmt.Sprint(i), 1, 0, 0)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, want := range []string{"0 2 4 6", "1 3 5 7"} {
		s := openTest(t, Options{DSN: dsn, Schema: fmt.Sprint("schema", i)})
		if got := strings.Join(foundIDs(t, s), " "); got != want {
			t.Errorf("schema %d has %q, want %q", i, got, want)
		}
	}
}

// TestLeastPrivileges has an administrator make the catalogue, and a role use it
// that may do nothing else.
func TestLeastPrivileges(t *testing.T) {
	dsn := newDatabase(t)
	execute(t, dsn, "CREATE SCHEMA extensions", "CREATE EXTENSION vector WITH SCHEMA extensions")
	openTest(t, Options{DSN: dsn, Space: testSpace})
	role := newRole(t)
	execute(t, dsn, "ALTER ROLE "+role+" SET synchronous_commit = off", // which must not count
		"GRANT USAGE ON SCHEMA lexicrop, extensions TO "+role,
		"GRANT SELECT ON lexicrop.catalogue TO "+role, "GRANT SELECT, INSERT, UPDATE, DELETE ON lexicrop.works, lexicrop.photos TO "+role)
	s := openTest(t, Options{DSN: as(role, dsn), Space: testSpace})
	for name, call := range calls(t.Context(), s) {
		put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for setting, want := range map[string]string{"synchronous_commit": "on", "jit": "off"} {
		var got string
		if err := s.pool.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", setting, got, err, want)
		}
	}
}

// TestForgetfulServer opens a catalogue on a server that does not write through.
func TestForgetfulServer(t *testing.T) {
	dsn := newDatabase(t)
	execute(t, dsn, "ALTER SYSTEM SET fsync = off")
	execute(t, dsn, "SELECT pg_reload_conf()")
	defer func() {
		execute(t, dsn, "ALTER SYSTEM RESET fsync")
		execute(t, dsn, "SELECT pg_reload_conf()")
	}()
	for {
		var log bytes.Buffer
		openTest(t, Options{DSN: dsn, Space: testSpace, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if strings.Contains(log.String(), "fsync=off") { // once the server has read it
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("no warning")
		}
	}
}

func TestOpenTakesTheSpaceOfTheCatalogue(t *testing.T) {
	dsn := newDatabase(t)
	openTest(t, Options{DSN: dsn, Space: testSpace})
	s := openTest(t, Options{DSN: dsn})
	put(t, s, testEntry("a", 1, 0, 0))
	if info, err := s.Info(t.Context()); err != nil || info.Space != testSpace || info.Bytes == 0 || info.Works != 1 {
		t.Errorf("Info: %+v, %v", info, err)
	}
}
