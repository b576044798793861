package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/index"
)

func filesOf(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestReplace(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "c.db")
	old, next := openTest(t, path, Options{Space: testSpace}), openTest(t, path+".new", Options{Space: testSpace})
	put(t, old, testEntry("old", 1, 0, 0))
	put(t, next, testEntry("new", 0, 1, 0))
	if err := old.Replace(next); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Store{"old": old, "new": next} {
		if _, err := s.Info(t.Context()); index.KindOf(err) != index.Closed {
			t.Errorf("the %s store is not closed: %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"c.db", "c.db.lock"}, filesOf(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	found := openTest(t, path, Options{})
	if _, err := found.Get(t.Context(), "new"); err != nil {
		t.Error(err)
	}
	if _, err := found.Get(t.Context(), "old"); index.KindOf(err) != index.NotFound {
		t.Errorf("the old work: %v", err)
	}
	report, err := found.Verify(t.Context())
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("%v, %v", report.Problems, err)
	}
}

// When the exchange fails, the old catalogue is still there.
func TestReplaceThatFailsLeavesTheOldOne(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "c.db")
	for name, spoil := range map[string]func(next string) error{
		"the new file is gone":    os.Remove,
		"a part of it stays over": func(next string) error { return os.WriteFile(next+"-wal", []byte("x"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			old, next := openTest(t, path, Options{Space: testSpace}), openTest(t, filepath.Join(t.TempDir(), "n.db"), Options{Space: testSpace})
			put(t, old, testEntry("old", 1, 0, 0))
			if err := next.Close(); err != nil {
				t.Fatal(err)
			}
			if err := spoil(next.path); err != nil {
				t.Fatal(err)
			}
			if err := old.Replace(next); err == nil {
				t.Fatal("it did not fail")
			}
			again, err := Open(t.Context(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := again.Get(t.Context(), "old"); err != nil {
				t.Error(err)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReplaceOfAClosedStoreIsRefused(t *testing.T) {
	folder := t.TempDir()
	old, next := openTest(t, filepath.Join(folder, "a"), Options{Space: testSpace}), openTest(t, filepath.Join(folder, "b"), Options{Space: testSpace})
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := old.Replace(next); index.KindOf(err) != index.Closed {
		t.Error(err)
	}
}

func TestRemove(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "c.db")
	s := openTest(t, path, Options{Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0))
	if err := Remove(t.Context(), path); index.KindOf(err) != index.Locked {
		t.Errorf("while it is open: %v", err)
	}
	if _, err := s.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Remove(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if left := filesOf(t, folder); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := Remove(t.Context(), path); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}
