// Package weaviatetest runs Weaviate servers for tests, real ones. setup.sh in
// the folder above installs them.
package weaviatetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Server is a Weaviate of one node that keeps its data in a folder of its own.
// It ends with this process, whatever ends that.
type Server struct {
	program string
	options []string
	folder  string // data and log
	port    int    // the first of several
	pid     int
	exited  chan struct{}
}

// APIKey is what a server asks for.
const APIKey = "correct-horse-battery-staple"

// Start starts the server of an installation, such as build/weaviate. Options
// are further variables of its environment, as NAME=VALUE.
func Start(install string, options ...string) (_ *Server, err error) {
	program, err := filepath.Abs(filepath.Join(install, "bin", "weaviate-server"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("no Weaviate, which index/weaviate/setup.sh installs: %w", err)
	}
	folder, err := os.MkdirTemp("", "lexicrop-weaviate-")
	if err != nil {
		return nil, err
	}
	s := &Server{program: program, options: options, folder: folder}
	if err := s.Restart(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Run starts the server that the tests of a package share, runs them, and
// returns the exit status of the package. Without a server the tests fail,
// unless LEXICROP_SKIP_WEAVIATE is set: then server is nil in them.
func Run(install string, server **Server, run func() int) int {
	if os.Getenv("LEXICROP_SKIP_WEAVIATE") != "" {
		return run()
	}
	s, err := Start(install)
	if err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: %v (LEXICROP_SKIP_WEAVIATE=1 leaves these tests out)\n", err)
		return 1
	}
	*server = s
	status := run()
	if err := s.Stop(); err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: stop Weaviate: %v\n", err)
		return 1
	}
	return status
}

// URL is where the server listens.
func (s *Server) URL() string { return "http://" + s.address() }

func (s *Server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Restart starts the server, after Kill with what it kept, and returns when it
// is ready.
func (s *Server) Restart() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for {
		err := s.start(ctx)
		if err == nil || ctx.Err() != nil || !errors.Is(err, errEnded) {
			return err
		}
		s.port = 0 // another program may have taken one of them
	}
}

var errEnded = errors.New("it ended")

func (s *Server) start(ctx context.Context) error {
	if s.port == 0 {
		var err error
		if s.port, err = freePorts(6); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := s.command()
	c.Stdout, c.Stderr = log, log
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The server is told to end when the thread ends that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Start()
		started <- err
		if err == nil {
			_ = c.Wait() // its log says why it ended
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.pid, s.exited = c.Process.Pid, exited
	for !s.ready(ctx) {
		select {
		case <-exited:
			err = errEnded
		case <-time.After(50 * time.Millisecond):
			if ctx.Err() == nil {
				continue
			}
			err = ctx.Err()
		}
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("weaviate: %w\n%s", err, said)
	}
	return nil
}

// command listens on this machine alone, except for gRPC and what nodes say to
// each other: that cannot be told.
func (s *Server) command() *exec.Cmd {
	//nolint:noctx // Stop ends it
	c := exec.Command(s.program, "--scheme=http", "--host=127.0.0.1", "--port="+strconv.Itoa(s.port))
	c.Dir = s.folder
	c.Env = append([]string{
		"PERSISTENCE_DATA_PATH=" + filepath.Join(s.folder, "data"),
		"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false",
		"AUTHENTICATION_APIKEY_ENABLED=true",
		"AUTHENTICATION_APIKEY_ALLOWED_KEYS=" + APIKey,
		"AUTHENTICATION_APIKEY_USERS=lexicrop",
		"AUTHORIZATION_ADMINLIST_ENABLED=true",
		"AUTHORIZATION_ADMINLIST_USERS=lexicrop",
		"CLUSTER_HOSTNAME=node1",
		"CLUSTER_IN_LOCALHOST=true",
		"CLUSTER_ADVERTISE_ADDR=127.0.0.1",
		"CLUSTER_GOSSIP_BIND_PORT=" + strconv.Itoa(s.port+1),
		"CLUSTER_DATA_BIND_PORT=" + strconv.Itoa(s.port+2),
		"RAFT_PORT=" + strconv.Itoa(s.port+3),
		"RAFT_INTERNAL_RPC_PORT=" + strconv.Itoa(s.port+4),
		"RAFT_BOOTSTRAP_EXPECT=1",
		"GRPC_PORT=" + strconv.Itoa(s.port+5),
		"DEFAULT_VECTORIZER_MODULE=none",
		"DISABLE_TELEMETRY=true",
		"GO_PROFILING_DISABLE=true",
		"LOG_LEVEL=warning",
	}, s.options...)
	c.SysProcAttr = attributes()
	return c
}

func (s *Server) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/v1/.well-known/ready", nil)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// freePorts finds the first of n ports in a row that nobody listens on: nodes
// expect each other's to be so.
func freePorts(n int) (first int, err error) {
	for range 100 {
		if first, err = tryPorts(n); err == nil {
			return first, nil
		}
	}
	return 0, err
}

func tryPorts(n int) (first int, err error) {
	l, err := net.Listen("tcp", ":0") //nolint:gosec // as Weaviate itself does, for a moment
	if err != nil {
		return 0, err
	}
	defer l.Close()
	first = l.Addr().(*net.TCPAddr).Port
	for port := first + 1; port < first+n; port++ {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return 0, err
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
	}
	return first, nil
}

// Kill ends the server at once. What it has not given to the kernel is lost.
func (s *Server) Kill() {
	_ = syscall.Kill(s.pid, syscall.SIGKILL) // it is a child of ours that was not waited for
	<-s.exited
}

// Stop ends the server, and removes all it kept.
func (s *Server) Stop() error {
	if s.exited != nil {
		select {
		case <-s.exited:
		default:
			s.Kill() // nothing of it is needed any more
		}
	}
	return os.RemoveAll(s.folder)
}
