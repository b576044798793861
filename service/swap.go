package service

import (
	"context"
	"errors"
	"time"

	"github.com/lexicam/lexicrop/triton"
)

// job is the change of a slot to another model, from the wish to its end.
type job struct {
	name   ModelName
	state  State
	since  time.Time // in this state
	reason string
	began  time.Time
	// swap is that another model is active meanwhile.
	swap   bool
	cancel context.CancelFunc
}

const (
	// firstRetry is how soon a change that failed is tried again, maxRetry how late; it doubles in
	// between.
	firstRetry = 250 * time.Millisecond
	maxRetry   = 5 * time.Second
	// patience is how often a model may be missing at a Triton that has just loaded it, or was said to
	// have it, before that counts as the model's fault.
	patience = 5
)

// The ends of a change, as metrics have them.
const (
	swapDone       = "done"
	swapFailed     = "failed"
	swapSuperseded = "superseded"
)

// set has another model take the slot, in the background: it is loaded beside the active one, tried,
// and takes its place between two requests. A failure on the way changes nothing but the state. A
// newer wish ends an older one. An empty name leaves the slot empty. again repeats for the same model
// what was done before, with the files that it has now.
func (s *slot[N]) set(name ModelName, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.job == nil:
		if name.Name == "" {
			return
		}
	case s.job.name == name && s.job.state != StateFailed && (!again || s.job.state != StateActive):
		return // it is so, or about to be
	default:
		s.job.cancel()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	j := &job{name: name, state: StateLoading, since: time.Now(), reason: "waiting for Triton to load it", began: time.Now(), cancel: cancel}
	s.job = j
	active := s.active.Load()
	j.swap = active != nil
	switch {
	case name.Name == "":
		cancel()
		j.state = StateActive
		if s.active.Store(nil); active != nil {
			s.log.Info("the model is taken out", "model", (*active).about().wanted.Name)
			s.retire((*active).about(), s.loads.unloadAfter())
		}
	case !again && active != nil && (*active).about().wanted == name:
		cancel()
		j.state = StateActive // back to what answers all the while
		s.log.Info("the model stays", "model", name.Name)
	default:
		s.running.Go(func() { s.run(ctx, j, again) })
	}
}

// run makes attempts until one succeeds, the change is superseded, or there is no use in more.
func (s *slot[N]) run(ctx context.Context, j *job, again bool) {
	defer j.cancel()
	missing := 0
	for wait := firstRetry; ; wait = min(2*wait, maxRetry) {
		err := s.attempt(ctx, j, again)
		if isMissing(err) {
			// Of several Tritons one has it and another has not: all are told to load it.
			missing, again = missing+1, true
		}
		switch {
		case err == nil:
			s.ended(j, swapDone)
			return
		case ctx.Err() != nil:
			s.ended(j, swapSuperseded)
			return
		case s.active.Load() != nil && !isPassing(err) && (!isMissing(err) || missing > patience):
			s.progress(j, StateFailed, reasonOf(err))
			s.log.Error("the model is not put in place, the one before goes on", "model", j.name.Name, "version", j.name.Version, "reason", reasonOf(err))
			s.ended(j, swapFailed)
			return
		}
		// Triton is not there, or there is nothing to lose.
		if reason := reasonOf(err); s.progress(j, StateLoading, reason) {
			s.log.Warn("the model is not ready", "model", j.name.Name, "reason", reason)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// ended counts a change; the first model of a slot is none.
func (s *slot[N]) ended(j *job, outcome string) {
	if j.swap {
		s.metrics.swaps.WithLabelValues(string(s.task), string(s.role), outcome).Inc()
		s.metrics.swapTime.WithLabelValues(string(s.task), string(s.role), outcome).Observe(time.Since(j.began).Seconds())
	}
}

// isPassing tells faults that are not the model's.
func isPassing(err error) bool {
	kind, _ := triton.KindOf(err)
	return kind == triton.Unavailable
}

// isMissing tells that a Triton was asked which does not have the model.
func isMissing(err error) bool {
	kind, ok := triton.KindOf(err)
	return ok && kind == triton.NotReady
}

// attempt loads the model of j, tries it and makes it the active one.
func (s *slot[N]) attempt(ctx context.Context, j *job, again bool) error {
	h := s.loads.hold(j.name.Name)
	err := s.loads.quiet(ctx, h)
	if err == nil {
		err = s.placed(ctx, h, j, again)
	}
	if err != nil {
		after := time.Duration(0)
		if isPassing(err) || isMissing(err) { // tried again, and others that share the Triton may have it by now
			after = s.loads.unloadAfter()
		}
		s.loads.drop(h, after)
	}
	return err
}

func (s *slot[N]) placed(ctx context.Context, h *hold, j *job, again bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.loadTimeout)
	defer cancel()
	n, err := s.bring(ctx, h, j.name, again, func(state State) { s.progress(j, state, "") })
	if err != nil {
		return err
	}
	return s.verified(ctx, n, j)
}

// verified makes n the active model when the reference picture says nothing against it. Where no
// model would answer otherwise, a doubtful one is better than none.
func (s *slot[N]) verified(ctx context.Context, n N, j *job) error {
	doubt := n.check(ctx)
	if doubt != nil && (s.active.Load() != nil || isPassing(doubt) || ctx.Err() != nil) {
		return doubt
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job != j {
		return errors.New("superseded")
	}
	about := n.about()
	s.loads.adopt(about.held)
	old := s.active.Swap(&n)
	s.lost.Store(nil)
	s.since, s.doubt = time.Now(), ""
	j.state, j.since, j.reason = StateActive, s.since, ""
	log := s.log.With("model", about.wanted.Name, "version", about.version, "fingerprint", about.contract.Fingerprint,
		"input", [2]int{about.contract.Input.Width, about.contract.Input.Height}, "took", time.Since(j.began).Round(time.Millisecond))
	if doubt != nil {
		s.doubt = reasonOf(doubt)
		log.Warn("the model is active, but doubtful", "reason", s.doubt)
	} else {
		log.Info("the model is active")
	}
	if old != nil {
		s.retire((*old).about(), s.loads.unloadAfter())
	}
	return nil
}

// progress notes where a change is, and says whether that is new.
func (s *slot[N]) progress(j *job, state State, reason string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.state == state && j.reason == reason {
		return false
	}
	if j.state != state {
		j.since = time.Now()
	}
	j.state, j.reason = state, reason
	return true
}
