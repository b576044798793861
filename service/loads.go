package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/lexicam/lexicrop/triton"
)

// loads has Triton load the models that are in use, in the versions in use, and unload them when
// nobody here uses them any more. Several slots may use one model, of one version or of several.
type loads struct {
	client  *triton.Client
	log     *slog.Logger
	running *sync.WaitGroup
	ctx     context.Context //nolint:containedctx // the life of the service
	delay   atomic.Int64    // unloadAfter, as a time.Duration

	mu     sync.Mutex
	models map[string]*resident
}

// resident is a model at Triton.
type resident struct {
	// turn is held by who has Triton change something about the model: loads and unloads of one model
	// at the same time would undo each other.
	turn  *semaphore.Weighted
	holds map[*hold]bool // under loads.mu
	// ours is that it was loaded or has answered here, and may be unloaded here; under loads.mu.
	ours bool
	// until is when it may be unloaded at the soonest, whoever tidies up before; under loads.mu.
	until time.Time
	// asked is which versions Triton was asked for, nil for those of the model's own policy; all is
	// every version. They belong to who has the turn.
	asked []string
	all   bool
}

// hold is one use of a model. Its version is empty until it is known.
type hold struct{ name, version string }

// errUnsettled says that it is not known yet which versions are in use.
var errUnsettled = errors.New("a version of the model is being loaded")

// unloadTimeout bounds an unload, before which Triton finishes a load that was given up.
const unloadTimeout = 10 * time.Minute

func (l *loads) unloadAfter() time.Duration { return time.Duration(l.delay.Load()) }

// hold begins a use of a model, which ends with drop: it is not unloaded in between.
func (l *loads) hold(name string) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.models == nil {
		l.models = map[string]*resident{}
	}
	r := l.models[name]
	if r == nil {
		r = &resident{turn: semaphore.NewWeighted(1), holds: map[*hold]bool{}}
		l.models[name] = r
	}
	h := &hold{name: name}
	r.holds[h] = true
	return h
}

// settle says which version is in use, empty that Triton may not have it any more.
func (l *loads) settle(h *hold, version string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.version = version
}

// adopt makes a model that answers here one to be unloaded here, whoever loaded it.
func (l *loads) adopt(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.models[h.name].ours = true
}

// versions are those of a model that are in use, sorted; unsettled says that there may be others.
func (l *loads) versions(r *resident) (versions []string, unsettled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := map[string]bool{}
	for h := range r.holds {
		used[h.version] = true
	}
	unsettled = used[""]
	delete(used, "")
	return slices.Sorted(maps.Keys(used)), unsettled
}

// quiet waits until Triton is done with the last change of h's model, which may be a load that was given
// up: what follows has its own time then.
func (l *loads) quiet(ctx context.Context, h *hold) error {
	l.mu.Lock()
	r := l.models[h.name]
	l.mu.Unlock()
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("waiting for its last load to end: %w", err)
	}
	r.turn.Release(1)
	return nil
}

// load has Triton load the version of h's model, empty for the newest, beside the versions in use. One
// that is ready is left as it is unless again asks for a look at its files.
func (l *loads) load(ctx context.Context, h *hold, version string, again bool) error {
	l.mu.Lock()
	r := l.models[h.name]
	l.mu.Unlock()
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("waiting for its last load to end: %w", err)
	}
	defer r.turn.Release(1)
	others, _ := l.versions(r)
	if version != "" {
		l.settle(h, version)
	}
	pinned := len(others) > 0 || len(r.asked) > 0
	// Everywhere: one of several Tritons that has lost it is not found by asking any one of them.
	if ready, err := l.client.ModelReadyEverywhere(ctx, h.name, version); err != nil || ready && !again && (version != "" || !pinned) {
		return err
	}
	l.adopt(h)
	l.log.Info("loading the model", "model", h.name, "version", version, "beside", others)
	// What was asked for is noted before: Triton goes on with a load that nobody waits for any more.
	switch {
	case version != "":
		others = append(others, version)
		slices.Sort(others)
		r.asked, r.all = slices.Compact(others), false
		if err := l.client.LoadVersions(ctx, h.name, r.asked...); err != nil {
			return err
		}
		ready, err := l.isReady(ctx, h.name, version)
		if err == nil && !ready {
			err = fmt.Errorf("the model %s has no version %s", h.name, version)
		}
		return err
	case pinned:
		// Which is the newest only Triton knows. Its own choice would end the others, and it makes none
		// where it has been told what to load.
		r.all = true
		return l.client.LoadVersions(ctx, h.name)
	default:
		r.asked, r.all = nil, false
		return l.client.Load(ctx, h.name)
	}
}

func (l *loads) isReady(ctx context.Context, name, version string) (bool, error) {
	quick, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return l.client.ModelReady(quick, name, version)
}

// drop ends a use, and has what nobody uses then unloaded, in the background and not before after has
// passed: others that share the Triton may still need it, and the way back is short meanwhile. While
// Triton is away, or has a version to load, it is tried again.
func (l *loads) drop(h *hold, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.models[h.name]
	delete(r.holds, h)
	if until := time.Now().Add(after); until.After(r.until) {
		r.until = until
	}
	l.running.Go(func() {
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-time.After(after):
			}
			err := l.tidy(h.name, r)
			if err == nil || l.ctx.Err() != nil {
				return
			}
			if !isPassing(err) && !errors.Is(err, errUnsettled) {
				l.log.Warn("the model stays loaded", "model", h.name, "reason", reasonOf(err))
				return
			}
			after = maxRetry
		}
	})
}

// tidy unloads a model that nobody uses, or those of its versions.
func (l *loads) tidy(name string, r *resident) error {
	ctx, cancel := context.WithTimeout(l.ctx, unloadTimeout)
	defer cancel()
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("waiting for its last load to end: %w", err)
	}
	defer r.turn.Release(1)
	l.mu.Lock()
	// An earlier drop, tried again, must not cut short the time of a later one, which tidies up at its end.
	used, ours := len(r.holds) > 0 || time.Now().Before(r.until), r.ours
	l.mu.Unlock()
	versions, unsettled := l.versions(r)
	switch {
	case unsettled:
		return errUnsettled
	case !used && ours:
		l.log.Info("unloading the model", "model", name)
		r.asked, r.all = nil, false
		if err := l.client.Unload(ctx, name); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		r.ours = false
	case len(versions) > 0 && (r.all || len(r.asked) > len(versions)):
		l.log.Info("unloading versions of the model", "model", name, "kept", versions)
		if err := l.client.LoadVersions(ctx, name, versions...); err != nil {
			return err
		}
		r.asked, r.all = versions, false
	}
	return nil
}
