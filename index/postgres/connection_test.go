package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lexicam/lexicrop/index"
)

// calls are one of every kind, on works "a" (there) and "b" (to be deleted).
func calls(ctx context.Context, s *Store) map[string]func() error {
	return map[string]func() error{
		"Info":   func() error { _, err := s.Info(ctx); return err },
		"Upsert": func() error { return s.Upsert(ctx, testSpace, testEntry("a", 1, 0, 0)) },
		"Get":    func() error { _, err := s.Get(ctx, "a"); return err },
		"Search": func() error {
			_, err := s.Search(ctx, index.Query{Space: testSpace, Vector: []float32{1, 0, 0}})
			return err
		},
		"Scan":        func() error { _, err := s.Scan(ctx, index.ScanOptions{}); return err },
		"Verify":      func() error { _, err := s.Verify(ctx); return err },
		"DeletePhoto": func() error { return s.DeletePhoto(ctx, "b", "1") },
	}
}

// TestLostConnections ends the connections of a store, idle as they are. Only
// where nobody could tell whether a change took place may the next call fail.
func TestLostConnections(t *testing.T) {
	dsn := newDatabase(t)
	s := openTest(t, Options{DSN: dsn, Space: testSpace, MaxConns: 3})
	for name, call := range calls(t.Context(), s) {
		put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
		var group sync.WaitGroup
		for range 10 { // have several
			group.Go(func() { _, _ = s.Get(t.Context(), "a") })
		}
		group.Wait()
		execute(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lexicrop' AND datname = current_database()")
		err := call()
		if err != nil && name == "DeletePhoto" && index.KindOf(err) == index.Unavailable && strings.Contains(err.Error(), "connection to PostgreSQL was lost") {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestServerGoneAndBack stops the server under a store, and starts it again.
func TestServerGoneAndBack(t *testing.T) {
	own := startServer(t, "16")
	s := openTest(t, Options{DSN: own.DSN("postgres"), Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
	own.Kill()
	for range 2 {
		for name, call := range calls(t.Context(), s) {
			err := call()
			if index.KindOf(err) != index.Unavailable || !strings.Contains(err.Error(), "connect") {
				t.Errorf("%s without a server: %v", name, err)
			}
			expectNoSecret(t, err)
		}
	}
	if _, err := Open(t.Context(), Options{DSN: own.DSN("postgres"), Space: testSpace}); index.KindOf(err) != index.Unavailable {
		t.Errorf("Open without a server: %v", err)
	} else {
		expectNoSecret(t, err)
	}
	if err := own.Restart(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(t.Context(), s) {
		if err := call(); err != nil {
			t.Errorf("%s when the server is back: %v", name, err)
		}
	}
}

func expectNoSecret(t testing.TB, err error) {
	t.Helper()
	for _, part := range []string{"correct", "horse", "battery", "staple"} {
		if err != nil && strings.Contains(err.Error(), part) {
			t.Errorf("the password is in %q", err)
		}
	}
}

// TestCancel lets calls wait for a lock that somebody holds, and cancels them:
// they end here and in the server, and leave nothing.
func TestCancel(t *testing.T) {
	dsn := newDatabase(t)
	s := openTest(t, Options{DSN: dsn, Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
	holder, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(t.Context())
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE lexicrop.photos, lexicrop.works"); err != nil {
		t.Fatal(err)
	}
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lexicrop' AND datname = current_database() AND wait_event_type = 'Lock'"
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		ctx, cancel := context.WithCancel(t.Context())
		if errors.Is(end, context.DeadlineExceeded) {
			ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		}
		results := make(chan error)
		n := 0
		for name, call := range calls(ctx, s) {
			n++
			go func() {
				err := call()
				if !errors.Is(err, end) {
					err = fmt.Errorf("%s: %w", name, err)
				} else {
					err = nil
				}
				results <- err
			}()
		}
		if errors.Is(end, context.Canceled) {
			awaitCount(t, holder, waiting, func(n int) bool { return n > 0 })
			cancel()
		}
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		cancel()
		awaitCount(t, holder, waiting, func(n int) bool { return n == 0 })
	}
	if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if got := foundIDs(t, s); strings.Join(got, " ") != "a b" {
		t.Errorf("search finds %q", got)
	}
}

func awaitCount(t *testing.T, conn *pgx.Conn, query string, enough func(int) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		var n int
		if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if enough(n) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %d", query, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestPool has many searches share few connections.
func TestPool(t *testing.T) {
	dsn := newDatabase(t)
	s := openTest(t, Options{DSN: dsn, Space: testSpace, MaxConns: 2, MinConns: 1})
	put(t, s, testEntry("a", 1, 0, 0))
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if got := foundIDs(t, s); len(got) != 1 {
				t.Errorf("search finds %q", got)
			}
		})
	}
	group.Wait()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lexicrop' AND datname = current_database()").Scan(&n); err != nil || n < 1 || n > 2 {
		t.Errorf("%d connections, %v", n, err)
	}
}

// TestCloseEndsVerify closes while checks run.
func TestCloseEndsVerify(t *testing.T) {
	s := openTest(t, Options{DSN: newDatabase(t), Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0))
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			if i == 1 {
				close(begun)
			}
			if _, err := s.Verify(context.WithoutCancel(t.Context())); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; index.KindOf(err) != index.Closed {
		t.Errorf("Verify: %v", err)
	}
}
