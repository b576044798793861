package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
)

const (
	install    = "../../build/triton"
	repository = "../testdata/models"
)

// TestMain lets this test binary play the parent that is killed.
func TestMain(m *testing.M) {
	if address := os.Getenv("LEXICROP_TEST_PARENT"); address != "" {
		beParent(address)
	}
	os.Exit(m.Run())
}

func needTriton(t *testing.T) {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
}

func start(t *testing.T, o local.Options) *local.Server {
	t.Helper()
	needTriton(t)
	o.Install, o.Repository = install, repository
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	server, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v (LEXICROP_SKIP_TRITON=1 leaves this test out)", err)
	}
	t.Cleanup(func() { stop(server) })
	return server
}

func stop(s *local.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	s.Stop(ctx)
}

func dial(t *testing.T, s *local.Server) *triton.Client {
	t.Helper()
	client, err := triton.Dial(triton.Options{Address: s.Address(), LoadConfig: s.LoadConfig})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func infer(ctx context.Context, c *triton.Client, command ...byte) error {
	data := make([]byte, 4)
	copy(data, command)
	_, err := c.Infer(ctx, &triton.Request{Model: "probe", Inputs: []triton.Tensor{
		{Name: "command", DType: triton.Uint8, Shape: []int64{1, 4}, Data: data},
	}})
	return err
}

// eventually waits for what takes the machine a while.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// ours are the processes below a process, by id, and their command lines.
func below(t *testing.T, parent int) map[int]string {
	t.Helper()
	found := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents, names := map[int]int{}, map[int]string{}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		head, tail, _ := strings.Cut(string(text), ") ")
		id, name, _ := strings.Cut(head, " (")
		fields := strings.Fields(tail)
		pid, _ := strconv.Atoi(id)
		parents[pid], _ = strconv.Atoi(fields[1])
		names[pid] = name
	}
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if parents[p] == parent {
				found[pid] = names[pid]
				break
			}
		}
	}
	return found
}

// pids of the running tritonserver or of its Python processes below us.
func pids(t *testing.T, parent int, name string) []int {
	var found []int
	for pid, n := range below(t, parent) {
		if strings.HasPrefix(n, name) {
			found = append(found, pid)
		}
	}
	return found
}

func TestTritonThatIsKilledUnderLoadComesBackWithItsModels(t *testing.T) {
	server := start(t, local.Options{Models: []string{"probe"}})
	client := dial(t, server)
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				_ = infer(ctx, client)
			}
		})
	}
	defer load.Wait()
	defer cancel()
	// As a swap would: after a restart it must be there again.
	if err := client.Load(t.Context(), "queue"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // for the watch to see it
	address := server.Address()
	for _, pid := range pids(t, os.Getpid(), "tritonserver") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a restart", func() bool { return server.Restarts() > 0 })
	for _, model := range []string{"probe", "queue"} {
		eventually(t, model+" is ready again", func() bool {
			ready, err := client.ModelReady(t.Context(), model, "")
			return ready && err == nil
		})
	}
	eventually(t, "an answer", func() bool { return infer(t.Context(), client) == nil })
	if server.Address() != address {
		t.Errorf("address %s became %s", address, server.Address())
	}
}

func TestAPythonProcessThatDiesIsReplaced(t *testing.T) {
	var log safeBuffer
	server := start(t, local.Options{Models: []string{"probe"}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	client := dial(t, server)
	if err := infer(t.Context(), client, 3); err == nil { // it exits
		t.Fatal("a process that died answered")
	}
	eventually(t, "an answer", func() bool { return infer(t.Context(), client) == nil })
	if server.Restarts() == 0 || !strings.Contains(log.String(), "Python process of a model died") {
		t.Errorf("%d restarts, log:\n%s", server.Restarts(), log.String())
	}
}

func TestStopLeavesNothing(t *testing.T) {
	server := start(t, local.Options{Models: []string{"probe"}})
	if len(pids(t, os.Getpid(), "triton_python")) == 0 {
		t.Fatal("no Python process runs")
	}
	stop(server)
	if left := below(t, os.Getpid()); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if left := sharedMemory(t, os.Getpid()); len(left) > 0 {
		t.Errorf("shared memory left: %v", left)
	}
	if l, err := net.Listen("tcp", server.Address()); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	stop(server) // once more does no harm
}

func sharedMemory(t *testing.T, parent int) []string {
	left, err := filepath.Glob(fmt.Sprintf("/dev/shm/lexicrop_triton_%d_*", parent))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	needTriton(t)
	for _, test := range []struct{ name, when string }{
		{"while it serves", "ready"},
		{"while it loads models", "loading"},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), "LEXICROP_TEST_PARENT="+test.when)
			parent.Stderr = os.Stderr
			output, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			pid := parent.Process.Pid
			if test.when == "ready" {
				if _, err := output.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			} else {
				eventually(t, "a Python process", func() bool { return len(pids(t, pid, "triton_python")) > 0 })
			}
			family := below(t, pid)
			_ = parent.Process.Kill()
			_ = parent.Wait()
			eventually(t, "all processes have ended", func() bool {
				for child, name := range family {
					if now, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); err == nil && strings.TrimSpace(string(now)) == name {
						return false
					}
				}
				return true
			})
			eventually(t, "shared memory is gone", func() bool { return len(sharedMemory(t, pid)) == 0 })
		})
	}
}

// beParent starts a Triton, says so and waits to be killed.
func beParent(string) {
	_, err := local.Start(context.Background(), local.Options{
		Install: install, Repository: repository, Models: []string{"probe", "queue"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	needTriton(t)
	for _, test := range []struct {
		name   string
		change func(*local.Options)
		want   string
	}{
		{"no installation", func(o *local.Options) { o.Install = t.TempDir() }, "triton/local/setup.sh"},
		{"no such model", func(o *local.Options) { o.Models = []string{"nothing"} }, "no model nothing in the repository"},
		{"broken model", func(o *local.Options) { o.Models = []string{"broken"} }, "made to be broken"},
		{"unknown argument", func(o *local.Options) { o.Arguments = []string{"--no-such-flag"} }, "ended by itself"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := local.Options{Install: install, Repository: repository, Models: []string{"probe"}, Logger: slog.New(slog.DiscardHandler)}
			test.change(&o)
			server, err := local.Start(t.Context(), o)
			if err == nil {
				stop(server)
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v\nwant %q in it", err, test.want)
			}
			if left := below(t, os.Getpid()); len(left) > 0 {
				t.Errorf("processes left: %v", left)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	needTriton(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// In the midst of the start: the server is there, but long from having loaded its model.
	go func() {
		for ctx.Err() == nil && len(pids(t, os.Getpid(), "tritonserver")) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := local.Start(ctx, local.Options{Install: install, Repository: repository, Models: []string{"probe"}, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left := below(t, os.Getpid()); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}

func TestAPortInUseIsRefused(t *testing.T) {
	needTriton(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = local.Start(t.Context(), local.Options{Install: install, Repository: repository, Port: port})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("error %v", err)
	}
}

func TestInstancesFollowTheOptionWhereTheModelLeavesThemOpen(t *testing.T) {
	server := start(t, local.Options{Models: []string{"open"}, Instances: 2})
	config, err := dial(t, server).ModelConfig(t.Context(), "open", "")
	if err != nil {
		t.Fatal(err)
	}
	if got := config.InstanceGroup[0].Count; got != 2 {
		t.Errorf("%d instances", got)
	}
	if got := len(pids(t, os.Getpid(), "triton_python")); got != 2 {
		t.Errorf("%d Python processes", got)
	}
	// The other models name theirs.
	if override, err := server.LoadConfig("probe"); override != "" || err != nil {
		t.Errorf("override of probe: %q, %v", override, err)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
