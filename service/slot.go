package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/triton"
)

// keeper is what all slots have in common.
type keeper struct {
	client  *triton.Client
	loads   *loads
	metrics *metrics
	log     *slog.Logger
	// loadTimeout bounds the loading and trying of a model.
	loadTimeout time.Duration
	// running is for what goes on in the background until ctx ends.
	running *sync.WaitGroup
	ctx     context.Context //nolint:containedctx // the life of the service
}

// opener reads a loaded model's contract and tries it with a blank picture.
type opener[N opened] func(context.Context, *triton.Client, ModelName, *metrics) (N, error)

// slot is a place for one model: it makes a model ready, puts another in its place while requests run
// (swap.go), and loads it again when Triton loses it.
type slot[N opened] struct {
	*keeper
	task modelrepo.Task
	role Role
	open opener[N]
	log  *slog.Logger

	active atomic.Pointer[N]
	// lost says why the active model cannot be asked, nil that it can.
	lost atomic.Pointer[string]

	mu sync.Mutex
	// job is the newest change; nil before the first.
	job *job
	// since is when the active model became active or was lost, doubt what is odd about it.
	since    time.Time
	doubt    string
	draining []draining
}

type draining struct {
	*network
	since time.Time
}

const (
	// pollReady is how often a model that is ready is looked after, pollLost one that is not.
	pollReady = 2 * time.Second
	pollLost  = 250 * time.Millisecond
	// pollTimeout bounds one look; a busy Triton may well need a while.
	pollTimeout = 2 * time.Second
	// strikes is how many looks in a row must fail before a model that was ready counts as lost, so
	// that one slow answer takes no server out of its load balancer.
	strikes = 2
)

func newSlot[N opened](k *keeper, task modelrepo.Task, role Role, open opener[N]) *slot[N] {
	s := &slot[N]{keeper: k, task: task, role: role, open: open, log: k.log.With("task", task, "role", role)}
	k.running.Go(s.watch)
	return s
}

// isReady says whether there is a model that can be asked.
func (s *slot[N]) isReady() bool { return s.active.Load() != nil && s.lost.Load() == nil }

// hold returns the active model, held until its release.
func (s *slot[N]) hold() (N, error) {
	for n := s.active.Load(); n != nil; n = s.active.Load() {
		if (*n).about().hold() {
			return *n, nil
		}
	}
	var none N
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job == nil || s.job.name.Name == "" {
		return none, notReady(string(s.role), "there is no such model")
	}
	return none, notReady(s.job.name.Name, s.job.reason)
}

// status tells the state of the model that answers first, where there is one, then of one that is to
// take its place, then of those that go.
func (s *slot[N]) status() []ModelStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := ModelStatus{Task: string(s.task), Role: s.role}
	var all []ModelStatus
	if n := s.active.Load(); n != nil {
		status := base.of((*n).about(), StateActive, s.since)
		status.Ready, status.Reason = true, s.doubt
		if lost := s.lost.Load(); lost != nil {
			status.State, status.Ready, status.Reason = StateLost, false, *lost
		}
		all = append(all, status)
	}
	if j := s.job; j != nil && j.state != StateActive && j.name.Name != "" {
		status := base
		status.Name, status.Version, status.State, status.Since, status.Reason = j.name.Name, j.name.Version, j.state, j.since, j.reason
		all = append(all, status)
	}
	for _, d := range s.draining {
		all = append(all, base.of(d.network, StateDraining, d.since))
	}
	return all
}

func (m ModelStatus) of(n *network, state State, since time.Time) ModelStatus {
	m.Name, m.Version, m.Contract, m.State, m.Since = n.wanted.Name, n.version, &n.contract, state, since
	return m
}

// watch looks after the active model until the service ends.
func (s *slot[N]) watch() {
	failures := 0
	for {
		wait := pollReady
		if err := s.look(); err == nil {
			failures = 0
			s.setLost("")
		} else if failures++; failures >= strikes {
			wait = pollLost
			s.setLost(reasonOf(err))
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// look makes the active model ready where it is not any more.
func (s *slot[N]) look() error {
	n := s.active.Load()
	if n == nil {
		return nil
	}
	about := (*n).about()
	quick, cancel := context.WithTimeout(s.ctx, pollTimeout)
	defer cancel()
	if ready, err := s.client.ModelReady(quick, about.wanted.Name, about.version); err != nil {
		return err
	} else if ready {
		s.loads.settle(about.held, about.version)
		return nil
	}
	s.loads.settle(about.held, "")
	long, cancel := context.WithTimeout(s.ctx, s.loadTimeout)
	defer cancel()
	s.log.Warn("Triton has lost the model: it is loaded again", "model", about.wanted.Name, "version", about.version)
	h := s.loads.hold(about.wanted.Name)
	next, err := s.bring(long, h, about.wanted, false, nil)
	if err != nil {
		s.loads.drop(h, 0)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active.CompareAndSwap(n, &next) { // a swap was faster
		s.loads.drop(h, 0)
		return nil
	}
	s.loads.adopt(h)
	s.retire(about, 0)
	s.log.Info("the model is back", "model", about.wanted.Name, "version", next.about().version)
	return nil
}

// setLost notes why the active model cannot be asked, empty that it can, and logs a change.
func (s *slot[N]) setLost(reason string) {
	n := s.active.Load()
	if n == nil {
		return
	}
	old := s.lost.Load()
	if reason == "" && old == nil || old != nil && *old == reason {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if (old == nil) != (reason == "") {
		s.since = time.Now()
	}
	if reason == "" {
		s.lost.Store(nil)
		s.log.Info("the model answers", "model", (*n).about().wanted.Name)
		return
	}
	s.lost.Store(&reason)
	s.log.Warn("the model is not ready", "model", (*n).about().wanted.Name, "reason", reason)
}

// bring has a model loaded for h, opens it and tells its progress.
func (s *slot[N]) bring(ctx context.Context, h *hold, name ModelName, again bool, progress func(State)) (N, error) {
	var none N
	if err := s.loads.load(ctx, h, name.Version, again); err != nil {
		return none, fmt.Errorf("loading it: %w", err)
	}
	if progress != nil {
		progress(StateVerifying)
	}
	n, err := s.open(ctx, s.client, name, s.metrics)
	if err != nil {
		return none, err
	}
	n.about().held = h
	s.loads.settle(h, n.about().version)
	return n, nil
}

// retire drains a network in the background and has it unloaded. s.mu is held.
func (s *slot[N]) retire(n *network, unloadAfter time.Duration) {
	s.draining = append(s.draining, draining{n, time.Now()})
	s.running.Go(func() {
		err := n.drain(s.ctx)
		s.mu.Lock()
		s.draining = slices.DeleteFunc(s.draining, func(d draining) bool { return d.network == n })
		s.mu.Unlock()
		if err == nil {
			s.loads.drop(n.held, unloadAfter)
		}
	})
}

// reasonOf is an error on one line, as an operator reads it.
func reasonOf(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	var backend *triton.Error
	switch {
	case strings.Contains(text, "failed to poll from model repository"):
		return "Triton finds no such model in its repository, or a config.pbtxt that it cannot read: " + text
	case errors.As(err, &backend) && backend.Kind == triton.Timeout:
		return "it took too long: " + text
	default:
		return text
	}
}
