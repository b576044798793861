package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
)

// ModelName names a model at Triton. An empty version means the newest.
type ModelName struct{ Name, Version string }

func (m ModelName) String() string {
	if m.Version == "" {
		return m.Name
	}
	return m.Name + " version " + m.Version
}

// Models is which models are in use. Service.Apply changes it while requests run.
type Models struct {
	Detector, Embedder Lineup
	// UnloadAfter is how long a model that was swapped out stays loaded when its last request is
	// answered.
	UnloadAfter time.Duration
}

// Lineup names the models of one task.
type Lineup struct {
	// Primary answers.
	Primary ModelName
	// Canary answers Percent (0 to 100) of the requests in its place; with an empty name there is none.
	Canary  ModelName
	Percent float64
	// Shadow is asked beside, and its answers are compared; with an empty name there is none.
	Shadow ModelName
}

// Role is what a model is there for in its task.
type Role string

// The roles.
const (
	RolePrimary Role = "primary" // it answers
	RoleCanary  Role = "canary"  // it answers a share of the requests
	RoleShadow  Role = "shadow"  // it is asked beside, nobody gets its answers
)

// State is where a model is on its way in and out.
type State string

// The states.
const (
	StateLoading   State = "loading"   // Triton is loading it
	StateVerifying State = "verifying" // it is being tried
	StateActive    State = "active"    // it answers
	StateLost      State = "lost"      // it was active, and Triton does not have it any more
	StateFailed    State = "failed"    // it will not become active
	StateDraining  State = "draining"  // it finishes what it has begun, and goes
)

// ModelStatus is the state of a model that is configured, or was until now, for the operator.
type ModelStatus struct {
	Task string
	Role Role
	Name string
	// Version is the one that answers; until it is known, the one that was asked for.
	Version string
	State   State
	// Since is when it came into this state.
	Since time.Time
	// Ready says whether it is active and not lost.
	Ready bool
	// Reason says why it is not ready, or what is doubtful of one that is.
	Reason string
	// Percent is the share of a canary.
	Percent float64
	// Contract is nil until the model was active once.
	Contract *modelrepo.Contract
}

// opened is a network of some task, ready to be asked.
type opened interface {
	about() *network
	// check asks for an answer to the reference picture and says what is wrong with it.
	check(ctx context.Context) error
}

func (n *network) about() *network { return n }

// model is who answers for a task.
type model[N opened] struct {
	task                    modelrepo.Task
	primary, canary, shadow *slot[N]
	split                   split
}

func newModel[N opened](k *keeper, task modelrepo.Task, open opener[N]) *model[N] {
	return &model[N]{
		task:    task,
		primary: newSlot(k, task, RolePrimary, open),
		canary:  newSlot(k, task, RoleCanary, open),
		shadow:  newSlot(k, task, RoleShadow, open),
	}
}

// set puts other models in place. again has Triton look at the files of those that stay, too.
func (m *model[N]) set(l Lineup, again bool) {
	m.primary.set(l.Primary, again)
	m.split.set(l.Canary.Name, l.Percent)
	m.canary.set(l.Canary, again)
	m.shadow.set(l.Shadow, again)
}

// ready returns the model to ask for the request of ctx, held until the caller calls its release. A
// primary that was ready is asked even when it seems lost: its errors tell better what is wrong than
// an old observation. A canary that is not ready is passed over.
func (m *model[N]) ready(ctx context.Context) (N, error) {
	switch role := RoleAsked(ctx, m.task); {
	case role == RoleShadow:
		return m.shadow.hold()
	case role == RoleCanary, role == "" && m.canary.isReady() && m.split.takes(ctx):
		if n, err := m.canary.hold(); err == nil || role == RoleCanary {
			return n, err
		}
	}
	return m.primary.hold()
}

// status tells the state of the primary that answers, or of the one that is to.
func (m *model[N]) status() ModelStatus {
	if statuses := m.primary.status(); len(statuses) > 0 {
		return statuses[0]
	}
	return ModelStatus{}
}

// statuses tells the state of all models of the task, the primary that answers first.
func (m *model[N]) statuses() []ModelStatus {
	statuses := m.primary.status()
	for _, s := range m.canary.status() {
		s.Percent = m.split.percent()
		statuses = append(statuses, s)
	}
	return append(statuses, m.shadow.status()...)
}

// chosen says which model of a task is to be asked in a request.
type chosen struct {
	task modelrepo.Task
	role Role
}

// of is empty for another task: there the request takes what comes.
func (c chosen) of(task modelrepo.Task) Role {
	if c.task != task {
		return ""
	}
	return c.role
}

type roleKey struct{}

// WithRole has the model of a role asked in a request, which is a comparison then.
func WithRole(ctx context.Context, task modelrepo.Task, role Role) context.Context {
	return context.WithValue(ctx, roleKey{}, chosen{task, role})
}

// RoleAsked is the role that WithRole chose for a task, empty where it chose none.
func RoleAsked(ctx context.Context, task modelrepo.Task) Role { return roleOf(ctx).of(task) }

func roleOf(ctx context.Context) chosen {
	c, _ := ctx.Value(roleKey{}).(chosen)
	return c
}

// notReady is the error of a request whose model is not there.
func notReady(name, reason string) *Error {
	return &Error{
		Code: CodeModelNotReady, Detail: fmt.Sprintf("the model %s is not ready yet", name),
		Err: errors.New(reason),
	}
}
