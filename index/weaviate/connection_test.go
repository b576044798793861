package weaviate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/index"
)

// calls are one of every kind, on works "a" (there) and "b" (to be deleted).
func calls(ctx context.Context, s *Store) map[string]func() error {
	return map[string]func() error{
		"Info":   func() error { _, err := s.Info(ctx); return err },
		"Upsert": func() error { return s.Upsert(ctx, testSpace, testEntry("a", 1, 0, 0)) },
		"Get":    func() error { _, err := s.Get(ctx, "a"); return err },
		"Search": func() error {
			_, err := s.Search(ctx, index.Query{Space: testSpace, Vector: []float32{1, 0, 0}})
			return err
		},
		"Scan":        func() error { _, err := s.Scan(ctx, index.ScanOptions{}); return err },
		"Verify":      func() error { _, err := s.Verify(ctx); return err },
		"DeletePhoto": func() error { return s.DeletePhoto(ctx, "b", "1") },
	}
}

// TestServerGoneAndBack kills the server under a store, and starts it again.
func TestServerGoneAndBack(t *testing.T) {
	own := startServer(t)
	o := on(own)
	s := openTest(t, o)
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
	own.Kill()
	for name, call := range calls(t.Context(), s) {
		err := call()
		if index.KindOf(err) != index.Unavailable {
			t.Errorf("%s without a server: %v", name, err)
		}
		expectNoSecret(t, err)
	}
	_, err := Open(t.Context(), o)
	if index.KindOf(err) != index.Unavailable {
		t.Errorf("Open without a server: %v", err)
	}
	expectNoSecret(t, err)
	if err := own.Restart(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(t.Context(), s) {
		if err := call(); err != nil {
			t.Errorf("%s when the server is back: %v", name, err)
		}
	}
}

func expectNoSecret(t testing.TB, err error) {
	t.Helper()
	for _, part := range []string{"horse", "battery", "staple"} {
		if err != nil && strings.Contains(err.Error(), part) {
			t.Errorf("the key is in %q", err)
		}
	}
}

// proxy stands before the server that the tests share.
func proxy(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, forward http.Handler)) *httptest.Server {
	t.Helper()
	target, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	p := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, forward) }))
	t.Cleanup(p.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return p
}

// TestLostConnections cuts every first connection that is used for something.
func TestLostConnections(t *testing.T) {
	o := fresh(t)
	cut := map[string]bool{}
	p := proxy(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if !cut[r.RemoteAddr] && strings.HasPrefix(r.URL.Path, "/v1/") {
			cut[r.RemoteAddr] = true
			if len(cut)%2 == 1 {
				panic(http.ErrAbortHandler)
			}
		}
		forward.ServeHTTP(w, r)
	})
	p.Start()
	o.URL = p.URL
	s := openTest(t, o)
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
	for name, call := range calls(t.Context(), s) {
		s.client.transport.CloseIdleConnections() // the next one is a new one
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(cut) < 4 {
		t.Errorf("only %d connections", len(cut))
	}
}

// TestBusyServer has something between here and the server refuse, and be slow.
func TestBusyServer(t *testing.T) {
	o := fresh(t)
	answer := http.StatusOK
	release := make(chan struct{})
	defer close(release)
	p := proxy(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		switch answer {
		case http.StatusOK:
			forward.ServeHTTP(w, r)
		case 0:
			select {
			case <-release:
			case <-r.Context().Done():
			}
		default:
			http.Error(w, "no", answer)
		}
	})
	p.Start()
	o.URL = p.URL
	o.Timeout = 10 * time.Second
	s := openTest(t, o)
	for status, want := range map[int]index.Kind{
		http.StatusServiceUnavailable: index.Unavailable, http.StatusBadGateway: index.Unavailable, http.StatusTooManyRequests: index.Unavailable,
		http.StatusForbidden: index.Internal, http.StatusInternalServerError: index.Internal,
	} {
		answer = status
		for name, call := range calls(t.Context(), s) {
			if err := call(); err == nil || index.KindOf(err) != want {
				t.Errorf("%s with status %d: %v", name, status, err)
			}
		}
	}
	answer = http.StatusOK
	put(t, s, testEntry("a", 1, 0, 0))

	answer = 0
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for name, call := range calls(ctx, s) {
		if err := call(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s with a deadline: %v", name, err)
		}
	}
	answer = http.StatusOK
	hasty := o
	hasty.Timeout = 100 * time.Millisecond
	for { // a busy machine may not be as hasty
		h, err := Open(t.Context(), hasty)
		if err != nil {
			hasty.Timeout *= 2
			continue
		}
		defer h.Close()
		answer = 0
		if _, err := h.Get(t.Context(), "a"); index.KindOf(err) != index.Unavailable {
			t.Errorf("Get of a server that does not answer: %v", err)
		}
		return
	}
}

func TestTLS(t *testing.T) {
	o := fresh(t)
	p := proxy(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) { forward.ServeHTTP(w, r) })
	p.StartTLS()
	p.Config.ErrorLog = nil
	o.URL = p.URL
	if _, err := Open(t.Context(), o); index.KindOf(err) != index.Unavailable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	authorities := x509.NewCertPool()
	authorities.AddCert(p.Certificate())
	o.TLS = &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	s := openTest(t, o)
	put(t, s, testEntry("a", 1, 0, 0), testEntry("b", 0, 1, 0))
	for name, call := range calls(t.Context(), s) {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	there := fresh(t)
	openTest(t, there)
	with := func(o Options, change func(*Options)) Options {
		change(&o)
		return o
	}
	newer, foreign, hnsw := fresh(t), fresh(t), fresh(t)
	for o, edit := range map[*Options]func(description, index *string){
		&newer:   func(d, _ *string) { *d = strings.Replace(*d, `"lexicrop":1`, `"lexicrop":2`, 1) },
		&foreign: func(d, _ *string) { *d = "somebody's" },
		&hnsw:    func(_, i *string) { *i = "hnsw" },
	} {
		c, err := newClient(*o)
		if err != nil {
			t.Fatal(err)
		}
		class := c.class(testSpace, 1)
		edit(&class.Description, &class.VectorIndexType)
		if err := c.schema.ClassCreator().WithClass(class).Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.transport.CloseIdleConnections()
	}
	for _, c := range []struct {
		name    string
		options Options
		want    index.Kind
		says    string
	}{
		{"no catalogue and no space", with(fresh(t), func(o *Options) { o.Space = index.Space{} }), index.NotFound, "no catalogue"},
		{"a wrong key", with(fresh(t), func(o *Options) { o.APIKey = "wrong-staple" }), index.Internal, "401"},
		{"no key", with(fresh(t), func(o *Options) { o.APIKey = "" }), index.Internal, "401"},
		{"no server", with(fresh(t), func(o *Options) { o.URL = "http://127.0.0.1:1" }), index.Unavailable, "127.0.0.1:1"},
		{"a name that is no host", with(fresh(t), func(o *Options) { o.URL = "http://host.invalid" }), index.Unavailable, "host.invalid"},
		{"another space", with(there, func(o *Options) { o.Space.Name = "other" }), index.OtherSpace, "other"},
		{"another dimension", with(there, func(o *Options) { o.Space.Dimension = 4 }), index.WrongDimension, "4"},
		{"a space without a name", with(there, func(o *Options) { o.Space.Name = "" }), index.Invalid, "name"},
		{"no URL", with(there, func(o *Options) { o.URL = "weaviate:8080" }), index.Invalid, "URL"},
		{"a key in the URL", with(there, func(o *Options) { o.URL = "http://u:staple@weaviate:8080" }), index.Invalid, "URL"},
		{"no name of a collection", with(there, func(o *Options) { o.Collection = "lexicrop" }), index.Invalid, "capital"},
		{"more replicas than nodes", with(fresh(t), func(o *Options) { o.Replicas = 3 }), index.Internal, "replica"},
		{"a newer version", newer, index.Invalid, "newer"},
		{"a collection of another program", foreign, index.Invalid, "another program"},
		{"an index that misses works", hnsw, index.Invalid, "hnsw"},
	} {
		s, err := Open(t.Context(), c.options)
		if err == nil {
			t.Errorf("%s was opened", c.name)
			s.Close()
			continue
		}
		if index.KindOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.says)
		}
		expectNoSecret(t, err)
	}
	own := with(there, func(o *Options) { o.Space = index.Space{} })
	if info, err := openTest(t, own).Info(t.Context()); err != nil || info.Space != testSpace {
		t.Errorf("Info: %+v, %v", info, err)
	}
}

// TestOpenAtOnce opens a catalogue that is not there from several replicas.
func TestOpenAtOnce(t *testing.T) {
	o := fresh(t)
	results := make(chan error)
	const n = 6
	for i := range n {
		go func() {
			s, err := Open(t.Context(), o)
			if err == nil {
				err = errors.Join(s.Upsert(t.Context(), testSpace, testEntry(string(rune('a'+i)), 1, 0, 0)), s.Close())
			}
			results <- err
		}()
	}
	for range n {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got, err := openTest(t, o).Count(t.Context(), nil); err != nil || got.Works != n {
		t.Errorf("Count: %v, %v", got, err)
	}
}

// TestCloseEndsVerify closes while checks run.
func TestCloseEndsVerify(t *testing.T) {
	s := openTest(t, fresh(t))
	put(t, s, testEntry("a", 1, 0, 0))
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		for i := 0; ; i++ {
			if i == 1 {
				close(begun)
			}
			if _, err := s.Verify(context.WithoutCancel(t.Context())); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; index.KindOf(err) != index.Closed {
		t.Errorf("Verify: %v", err)
	}
}
