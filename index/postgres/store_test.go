package postgres

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/indextest"
	"github.com/lexicam/lexicrop/index/postgres/postgrestest"
)

// server is shared by the tests; each has a database of its own.
var server *postgrestest.Server

func TestMain(m *testing.M) {
	status := postgrestest.Run("../../build/postgres/16", &server, m.Run)
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

// TestStore runs the conformance suite on the oldest and the newest version at
// hand.
func TestStore(t *testing.T) {
	t.Run("16", func(t *testing.T) { testStore(t, newDatabase(t)) })
	t.Run("18", func(t *testing.T) { testStore(t, startServer(t, "18").DSN("postgres")) })
}

// startServer starts a server for one test, to be killed or of another version.
func startServer(t testing.TB, version string) *postgrestest.Server {
	t.Helper()
	needServer(t)
	s, err := postgrestest.Start("../../build/postgres/" + version)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func testStore(t *testing.T, dsn string) {
	indextest.Run(t, func(t testing.TB, name string, space index.Space) (index.Store, error) {
		return Open(t.Context(), Options{DSN: dsn, Schema: name + ` "%?#`, Space: space})
	})
}

func needServer(t testing.TB) {
	t.Helper()
	if server == nil {
		t.Skip("LEXICROP_SKIP_POSTGRES is set")
	}
}

var databases atomic.Int32

// newDatabase makes a database and returns its DSN.
func newDatabase(t testing.TB) string {
	t.Helper()
	needServer(t)
	name := fmt.Sprint("test", databases.Add(1))
	execute(t, server.DSN("postgres"), "CREATE DATABASE "+name)
	return server.DSN(name)
}

// execute runs SQL behind the store's back.
func execute(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), strings.Join(statements, "; ")); err != nil {
		t.Fatal(err)
	}
}
