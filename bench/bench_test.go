package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	ten := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, test := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{ten, 0.5, 5}, {ten, 0.95, 10}, {ten, 0.9, 9}, {ten, 1, 10}, {ten, 0, 1},
		{ten[:1], 0.99, 1}, {ten[:2], 0.5, 1}, {nil, 0.5, 0},
	} {
		if got := Quantile(test.sorted, test.q); got != test.want {
			t.Errorf("Quantile(%v, %v) = %v, want %v", test.sorted, test.q, got, test.want)
		}
	}
}

func TestOnlyGoodAnswersAreMeasured(t *testing.T) {
	start := time.Unix(1000, 0)
	got := summarise([]sample{
		{start.Add(time.Second), 2 * time.Second, 200, ""},
		{start, time.Second, 200, ""},
		{start, 9 * time.Second, 503, "503 Service Unavailable"},
		{start, 4 * time.Second, 503, "503 Service Unavailable"},
		{start, 0, 0, "connection refused"},
	})
	want := Measurement{
		Requests: 2, Failures: 3, Faults: []string{"503 503 Service Unavailable", "0 connection refused"}, Duration: 9 * time.Second,
		Latencies: Latencies{P50: time.Second, P95: 2 * time.Second, P99: 2 * time.Second, Max: 2 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadsAreAsTheySay(t *testing.T) {
	var inside, most, seen atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for now := inside.Add(1); ; {
			if old := most.Load(); now <= old || most.CompareAndSwap(old, now) {
				break
			}
		}
		defer inside.Add(-1)
		seen.Add(1)
		if _, _, err := r.FormFile("image"); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		time.Sleep(20 * time.Millisecond)
	}))
	defer server.Close()
	form, err := Form("image", []byte("\xff\xd8\xff picture"))
	if err != nil {
		t.Fatal(err)
	}
	for name, load := range map[string]Load{
		"closed": {Clients: 3, Duration: 500 * time.Millisecond},
		"open":   {Clients: 50, PerSecond: 40, Duration: 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			most.Store(0)
			seen.Store(0)
			m, err := Measure(t.Context(), server.URL, []Request{form}, load)
			if err != nil || m.Failures > 0 || int64(m.Requests) != seen.Load() {
				t.Fatalf("%v, %d answers to %d requests, %d failures %v", err, m.Requests, seen.Load(), m.Failures, m.Faults)
			}
			if most.Load() > int64(load.Clients) {
				t.Errorf("%d requests at once by %d clients", most.Load(), load.Clients)
			}
			if load.PerSecond > 0 && m.Requests != 20 {
				t.Errorf("%d requests in half a second at 40/s", m.Requests)
			}
			if m.Latencies.P50 < 20*time.Millisecond || m.Latencies.Max < m.Latencies.P99 || m.Latencies.P99 < m.Latencies.P50 {
				t.Errorf("latencies %+v of an answer that takes 20 ms", m.Latencies)
			}
		})
	}
	if err := Check(t.Context(), server.URL, Raw([]byte("no form"))); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("a refused request: %v", err)
	}
}

// A process of our own that computes and has a child that does.
func TestUsageCountsDescendants(t *testing.T) {
	health := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer health.Close()
	p, err := Start(t.Context(), System{
		Name: "busy child", Command: []string{"sh", "-c", `sh -c 'while :; do :; done' & wait`}, Health: health.URL,
	}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	defer func() { // the shell's child outlives it
		pid := p.command.Process.Pid
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		for child := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		u, err := p.Usage()
		if err == nil && u.CPU >= 100*time.Millisecond && u.Memory > 100<<10 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the busy child does not show: %+v, %v", u, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestASystemThatEndsIsNotWaitedFor(t *testing.T) {
	_, err := Start(t.Context(), System{Name: "ends", Command: []string{"false"}, Health: "http://127.0.0.1:1/"}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Errorf("%v", err)
	}
}

func TestParseStat(t *testing.T) {
	pid, parent, ticks, err := parseStat("42 (odd) name (x)) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 300 4000 20 0 1 0 5 6 7")
	if err != nil || pid != 42 || parent != 7 || ticks != 4330 {
		t.Errorf("pid %d, parent %d, ticks %d, %v", pid, parent, ticks, err)
	}
	for _, broken := range []string{"", "42 no brackets", "42 (x) S", "x (x) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 300 4000 20"} {
		if _, _, _, err := parseStat(broken); err == nil {
			t.Errorf("%q is taken", broken)
		}
	}
}
