package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/triton"
)

// ModelName names a model at Triton. An empty version means the newest.
type ModelName struct{ Name, Version string }

// ModelStatus is the state of a configured model, for the operator.
type ModelStatus struct {
	Task string
	Name string
	// Version is the one that answers, empty until it is known.
	Version string
	Ready   bool
	// Reason says why it is not ready.
	Reason string
	// Contract is nil until the model was ready once.
	Contract *modelrepo.Contract
}

// opened is a network of some task, ready to be asked.
type opened interface{ about() *network }

func (n *network) about() *network { return n }

// model keeps one configured network ready: it has Triton load it, reads its contract, tries it
// with a blank picture, and begins again when Triton loses it.
type model[N opened] struct {
	task    modelrepo.Task
	name    ModelName
	open    func(context.Context, *triton.Client, ModelName, *metrics) (N, error)
	client  *triton.Client
	metrics *metrics
	log     *slog.Logger
	active  atomic.Pointer[N]
	// reason is why the model is not ready; empty when it is.
	reason atomic.Pointer[string]
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

func newModel[N opened](task modelrepo.Task, name ModelName, open func(context.Context, *triton.Client, ModelName, *metrics) (N, error), client *triton.Client, metrics *metrics, log *slog.Logger) *model[N] {
	m := &model[N]{task: task, name: name, open: open, client: client, metrics: metrics, log: log.With("model", name.Name)}
	m.setReason("starting")
	return m
}

// ready returns the model to ask for the request of ctx, held until the caller calls its release. A
// model that was ready is asked even when it seems lost: its errors tell better what is wrong than an
// old observation.
func (m *model[N]) ready(_ context.Context) (N, error) {
	for n := m.active.Load(); n != nil; n = m.active.Load() {
		if (*n).about().hold() {
			return *n, nil
		}
	}
	var none N
	return none, &Error{
		Code: CodeModelNotReady, Detail: fmt.Sprintf("the model %s is not ready yet", m.name.Name),
		Err: errors.New(*m.reason.Load()),
	}
}

func (m *model[N]) status() ModelStatus {
	status := ModelStatus{Task: string(m.task), Name: m.name.Name, Reason: *m.reason.Load()}
	status.Ready = status.Reason == ""
	if n := m.active.Load(); n != nil {
		about := (*n).about()
		status.Version, status.Contract = about.version, &about.contract
	}
	return status
}

// watch looks after the model until ctx ends.
func (m *model[N]) watch(ctx context.Context, loadTimeout time.Duration) {
	failures := 0
	for {
		wait := pollReady
		if err := m.look(ctx, loadTimeout); err == nil {
			failures = 0
			m.setReason("")
		} else if failures++; failures >= strikes || m.active.Load() == nil {
			wait = pollLost
			m.setReason(err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// look makes the model ready where it is not.
func (m *model[N]) look(ctx context.Context, loadTimeout time.Duration) error {
	quick, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	ready, err := m.client.ModelReady(quick, m.name.Name, m.name.Version)
	if err != nil {
		return err
	}
	if ready && m.active.Load() != nil {
		return nil
	}
	long, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	if !ready {
		m.log.Info("loading the model")
		if err := m.client.Load(long, m.name.Name); err != nil {
			return err
		}
	}
	n, err := m.open(long, m.client, m.name, m.metrics)
	if err != nil {
		return err
	}
	m.active.Store(&n)
	about := n.about()
	m.log.Info("the model is ready", "version", about.version, "task", m.task,
		"input", fmt.Sprintf("%dx%d", about.contract.Input.Width, about.contract.Input.Height), "fingerprint", about.contract.Fingerprint)
	return nil
}

// setReason notes why the model is not ready and logs a change.
func (m *model[N]) setReason(reason string) {
	old := m.reason.Swap(&reason)
	ready := 0.0
	if reason == "" {
		ready = 1
	}
	m.metrics.modelReady.WithLabelValues(m.name.Name).Set(ready)
	switch {
	case old == nil || *old == reason:
	case reason != "":
		m.log.Warn("the model is not ready", "reason", reason)
	case m.active.Load() != nil:
		m.log.Debug("the model answers")
	}
}
