package triton

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// route steers one call past replicas that were already tried. It travels in
// the call's context and is written to by the picker, in the call's goroutine.
type route struct {
	avoid []balancer.SubConn
	// everyOther: fail with exhausted set when no replica is left, connected or
	// connecting; otherwise one that should be avoided is better than none.
	everyOther bool

	patience time.Duration // to wait for a replica that is connecting
	patient  *time.Timer   // ends the call that waits for longer; may be nil
	waiting  bool

	chosen    balancer.SubConn
	exhausted bool
}

type routeKey struct{}

func withRoute(ctx context.Context, r *route) context.Context {
	return context.WithValue(ctx, routeKey{}, r)
}

// everyReplica makes call once at each replica that is connected or
// connecting, until one fails.
func everyReplica(ctx context.Context, call func(context.Context) error) error {
	r := &route{}
	for {
		err := call(withRoute(ctx, r))
		if r.exhausted {
			return nil
		}
		if err != nil {
			return err
		}
		r.avoid = append(r.avoid, r.chosen)
		r.everyOther = true
	}
}

// reconnection is how long a request waits at most for another replica to be
// connected: some round trips, and what a busy machine makes of them. A replica
// whose host is gone takes longer than anybody should wait for a "no".
const reconnection = time.Second

// elsewhere makes a call once more, at a replica other than the one chosen
// before. One that is just connecting is waited for, but neither longer than
// patience nor for more than half the time that the caller has: what the
// first one said must reach the caller in time. tried is false when the wait
// was in vain, and the call was not made.
func (r *route) elsewhere(ctx context.Context, patience time.Duration, call func(context.Context) error) (tried bool, err error) {
	r.avoid = append(r.avoid, r.chosen)
	r.patience = patience
	if deadline, ok := ctx.Deadline(); ok {
		r.patience = min(r.patience, time.Until(deadline)/2)
	}
	// A pick that waits ends with a new picker or with the call's context alone.
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	r.patient = time.AfterFunc(time.Hour, cancel)
	defer r.patient.Stop()
	r.patient.Stop()
	err = call(withRoute(bounded, r))
	return bounded.Err() == nil || ctx.Err() != nil, err
}

// wait starts and stops the clock of a call that waits to be sent; once it is
// sent, only the caller's deadline bounds it.
func (r *route) wait(waits bool) {
	if r.patient == nil || waits == r.waiting {
		return
	}
	if r.waiting = waits; waits {
		r.patient.Reset(r.patience)
	} else {
		r.patient.Stop()
	}
}

// replicaBalancer is gRPC's round_robin with a picker that heeds a route.
const replicaBalancer = "lexicrop_replicas"

// gRPC finds balancers by name in a registry that may be written to only
// before the program runs.
func init() { //nolint:gochecknoinits // see above
	balancer.Register(replicaBalancerBuilder{})
}

type replicaBalancerBuilder struct{}

func (replicaBalancerBuilder) Name() string { return replicaBalancer }

func (replicaBalancerBuilder) Build(conn balancer.ClientConn, options balancer.BuildOptions) balancer.Balancer {
	return balancer.Get(roundrobin.Name).Build(replicaConn{conn}, options)
}

type replicaConn struct{ balancer.ClientConn }

func (c replicaConn) UpdateState(s balancer.State) {
	s.Picker = replicaPicker{Picker: s.Picker, replicas: endpointsharding.ChildStatesFromPicker(s.Picker)}
	c.ClientConn.UpdateState(s)
}

type replicaPicker struct {
	balancer.Picker // round robin over the replicas that are ready
	replicas        []endpointsharding.ChildState
}

func (p replicaPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	r, _ := info.Ctx.Value(routeKey{}).(*route)
	if r == nil {
		return p.Picker.Pick(info)
	}
	result, err := p.pick(info, r)
	r.wait(errors.Is(err, balancer.ErrNoSubConnAvailable))
	r.chosen = result.SubConn
	return result, err
}

func (p replicaPicker) pick(info balancer.PickInfo, r *route) (balancer.PickResult, error) {
	if len(r.avoid) == 0 {
		return p.Picker.Pick(info)
	}
	connecting := false
	for _, replica := range p.replicas {
		switch replica.State.ConnectivityState {
		case connectivity.Ready:
			result, err := replica.State.Picker.Pick(info)
			if err == nil && !slices.Contains(r.avoid, result.SubConn) {
				return result, nil
			}
		case connectivity.Connecting, connectivity.Idle:
			connecting = true
		}
	}
	switch {
	case connecting:
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	case !r.everyOther:
		return p.Picker.Pick(info)
	default:
		r.exhausted = true
		return balancer.PickResult{}, status.Error(codes.Unavailable, "no other replica")
	}
}
