package service

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// What a failed attempt has left to tidy up comes late while Triton is busy, and may then find a model that
// was replaced a moment ago, and that others still ask.
func TestAModelIsNotUnloadedBeforeTheTimeOfItsLastUse(t *testing.T) {
	server := tritontest.New(t, tritontest.Model{Name: "m"})
	client, err := triton.Dial(triton.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	l := &loads{client: client, log: slog.New(slog.DiscardHandler), running: &running, ctx: t.Context()}
	used, failed := l.hold("m"), l.hold("m")
	l.settle(used, "1")
	l.settle(failed, "1")
	l.adopt(used)
	l.drop(used, time.Hour)
	l.drop(failed, 0)
	if err := l.tidy("m", l.models["m"]); err != nil {
		t.Fatal(err)
	}
	if len(server.Loaded("m")) == 0 {
		t.Fatal("unloaded an hour too soon")
	}
	l.mu.Lock()
	l.models["m"].until = time.Now()
	l.mu.Unlock()
	if err := l.tidy("m", l.models["m"]); err != nil {
		t.Fatal(err)
	}
	if len(server.Loaded("m")) != 0 {
		t.Error("it stays loaded")
	}
}
