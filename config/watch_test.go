package config

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// watched runs Watch on a file and returns what it reports.
func watched(t *testing.T, file string) (<-chan Update, chan<- os.Signal) {
	t.Helper()
	c, err := Load(Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	updates, asked := make(chan Update, 100), make(chan os.Signal)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, c, Options{}, asked, func(u Update) { updates <- u })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return updates, asked
}

// detectors waits until want is reported as the detector, and returns what was reported before.
func awaitDetector(t *testing.T, updates <-chan Update, want string) (before []Update) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case u := <-updates:
			if u.Err == nil && u.Config.Models.Detector.Name == want {
				return before
			}
			before = append(before, u)
		case <-late:
			t.Fatalf("the detector %s was not reported; reported were %+v", want, before)
		}
	}
}

func detector(name string) []byte { return []byte("models: {detector: {name: " + name + "}}\n") }

// However the file is changed, the change is seen.
func TestWatchSeesEveryWayToChangeAFile(t *testing.T) {
	defer goleak.VerifyNone(t)
	// The layout of a ConfigMap's volume: file -> ..data/file, ..data -> a folder of its own.
	configMap := func(t *testing.T, folder, name string) {
		t.Helper()
		version := "..version-" + name
		if err := os.Mkdir(filepath.Join(folder, version), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, version, "lexicrop.yaml"), detector(name))
		link := filepath.Join(folder, "..data_tmp")
		if err := os.Symlink(version, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(folder, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		begin, change func(t *testing.T, folder, file string)
	}{
		"written over": {
			func(t *testing.T, _, file string) { writeFile(t, file, detector("one")) },
			func(t *testing.T, _, file string) { writeFile(t, file, detector("two")) },
		},
		"replaced": {
			func(t *testing.T, _, file string) { writeFile(t, file, detector("one")) },
			func(t *testing.T, _, file string) {
				writeFile(t, file+".new", detector("two"))
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			},
		},
		"removed and written": {
			func(t *testing.T, _, file string) { writeFile(t, file, detector("one")) },
			func(t *testing.T, _, file string) {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				writeFile(t, file, detector("two"))
			},
		},
		"a ConfigMap": {
			func(t *testing.T, folder, file string) {
				configMap(t, folder, "one")
				if err := os.Symlink("..data/lexicrop.yaml", file); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, folder, _ string) { configMap(t, folder, "two") },
		},
		"a link to a file elsewhere": {
			func(t *testing.T, _, file string) {
				elsewhere := filepath.Join(t.TempDir(), "real.yaml")
				writeFile(t, elsewhere, detector("one"))
				if err := os.Symlink(elsewhere, file); err != nil {
					t.Fatal(err)
				}
			},
			func(t *testing.T, _, file string) { writeFile(t, file, detector("two")) },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, "lexicrop.yaml")
			test.begin(t, folder, file)
			updates, _ := watched(t, file)
			test.change(t, folder, file)
			for _, u := range awaitDetector(t, updates, "two") {
				if u.Err == nil {
					t.Errorf("reported was the detector %s, too", u.Config.Models.Detector.Name)
				}
			}
		})
	}
}

// What is broken is reported once, in the words of Load, and what is mended after it.
func TestWatchReportsABrokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lexicrop.yaml")
	writeFile(t, file, detector("one"))
	updates, asked := watched(t, file)
	writeFile(t, file, []byte("models: {detector: {nam: two}}\n"))
	broken := <-updates
	if broken.Err == nil || !strings.Contains(broken.Err.Error(), "models.detector.name meant") {
		t.Errorf("reported: %+v", broken)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if missing := <-updates; missing.Err == nil || !strings.Contains(missing.Err.Error(), "no such file") {
		t.Errorf("reported: %+v", missing)
	}
	writeFile(t, file, detector("two"))
	awaitDetector(t, updates, "two")

	// Nothing has changed, but somebody asks.
	asked <- syscall.SIGHUP
	if u := <-updates; !u.Asked || u.Err != nil || u.Config.Models.Detector.Name != "two" {
		t.Errorf("reported: %+v", u)
	}
}

// A change between loading and watching is not lost.
func TestWatchSeesWhatChangedBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lexicrop.yaml")
	writeFile(t, file, detector("one"))
	c, err := Load(Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, detector("two"))
	ctx, cancel := context.WithCancel(t.Context())
	updates := make(chan Update, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, c, Options{}, nil, func(u Update) { updates <- u })
	}()
	awaitDetector(t, updates, "two")
	cancel()
	<-done
}

func TestDifferences(t *testing.T) {
	a, b := Default(), Default()
	if got := Differences(a, b); len(got) != 0 {
		t.Errorf("between equals: %v", got)
	}
	b.Models.Detector.Canary.Percent, b.Server.Address, b.Triton.Headers = 5, ":1", Headers{"a": "b"}
	if diff := cmp.Diff([]string{"server.address", "triton.headers", "models.detector.canary.percent"}, Differences(a, b)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
