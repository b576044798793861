// Package local runs a real Triton Inference Server as a child of this process:
// on a machine without GPU and Docker, with the Python backend. It starts the
// server that setup.sh installed, loads models, watches it, restarts it when it
// dies and ends it with this process. Linux on x86-64 only.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lexicam/lexicrop/triton"
)

// Options says what to run.
type Options struct {
	// Install is the folder that setup.sh made. Default: build/triton.
	Install string
	// Repository is the folder of the model folders.
	Repository string
	// Models are loaded at the start.
	Models []string
	// Profile, when set, takes configs/PROFILE.pbtxt of a model in place of
	// its config.pbtxt, where there is one.
	Profile string
	// Instances is how many of a Python model run side by side when its
	// configuration has no instance_group. Default: the cores that this
	// process may use (GOMAXPROCS).
	Instances int
	// Port is where it serves gRPC on the loopback address. Default: a free
	// one, which stays the same over restarts.
	Port int
	// Arguments are passed on to tritonserver.
	Arguments []string
	// Logger receives Triton's log lines. Default: slog.Default().
	Logger *slog.Logger
}

// Server is a running local Triton. It runs until Stop.
type Server struct {
	options Options
	log     *slog.Logger
	port    *reservedPort
	client  *triton.Client

	running  context.Context // until Stop
	stop     context.CancelFunc
	grace    context.Context // until Stop's context ends
	endGrace context.CancelFunc
	done     chan struct{}
	restarts atomic.Int64
	models   []string // what a restart loads; of the supervising goroutine
}

const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 15 * time.Second
	// A run this long was healthy: the next death is a new trouble.
	healthyAfter = 30 * time.Second
	watchEvery   = time.Second
	watchTimeout = 5 * time.Second
	// Triton answers its index within milliseconds also under load.
	hungAfter    = 30 * time.Second
	startTimeout = 2 * time.Minute
)

// Start starts Triton and returns when it has loaded the models; ctx bounds
// only that. An error tells what an operator can do about it.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Install == "" {
		o.Install = "build/triton"
	}
	if o.Instances == 0 {
		o.Instances = runtime.GOMAXPROCS(0)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if _, err := os.Stat(filepath.Join(o.Install, "stamp")); err != nil {
		return nil, fmt.Errorf("no local Triton in %s: run triton/local/setup.sh (make setup): %w", o.Install, err)
	}
	for _, model := range o.Models {
		if info, err := os.Stat(filepath.Join(o.Repository, model)); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("no model %s in the repository %s", model, o.Repository)
		}
	}
	port, err := reservePort(o.Port)
	if err != nil {
		return nil, fmt.Errorf("port for the local Triton: %w", err)
	}
	s := &Server{options: o, log: o.Logger, port: port, done: make(chan struct{}), models: slices.Clone(o.Models)}
	s.running, s.stop = context.WithCancel(context.Background())
	s.grace, s.endGrace = context.WithCancel(context.Background())
	s.client, err = triton.Dial(triton.Options{Address: s.Address(), LoadConfig: s.LoadConfig})
	if err != nil {
		port.release()
		return nil, err
	}
	p, err := s.launch(ctx)
	for again := 0; errors.Is(err, errDied) && again < 2 && ctx.Err() == nil; again++ {
		s.log.Warn("local Triton is started again", "error", err)
		p, err = s.launch(ctx)
	}
	if err != nil {
		s.release()
		return nil, fmt.Errorf("start of the local Triton: %w", err)
	}
	go s.supervise(p)
	return s, nil
}

// Address is where it serves gRPC, host:port.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port.number) }

// Restarts counts how often Triton had to be started again.
func (s *Server) Restarts() int { return int(s.restarts.Load()) }

// Done is closed when Triton has ended after Stop.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends Triton and all its processes. Requests under way may finish until
// ctx ends. It returns when nothing is left.
func (s *Server) Stop(ctx context.Context) {
	s.stop()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.endGrace()
		<-s.done
	}
}

func (s *Server) release() {
	s.stop()
	s.endGrace()
	s.client.Close()
	s.port.release()
}

// supervise keeps a Triton running until Stop.
func (s *Server) supervise(p *process) {
	defer close(s.done)
	defer s.release()
	backoff := firstBackoff
	for {
		err := s.watch(p)
		if s.running.Err() != nil {
			p.terminate(s.grace)
			return
		}
		p.kill()
		if time.Since(p.began) > healthyAfter {
			backoff = firstBackoff
		}
		for again := true; again; again = err != nil {
			s.log.Error("local Triton is down", "error", err, "restart_in", backoff)
			select {
			case <-s.running.Done():
				return
			case <-time.After(backoff):
			}
			backoff = min(2*backoff, maxBackoff)
			s.restarts.Add(1)
			p, err = s.launch(s.running)
		}
	}
}

// watch returns when the process has ended, hangs or lost a child, or on Stop. Meanwhile it
// notes which models are loaded, so that a restart finds those of a swap.
func (s *Server) watch(p *process) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	answered := time.Now()
	lostBefore := false
	for {
		select {
		case <-s.running.Done():
			return nil
		case <-p.exited.Done():
			return p.explain(errDied)
		case <-tick.C:
		}
		// Twice, because at an unload it is normal for a moment.
		lost := p.lostChild()
		if lost && lostBefore {
			return p.explain(errors.New("a Python process of a model died"))
		}
		lostBefore = lost
		ctx, cancel := context.WithTimeout(s.running, watchTimeout)
		index, err := s.client.Index(ctx)
		cancel()
		switch {
		case err == nil:
			answered = time.Now()
			if !lost {
				s.models = readyModels(index)
			}
		case time.Since(answered) > hungAfter:
			return fmt.Errorf("tritonserver does not answer: %w", err)
		}
	}
}

func readyModels(index []triton.ModelState) []string {
	var names []string
	for _, m := range index {
		if m.State == "READY" && !slices.Contains(names, m.Name) {
			names = append(names, m.Name)
		}
	}
	return names
}

// launch starts a process and returns when it has the models; after an error
// nothing of it is left.
func (s *Server) launch(ctx context.Context) (*process, error) {
	arguments := append([]string{
		"--model-repository=" + s.options.Repository,
		"--model-control-mode=explicit",
		"--grpc-address=127.0.0.1",
		"--grpc-port=" + strconv.Itoa(s.port.number),
		"--reuse-grpc-port=true", // the port is reserved by a socket of ours
		"--allow-http=false",
		// Else one failed load makes the whole server not ready for good.
		"--strict-readiness=false",
		"--allow-metrics=false",
		"--pinned-memory-pool-byte-size=0",
		// Completing a configuration means to run a model's Python once more
		// before, which doubles the time of its start; ours are complete.
		"--disable-auto-complete-config",
		"--exit-timeout-secs=10",
	}, s.options.Arguments...)
	if s.options.Profile != "" {
		arguments = append(arguments, "--model-config-name="+s.options.Profile)
	}
	p, err := startProcess(filepath.Join(s.options.Install, "bin", "tritonserver"), arguments, s.log)
	if err != nil {
		return nil, err
	}
	if err := s.bringUp(ctx, p); err != nil {
		if p.exited.Err() != nil {
			err = errDied // a more telling cause than the broken connection
		}
		p.kill()
		return nil, p.explain(err)
	}
	return p, nil
}

var errDied = errors.New("tritonserver ended by itself")

// bringUp waits until a started process answers and loads the models.
func (s *Server) bringUp(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(p.exited, cancel)()

	began := time.Now()
	for {
		ready, err := s.client.ServerReady(ctx)
		if ready {
			break
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	var loads sync.WaitGroup
	failures := make([]error, len(s.models))
	for i, model := range s.models {
		loads.Go(func() { failures[i] = s.client.Load(ctx, model) })
	}
	loads.Wait()
	if err := errors.Join(failures...); err != nil && s.restarts.Load() == 0 {
		return err
	} else if err != nil {
		// A model whose files were taken away while it ran must not keep the others from coming back.
		s.log.Error("a model is not loaded again", "error", err)
	}
	s.log.Info("local Triton is ready", "address", s.Address(), "models", s.models, "took", time.Since(began).Round(time.Millisecond))
	return nil
}
