package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

func testGate(slots, queue int) *gate {
	g := newGate("testing", slots, queue)
	g.refused = prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"})
	return g
}

// However callers come, go and give up, no more slots are taken than there are, no more callers
// wait than may, and at the end all is free again.
func TestGateKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		slots, queue := rapid.IntRange(1, 4).Draw(rt, "slots"), rapid.IntRange(0, 4).Draw(rt, "queue")
		weights := rapid.SliceOfN(rapid.Int64Range(-1, 6), 1, 30).Draw(rt, "weights")
		givesUp := rapid.SliceOfN(rapid.Bool(), len(weights), len(weights)).Draw(rt, "gives up")
		synctest.Test(t, func(t *testing.T) {
			g := testGate(slots, queue)
			var taken atomic.Int64
			var callers sync.WaitGroup
			leave := make(chan struct{})
			ctx, giveUp := context.WithCancel(t.Context())
			for i, weight := range weights {
				callers.Go(func() {
					mine := t.Context()
					if givesUp[i] {
						mine = ctx
					}
					got, err := g.enter(mine, weight)
					var own *Error
					switch {
					case errors.Is(err, context.Canceled), errors.As(err, &own) && own.Code == CodeBusy:
						return
					case err != nil:
						t.Errorf("enter failed with %v", err)
						return
					}
					if now := taken.Add(got); now > int64(slots) || got < 1 {
						t.Errorf("%d of %d slots are taken, %d of them at once", now, slots, got)
					}
					<-leave
					taken.Add(-got)
					g.leave(got)
				})
			}
			synctest.Wait()
			if n := g.waiting.Load(); n > int64(queue) {
				t.Errorf("%d wait where %d may", n, queue)
			}
			giveUp()
			close(leave)
			callers.Wait()
			if g.waiting.Load() != 0 || g.inside.Load() != 0 || !g.sem.TryAcquire(int64(slots)) {
				t.Errorf("%d wait, %d are inside, and not every slot is free", g.waiting.Load(), g.inside.Load())
			}
		})
	})
}

func TestGateTellsWhoIsBusy(t *testing.T) {
	g := testGate(1, 0)
	weight, err := g.enter(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = g.enter(t.Context(), 1)
	if e := AsError(err); e == nil || e.Code != CodeBusy {
		t.Errorf("a full gate answers %v", err)
	}
	g.leave(weight)
	if _, err := g.enter(t.Context(), 1); err != nil {
		t.Errorf("a free gate answers %v", err)
	}
}
