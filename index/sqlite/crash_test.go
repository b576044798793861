package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

// crashWriter, in the environment, turns the test binary into the process that
// TestKillLosesNothing kills: it writes to the file that it names.
const crashWriter = "LEXICROP_TEST_CRASH_WRITER"

var crashSpace = index.Space{Name: "crash", Fingerprint: "f", Dimension: 64}

// crashVector is different for every id.
func crashVector(id string) []float32 {
	var seed [32]byte
	copy(seed[:], id)
	r := rand.New(rand.NewChaCha8(seed))
	v := make([]float32, crashSpace.Dimension)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func crashEntry(id string) index.Entry {
	return index.Entry{
		Work:   index.Work{ID: id, Title: "Title of " + id},
		Photos: []index.Photo{{ID: "1", Hash: "hash " + id, Vector: crashVector(id), Crop: []byte(strings.Repeat(id, 1000))}},
	}
}

// writeUntilKilled changes the catalogue from several goroutines and says on
// standard output, a line each, what was acknowledged: "+ID" put, "-ID" deleted,
// and "?ID" before it begins to delete: from then on either may be.
func writeUntilKilled(path, prefix string) error {
	s, err := Open(context.Background(), path, Options{Space: crashSpace})
	if err != nil {
		return err
	}
	var printing sync.Mutex
	say := func(sign string, ids ...string) {
		printing.Lock()
		defer printing.Unlock()
		for _, id := range ids {
			fmt.Println(sign + id)
		}
	}
	failed := make(chan error)
	for g, batch := range []int{1, 1, 3, 20} {
		go func() {
			for i := 0; ; i++ {
				var entries []index.Entry
				var ids []string
				for j := range batch {
					id := fmt.Sprintf("%s-%d-%d-%d", prefix, g, i, j)
					ids, entries = append(ids, id), append(entries, crashEntry(id))
				}
				if err := s.Upsert(context.Background(), crashSpace, entries...); err != nil {
					failed <- err
				}
				say("+", ids...)
				if i%3 == 2 {
					say("?", ids[0])
					if err := s.DeleteWork(context.Background(), ids[0]); err != nil {
						failed <- err
					}
					say("-", ids[0])
				}
			}
		}()
	}
	return <-failed
}

// TestKillLosesNothing kills a process with SIGKILL while it writes, twenty
// times on one file, and expects all that was ever acknowledged.
func TestKillLosesNothing(t *testing.T) {
	if path := os.Getenv(crashWriter); path != "" {
		t.Fatal(writeUntilKilled(path, os.Getenv(crashWriter+"_PREFIX")))
	}
	path := filepath.Join(t.TempDir(), "crash.db")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	there := map[string]bool{} // acknowledged: put, or else deleted
	for round := range 20 {
		before := len(there)
		killWhileWriting(t, path, fmt.Sprint(round), time.Duration(r.IntN(150))*time.Millisecond, there)
		if len(there) == before {
			t.Fatalf("round %d: nothing was acknowledged", round)
		}
		expectAcknowledged(t, path, there)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d acknowledged works", len(there))
}

// killWhileWriting runs a writer, kills it some time after its first
// acknowledgement, and notes what it acknowledged.
func killWhileWriting(t *testing.T, path, prefix string, after time.Duration, there map[string]bool) {
	t.Helper()
	writer := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillLosesNothing$")
	writer.Env = append(os.Environ(), crashWriter+"="+path, crashWriter+"_PREFIX="+prefix)
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for first := true; ; first = false {
		line, err := lines.ReadString('\n')
		if err != nil { // of the pipe's end; a line that was cut off acknowledges nothing
			break
		}
		if first {
			time.AfterFunc(after, func() { _ = writer.Process.Kill() }) // Wait tells
		}
		switch id := strings.TrimSpace(line[1:]); line[0] {
		case '+':
			there[id] = true
		case '-':
			there[id] = false
		case '?':
			delete(there, id)
		default:
			t.Fatalf("the writer says %q", line)
		}
	}
	if err := writer.Wait(); writer.ProcessState.ExitCode() != -1 {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

func expectAcknowledged(t *testing.T, path string, there map[string]bool) {
	t.Helper()
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for id, want := range there {
		m, err := s.Search(t.Context(), index.Query{Space: crashSpace, Vector: crashVector(id), Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if found := len(m) == 1 && m[0].Work.ID == id && m[0].Similarity > 1-1e-6; found != want {
			t.Errorf("%s: found by search: %t, acknowledged: %t", id, found, want)
		}
		p, err := s.GetPhoto(t.Context(), id, "1")
		if got := err == nil; got != want || want && string(p.Crop) != string(crashEntry(id).Photos[0].Crop) {
			t.Errorf("%s: found: %t (%v), acknowledged: %t", id, got, err, want)
		}
	}
	report, err := s.Verify(t.Context())
	if err != nil || len(report.Problems) > 0 {
		t.Errorf("Verify: %+v, %v", report, err)
	}
	// A work comes with its photo or not at all.
	if report.Works != report.Photos {
		t.Errorf("%d works, %d photos", report.Works, report.Photos)
	}
}
