// Package tritontest is a Triton for tests: an in-memory server that speaks the
// real protocol on a real loopback address, with scripted models, a repository,
// and faults. Its refusals carry the codes and words of the real one.
package tritontest

import (
	"cmp"
	"context"
	"net"
	"slices"
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
	stopped context.Context
	stop    context.CancelFunc

	connections map[net.Conn]bool
}

// state is a model's folder with what became of it.
type state struct {
	versions []*version // ascending
	changed  bool       // the files are newer than the last load
	fault    Fault
	counts   Counts
}

// version is one version of a model: as its files are, and as it was loaded.
type version struct {
	files     Model
	running   Model
	fresh     bool // the files are newer than what runs
	loaded    bool
	loading   bool
	unloading bool
}

// newest returns the newest version that is loaded, or nil.
func (m *state) newest() *version {
	for _, v := range slices.Backward(m.versions) {
		if v.loaded {
			return v
		}
	}
	return nil
}

// New starts a server with these models, loaded, and ends it with the test.
func New(t testing.TB, models ...Model) *Server {
	t.Helper()
	s := &Server{models: map[string]*state{}, connections: map[net.Conn]bool{}}
	for _, m := range models {
		s.Add(m)
		s.SetLoaded(m.Name, true)
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

// Add puts a version of a model into the repository, not loaded. One that is
// there already gets other files: what is loaded of it runs on until the next
// load.
func (s *Server) Add(m Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.complete()
	folder := s.models[m.Name]
	if folder == nil {
		folder = &state{}
		s.models[m.Name] = folder
	}
	i, found := slices.BinarySearchFunc(folder.versions, m.number(), func(v *version, number int) int { return cmp.Compare(v.files.number(), number) })
	if !found {
		folder.versions = slices.Insert(folder.versions, i, &version{})
	}
	folder.versions[i].files, folder.versions[i].fresh, folder.changed = m, true, true
}

// Remove takes the files of a model away; what is loaded of it runs on.
func (s *Server) Remove(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if folder := s.models[model]; folder != nil {
		folder.changed = true
		folder.versions = slices.DeleteFunc(folder.versions, func(v *version) bool { return !v.loaded })
		for _, v := range folder.versions {
			v.files.LoadError, v.fresh = "there is no such file", true
		}
	}
}

// Stop breaks all connections and refuses new ones, as when Triton is killed.
func (s *Server) Stop() {
	s.mu.Lock()
	running := s.grpc
	s.stop()
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

// SetLoaded loads the newest version of a model or unloads all, without a call.
func (s *Server) SetLoaded(model string, loaded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	folder := s.models[model]
	if loaded {
		folder.versions[len(folder.versions)-1].load()
		folder.changed = false
		return
	}
	for _, v := range folder.versions {
		v.loaded = false
	}
}

func (v *version) load() { v.running, v.fresh, v.loaded = v.files, false, true }

// Counts are the calls that a model has seen, failed ones included.
type Counts struct {
	Inferences, Loads, Unloads int
}

// Counts returns the calls that concerned a model.
func (s *Server) Counts(model string) Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	folder := s.models[model]
	if folder == nil {
		return Counts{}
	}
	return folder.counts
}

// Loaded lists the versions of a model that can be asked, ascending.
func (s *Server) Loaded(model string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var versions []string
	if folder := s.models[model]; folder != nil {
		for _, v := range folder.versions {
			if v.loaded {
				versions = append(versions, v.running.Version)
			}
		}
	}
	return versions
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
	s.stopped, s.stop = context.WithCancel(context.Background())
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
