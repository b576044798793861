package service

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
)

// gate lets a bounded amount of work run at once and a bounded number of callers wait for their
// turn, first come, first served. Who finds the queue full is sent away at once: a later "no" only
// costs the client its time and the server its memory.
type gate struct {
	name    string
	slots   int64
	queue   int64
	sem     *semaphore.Weighted
	waiting atomic.Int64
	inside  atomic.Int64
	refused prometheus.Counter
}

func newGate(name string, slots, queue int) *gate {
	return &gate{name: name, slots: int64(slots), queue: int64(queue), sem: semaphore.NewWeighted(int64(slots))}
}

// hasRoom says whether somebody could enter without waiting, or making others wait.
func (g *gate) hasRoom() bool { return g.waiting.Load() == 0 && g.inside.Load() < g.slots }

// enter waits for weight slots (at least one, at most all). The caller must call leave exactly once
// with the weight returned. The error is of CodeBusy, or the context's.
func (g *gate) enter(ctx context.Context, weight int64) (int64, error) {
	weight = min(max(weight, 1), g.slots)
	if !g.sem.TryAcquire(weight) {
		if g.waiting.Add(1) > g.queue {
			g.waiting.Add(-1)
			g.refused.Inc()
			return 0, &Error{Code: CodeBusy, Detail: fmt.Sprintf("%d requests wait for %s already", g.queue, g.name)}
		}
		err := g.sem.Acquire(ctx, weight)
		g.waiting.Add(-1)
		if err != nil {
			return 0, fmt.Errorf("waiting for %s: %w", g.name, err)
		}
	}
	g.inside.Add(1)
	return weight, nil
}

func (g *gate) leave(weight int64) {
	g.inside.Add(-1)
	g.sem.Release(weight)
}
