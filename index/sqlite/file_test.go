package sqlite

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/index"
)

var testSpace = index.Space{Name: "test", Fingerprint: "f", Dimension: 3}

func openTest(t *testing.T, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
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

func put(t *testing.T, s *Store, entries ...index.Entry) {
	t.Helper()
	if err := s.Upsert(t.Context(), testSpace, entries...); err != nil {
		t.Fatal(err)
	}
}

// TestDurabilitySettings reads back what durability rests on.
func TestDurabilitySettings(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "x.db"), Options{Space: testSpace})
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "page_size": "8192"} {
		var got string
		if err := s.writes.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
	if _, err := s.reads.ExecContext(t.Context(), "DELETE FROM works"); err == nil {
		t.Error("a reading connection could write")
	}
}

const lockHolder = "LEXICROP_TEST_LOCK_HOLDER"

// TestOneProcessAtATime opens a file that another process has, then kills that.
func TestOneProcessAtATime(t *testing.T) {
	if path := os.Getenv(lockHolder); path != "" {
		if _, err := Open(t.Context(), path, Options{Space: testSpace}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("open")
		time.Sleep(time.Hour)
	}
	path := filepath.Join(t.TempDir(), "x.db")
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneProcessAtATime$")
	holder.Env = append(os.Environ(), lockHolder+"="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path, Options{Space: testSpace})
	if index.KindOf(err) != index.Locked || !strings.Contains(err.Error(), path) {
		t.Errorf("while another process has it: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	openTest(t, path, Options{Space: testSpace})
}

func TestOneStoreAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openTest(t, path, Options{Space: testSpace})
	for range 2 {
		if _, err := Open(t.Context(), path, Options{Space: testSpace}); index.KindOf(err) != index.Locked {
			t.Errorf("while it is open: %v", err)
		}
	}
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), link, Options{Space: testSpace}); index.KindOf(err) != index.Locked {
		t.Errorf("by another name, while it is open: %v", err)
	}
	put(t, s, testEntry("a", 1, 2, 3)) // the first is not disturbed
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, path, Options{Space: testSpace})
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(name, statements string) string {
		path := filepath.Join(folder, name)
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name  string
		path  string
		space index.Space
		want  index.Kind
	}{
		{"no file and no space", filepath.Join(folder, "none"), index.Space{}, index.NotFound},
		{"an empty file and no space", file("empty", ""), index.Space{}, index.NotFound},
		{"no such folder", filepath.Join(folder, "none", "x.db"), testSpace, index.Internal},
		{"a folder", folder, testSpace, index.Internal},
		{"no database", file("text", strings.Repeat("no database ", 1000)), testSpace, index.Damaged},
		{"the database of another program", database("other", "CREATE TABLE x (y)"), testSpace, index.Invalid},
		{"a newer version", database("newer", fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations)+1)), testSpace, index.Invalid},
		{"a space without a name", filepath.Join(folder, "new"), index.Space{Fingerprint: "f", Dimension: 3}, index.Invalid},
		{"a space without dimension", filepath.Join(folder, "new"), index.Space{Name: "n", Fingerprint: "f"}, index.Invalid},
		{"a space of too many dimensions", filepath.Join(folder, "new"), index.Space{Name: "n", Fingerprint: "f", Dimension: index.MaxDimension + 1}, index.Invalid},
	} {
		before, _ := os.ReadFile(c.path)
		s, err := Open(t.Context(), c.path, Options{Space: c.space})
		if err == nil {
			t.Errorf("%s was opened", c.name)
			s.Close()
		}
		if index.KindOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if after, _ := os.ReadFile(c.path); !bytes.Equal(before, after) && c.want != index.NotFound {
			t.Errorf("%s was changed", c.name)
		}
	}
}

func TestOpenTakesTheSpaceOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openTest(t, path, Options{Space: testSpace})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, path, Options{})
	if info, err := s.Info(t.Context()); err != nil || info.Space != testSpace || info.Bytes == 0 {
		t.Errorf("Info: %+v, %v", info, err)
	}
}

// TestDamage changes rows behind the store's back. All that is whole must still
// be found; the damage must be logged, listed by Verify, and reported by what
// reads it; and another Upsert must repair it.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage string // SQL
		lost   bool   // from searches, after opening again
	}{
		{"title", "UPDATE works SET title = 'x' WHERE id = 'b'", false},
		{"metadata", "UPDATE works SET metadata = '{' WHERE id = 'b'", false},
		{"vector", "UPDATE photos SET vector = x'0000803f0000000000000000' WHERE work = 2", true},
		{"length of a vector", "UPDATE photos SET vector = x'00' WHERE work = 2", true},
		{"hash", "UPDATE photos SET hash = 'x' WHERE work = 2", true},
		{"sum", "UPDATE photos SET sum = 1 WHERE work = 2", true},
		{"crop", "UPDATE crops SET jpeg = x'00' WHERE photo = 2", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			s := openTest(t, path, Options{Space: testSpace})
			whole := testEntry("b", 0, 1, 0)
			put(t, s, testEntry("a", 1, 0, 0), whole, testEntry("c", 0, 0, 1))
			if _, err := s.writes.ExecContext(t.Context(), c.damage); err != nil {
				t.Fatal(err)
			}
			expectDamage(t, s, "b")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			var log bytes.Buffer
			s = openTest(t, path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			expectDamage(t, s, "b")
			if logged := strings.Contains(log.String(), "damaged"); logged != (c.name != "crop") { // crops are not read to open
				t.Errorf("logged: %q", log.String())
			}
			want := []string{"a", "b", "c"}
			if c.lost {
				want = []string{"a", "c"}
			}
			if got := foundIDs(t, s); !slices.Equal(got, want) {
				t.Errorf("search finds %q, want %q", got, want)
			}
			if _, err := s.Scan(t.Context(), index.ScanOptions{Crops: true}); index.KindOf(err) != index.Damaged {
				t.Errorf("Scan: %v", err)
			}

			put(t, s, whole)
			if r, err := s.Verify(t.Context()); err != nil || len(r.Problems) > 0 {
				t.Errorf("Verify after the repair: %+v, %v", r, err)
			}
			if got := foundIDs(t, s); !slices.Equal(got, []string{"a", "b", "c"}) {
				t.Errorf("search after the repair finds %q", got)
			}
			p, err := s.GetPhoto(t.Context(), "b", "1")
			if diff := cmp.Diff(whole.Photos[0], p); err != nil || diff != "" {
				t.Errorf("GetPhoto after the repair: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestLostRows removes rows behind the store's back.
func TestLostRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openTest(t, path, Options{Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
	if _, err := s.writes.ExecContext(t.Context(), "PRAGMA foreign_keys = off; DELETE FROM works WHERE id = 'b'; PRAGMA foreign_keys = on"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Verify(t.Context()); err != nil || len(r.Problems) < 2 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, path, Options{})
	if got := foundIDs(t, s); !slices.Equal(got, []string{"a"}) {
		t.Errorf("search finds %q", got)
	}
}

// TestBrokenPages overwrites the middle of the file.
func TestBrokenPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openTest(t, path, Options{Space: testSpace})
	for i := range 2000 {
		put(t, s, testEntry(fmt.Sprint(i), 1, float32(i), 0))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for offset := 8192; offset < len(content); offset += 16 * 8192 {
		broken := slices.Clone(content)
		copy(broken[offset:], bytes.Repeat([]byte{0xaa}, 8192))
		path := filepath.Join(t.TempDir(), "broken.db")
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			if index.KindOf(err) != index.Damaged {
				t.Errorf("page %d: %v", offset/8192, err)
			}
			continue
		}
		if r, err := s.Verify(t.Context()); index.KindOf(err) != index.Damaged && len(r.Problems) == 0 {
			t.Errorf("page %d: Verify: %+v, %v", offset/8192, r, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("page %d: Close: %v", offset/8192, err)
		}
	}
}

// TestFailedChangeLeavesNothing lets the second half of a batch fail in the
// database.
func TestFailedChangeLeavesNothing(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "x.db"), Options{Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0))
	if _, err := s.writes.ExecContext(t.Context(), "CREATE TRIGGER fail BEFORE INSERT ON works WHEN new.id = 'z' BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"); err != nil {
		t.Fatal(err)
	}
	err := s.Upsert(t.Context(), testSpace, testEntry("b", 0, 1, 0), testEntry("z", 0, 0, 1))
	if err == nil || index.KindOf(err) != index.Internal || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("Upsert: %v", err)
	}
	if got := foundIDs(t, s); !slices.Equal(got, []string{"a"}) {
		t.Errorf("search finds %q", got)
	}
	if r, err := s.Verify(t.Context()); err != nil || len(r.Problems) > 0 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
	put(t, s, testEntry("b", 0, 1, 0)) // and the store goes on
}

// TestFullDisk lets the file grow no more.
func TestFullDisk(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "x.db"), Options{Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0))
	limit := func(pages int) {
		if _, err := s.writes.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1)
	var err error
	want := []string{"a"}
	for i := 0; err == nil; i++ {
		e := testEntry(fmt.Sprintf("b%02d", i), 0, 1, 0)
		e.Photos[0].Crop = make([]byte, 3000)
		if err = s.Upsert(t.Context(), testSpace, e); err == nil {
			want = append(want, e.Work.ID)
		}
	}
	if index.KindOf(err) != index.Internal || !strings.Contains(err.Error(), "full") {
		t.Errorf("Upsert: %v", err)
	}
	if got := foundIDs(t, s); !slices.Equal(got, want) {
		t.Errorf("search finds %q, want %q", got, want)
	}
	limit(1 << 20)
	put(t, s, testEntry("c", 0, 0, 1))
	if r, err := s.Verify(t.Context()); err != nil || len(r.Problems) > 0 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
}

// TestCloseEndsVerify closes while checks run.
func TestCloseEndsVerify(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "x.db"), Options{Space: testSpace})
	put(t, s, testEntry("a", 1, 0, 0))
	ended := make(chan error)
	go func() {
		for {
			if _, err := s.Verify(t.Context()); err != nil {
				ended <- err
				return
			}
		}
	}()
	time.Sleep(10 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; index.KindOf(err) != index.Closed {
		t.Errorf("Verify: %v", err)
	}
}

// foundIDs are the works that a search finds, in order.
func foundIDs(t *testing.T, s *Store) []string {
	t.Helper()
	matches, err := s.Search(t.Context(), index.Query{Space: testSpace, Vector: []float32{1, 1, 1}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range matches {
		ids = append(ids, m.Work.ID)
	}
	slices.Sort(ids)
	return ids
}

func expectDamage(t *testing.T, s *Store, work string) {
	t.Helper()
	r, err := s.Verify(t.Context())
	if err != nil || len(r.Problems) == 0 {
		t.Fatalf("Verify: %+v, %v", r, err)
	}
	for _, p := range r.Problems {
		if p.Work != work || p.What == "" {
			t.Errorf("Verify: %+v, the damage is to %q", p, work)
		}
	}
}
