package staging

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

func write(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %v, want %v", filepath.Base(folder), got, want)
	}
}

func begin(t *testing.T, repository string) *Folder {
	t.Helper()
	f, err := Begin(repository)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAModelIsPlacedAsAWhole(t *testing.T) {
	repository := t.TempDir()
	for _, version := range []string{"first", "second"} {
		f := begin(t, repository)
		write(t, f.Path, "mine", version)
		if err := f.Place("mine"); err != nil {
			t.Fatal(err)
		}
		if err := f.End(); err != nil {
			t.Fatal(err)
		}
		has(t, repository, "mine")
		has(t, filepath.Join(repository, "mine"), version)
	}
	f := begin(t, repository)
	if err := f.Place("mine"); err == nil {
		t.Error("a model that was not made is placed")
	}
	if err := f.End(); err != nil {
		t.Fatal(err)
	}
	has(t, filepath.Join(repository, "mine"), "second")
}

// The environment that makes this test's own program work in a Folder until it is killed.
const worker = "LEXICROP_TEST_STAGING"

// Whoever is killed leaves something behind, and the next one removes it; not so of one who works.
func TestWhatTheKilledLeaveIsRemoved(t *testing.T) {
	if repository := os.Getenv(worker); repository != "" {
		f := begin(t, repository)
		write(t, f.Path, "mine", "half")
		if err := os.Mkdir(filepath.Join(f.Path, replaced), 0o755); err != nil {
			t.Fatal(err)
		}
		// Halfway through Place.
		if err := os.Rename(filepath.Join(repository, "mine"), filepath.Join(f.Path, replaced, "mine")); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("at work\n")
		time.Sleep(time.Hour)
		runtime.KeepAlive(f)
	}
	repository := t.TempDir()
	write(t, repository, "mine", "old")
	write(t, repository, prefix+"empty", "of an older kind")
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	process.Env = append(os.Environ(), worker+"="+repository)
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "at work\n" {
		t.Fatalf("%q, %v", line, err)
	}
	during := begin(t, repository)
	if left, _ := filepath.Glob(filepath.Join(repository, prefix+"*")); len(left) != 2 {
		t.Errorf("beside one who works, there are %v", left)
	}
	if err := during.End(); err != nil {
		t.Fatal(err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	if err := begin(t, repository).End(); err != nil {
		t.Fatal(err)
	}
	has(t, repository, "mine")
	has(t, filepath.Join(repository, "mine"), "old")
}

func TestBeginWhereThereIsNoRepository(t *testing.T) {
	if _, err := Begin(filepath.Join(t.TempDir(), "nowhere")); !os.IsNotExist(err) {
		t.Errorf("the error is %v", err)
	}
}
