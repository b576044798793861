package weaviate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

// state is what must be there of a work.
type state string

const (
	there  state = "there"
	gone   state = "gone"
	either state = "either" // changed, but the change was not acknowledged
)

// ledger notes what was acknowledged.
type ledger struct {
	sync.Mutex
	works map[string]state
}

func (l *ledger) note(s state, ids ...string) {
	l.Lock()
	defer l.Unlock()
	for _, id := range ids {
		l.works[id] = s
	}
}

// TestKillLosesNothing kills the server while one store writes from several
// goroutines, again and again, and expects all that was ever acknowledged, from
// the same store: by reading, and by searching.
func TestKillLosesNothing(t *testing.T) {
	own := startServer(t)
	s := openTest(t, on(own))
	l := ledger{works: map[string]state{}}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for round := range 8 {
		before := len(l.works)
		ctx, stop := context.WithCancel(t.Context())
		acknowledged := make(chan struct{}, 1)
		var writers sync.WaitGroup
		for g, batch := range []int{1, 1, 3, 20} {
			writers.Go(func() { writeUntilError(ctx, t, s, &l, acknowledged, fmt.Sprintf("%d-%d", round, g), batch) })
		}
		<-acknowledged
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond) // any moment
		own.Kill()
		writers.Wait()
		stop()
		if err := own.Restart(); err != nil {
			t.Fatal(err)
		}
		if len(l.works) == before {
			t.Fatalf("round %d: nothing was written", round)
		}
		expectLedger(t, s, &l)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d works", len(l.works))
}

// writeUntilError puts and deletes works of its own until the server is gone.
func writeUntilError(ctx context.Context, t *testing.T, s *Store, l *ledger, acknowledged chan<- struct{}, prefix string, batch int) {
	for i := 0; ; i++ {
		var entries []index.Entry
		var ids []string
		for j := range batch {
			e := testEntry(fmt.Sprintf("%s-%d-%d", prefix, i, j), 1, float32(i), float32(j))
			e.Photos[0].Crop = []byte(strings.Repeat(e.Work.ID, 1000))
			ids, entries = append(ids, e.Work.ID), append(entries, e)
		}
		l.note(either, ids...)
		err := s.Upsert(ctx, testSpace, entries...)
		if err == nil {
			l.note(there, ids...)
			select {
			case acknowledged <- struct{}{}:
			default:
			}
		}
		if err == nil && i%3 == 2 {
			l.note(either, ids[0])
			if err = s.DeleteWork(ctx, ids[0]); err == nil {
				l.note(gone, ids[0])
			}
		}
		if err != nil {
			if index.KindOf(err) != index.Unavailable {
				t.Errorf("after the server was killed: %v", err)
			}
			return
		}
	}
}

// expectLedger leaves to Verify whether a search finds what is there.
func expectLedger(t *testing.T, s *Store, l *ledger) {
	t.Helper()
	found := map[string]bool{}
	for e, err := range index.All(t.Context(), s, index.ScanOptions{Crops: true}) {
		if err != nil {
			t.Fatal(err)
		}
		found[e.Work.ID] = true
		want := l.works[e.Work.ID]
		if len(e.Photos) == 0 && want == either {
			continue // a part of a change
		}
		if len(e.Photos) != 1 || string(e.Photos[0].Crop) != strings.Repeat(e.Work.ID, 1000) {
			t.Errorf("%s, acknowledged as %s, has not what was put: %d photos", e.Work.ID, want, len(e.Photos))
		}
	}
	for id, want := range l.works {
		if want == there && !found[id] || want == gone && found[id] {
			t.Errorf("%s: found: %t, acknowledged: %s", id, found[id], want)
		}
	}
	r, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if l.works[p.Work] != either {
			t.Errorf("Verify, of what was acknowledged as %s: %+v", l.works[p.Work], p)
		}
	}
}
