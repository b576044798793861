package triton_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// slow is an address where connections are taken, and lead to server only once open is called: a replica
// that is connecting until then.
func slow(t *testing.T, server *tritontest.Server) (address string, open func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	opened := make(chan struct{})
	go func() {
		select {
		case <-opened:
		case <-t.Context().Done():
			return
		}
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server.Address())
			if err != nil {
				from.Close()
				return
			}
			context.AfterFunc(t.Context(), func() { from.Close(); to.Close() })
			go func() { _, _ = io.Copy(to, from); to.Close() }()
			go func() { _, _ = io.Copy(from, to); from.Close() }()
		}
	}()
	return listener.Addr().String(), func() { close(opened) }
}

// refusing has no model.
func refusing(t *testing.T) *tritontest.Server {
	t.Helper()
	server := fake(t)
	server.SetLoaded("probe", false)
	return server
}

func dialReplicas(t *testing.T, reconnection time.Duration, addresses ...string) *triton.Client {
	t.Helper()
	client, err := triton.DialReplicas(triton.Options{}, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	client.SetReconnection(reconnection)
	return client
}

func TestARefusedRequestWaitsForAReplicaThatIsConnecting(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]tritontest.Fault{
		"and is answered": {},
		// The bound is on the wait, not on the answer.
		"and may be computed for longer than it may wait": {Delay: 2500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := refusing(t), fake(t)
			second.SetFault("probe", fault)
			address, open := slow(t, second)
			client := dialReplicas(t, 2*time.Second, first.Address(), address)
			answered := make(chan error, 1)
			go func() {
				_, err := client.Infer(t.Context(), command("probe"))
				answered <- err
			}()
			waitFor(t, func() bool { return first.Counts("probe").Inferences > 0 })
			open()
			if err := <-answered; err != nil {
				t.Error(err)
			}
			if n := first.Counts("probe").Inferences; n != 1 {
				t.Errorf("the one that refuses was asked %d times", n)
			}
		})
	}
}

// A host that is gone takes connections for no answer: the refusal is the better one, and comes in time.
func TestARefusedRequestWaitsInVainForABoundedTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ reconnection, deadline time.Duration }{
		"by itself":            {50 * time.Millisecond, time.Minute},
		"by what is left":      {time.Hour, 2 * time.Second},
		"without any deadline": {50 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := refusing(t)
			address, _ := slow(t, fake(t))
			client := dialReplicas(t, test.reconnection, first.Address(), address)
			ctx := t.Context()
			if test.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.deadline)
				defer cancel()
			}
			_, err := client.Infer(ctx, command("probe"))
			wantKind(t, err, triton.NotReady)
		})
	}
}

// The caller's own end is not taken for that of the wait.
func TestACallerThatGoesWhileItsRequestWaitsIsToldSo(t *testing.T) {
	first := refusing(t)
	address, _ := slow(t, fake(t))
	client := dialReplicas(t, time.Hour, first.Address(), address)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for first.Counts("probe").Inferences == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := client.Infer(ctx, command("probe"))
	wantKind(t, err, triton.Canceled)
}
