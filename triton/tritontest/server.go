// Package tritontest is a Triton for tests: an in-memory server that speaks the
// real protocol on a real loopback address, with scripted models, a repository,
// and faults. Its refusals carry the codes and words of the real one.
package tritontest

import (
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/lexicam/lexicrop/triton/inference"
)

// Server is a running fake. All its methods may be called at any time.
type Server struct {
	inference.UnimplementedGRPCInferenceServiceServer

	mu      sync.Mutex
	address string
	grpc    *grpc.Server
	models  map[string]*state
	header  metadata.MD // of the newest inference

	connections map[net.Conn]bool
}

// state is a model with what became of it.
type state struct {
	Model
	loaded     bool
	loading    bool
	unloading  bool
	fault      Fault
	inferences int
	loads      int
	unloads    int
}

// New starts a server with these models, loaded, and ends it with the test.
func New(t testing.TB, models ...Model) *Server {
	t.Helper()
	s := &Server{models: map[string]*state{}, connections: map[net.Conn]bool{}}
	for _, m := range models {
		s.Add(m)
		s.models[m.Name].loaded = true
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.serve(listener)
	t.Cleanup(s.Stop)
	return s
}

// Address is where it serves, host:port; the same after Restart.
func (s *Server) Address() string { return s.address }

// Add puts a model into the repository, not loaded; one of the same name is
// replaced.
func (s *Server) Add(m Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.complete()
	s.models[m.Name] = &state{Model: m}
}

// Stop breaks all connections and refuses new ones, as when Triton is killed.
func (s *Server) Stop() {
	s.mu.Lock()
	running := s.grpc
	s.mu.Unlock()
	running.Stop()
}

// Restart serves again after Stop, on the same address and with the same models
// loaded.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.serve(listener)
}

// SetFault makes a model fail from now on; the zero Fault ends that.
func (s *Server) SetFault(model string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[model].fault = f
}

// SetLoaded loads or unloads a model without a call.
func (s *Server) SetLoaded(model string, loaded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models[model].loaded = loaded
}

// Counts are the calls that a model has seen, failed ones included.
type Counts struct {
	Inferences, Loads, Unloads int
}

// Counts returns the calls that concerned a model.
func (s *Server) Counts(model string) Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[model]
	if m == nil {
		return Counts{}
	}
	return Counts{Inferences: m.inferences, Loads: m.loads, Unloads: m.unloads}
}

// Loaded says whether a model can be asked.
func (s *Server) Loaded(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[model]
	return m != nil && m.loaded
}

// Header returns the metadata of the newest inference, trace context included.
func (s *Server) Header() metadata.MD {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header
}

func (s *Server) serve(listener net.Listener) {
	running := grpc.NewServer(grpc.MaxRecvMsgSize(1 << 30))
	inference.RegisterGRPCInferenceServiceServer(running, s)
	s.mu.Lock()
	s.grpc = running
	s.mu.Unlock()
	go func() { _ = running.Serve(&recordingListener{Listener: listener, server: s}) }()
}

// recordingListener keeps the connections for faults that break them.
type recordingListener struct {
	net.Listener
	server *Server
}

func (l *recordingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.server.mu.Lock()
		l.server.connections[c] = true
		l.server.mu.Unlock()
	}
	return c, err
}
