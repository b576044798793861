package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// testServer is the whole service on a Triton, behind a real HTTP listener.
type testServer struct {
	*httptest.Server
	server   *Server
	service  *service.Service
	registry *prometheus.Registry
	contract routers.Router
}

// onFake serves with a scripted Triton whose detector sees candidates in every photo.
func onFake(t *testing.T, cfg *config.Config, candidates ...tritontest.Candidate) (*testServer, *tritontest.Server) {
	t.Helper()
	fake := tritontest.New(t, tritontest.Detector("detector", candidates...))
	return newTestServer(t, cfg, triton.Options{Address: fake.Address()}), fake
}

// newTestServer crops.
func newTestServer(t testing.TB, cfg *config.Config, o triton.Options) *testServer {
	t.Helper()
	options := ServiceOptions(cfg)
	options.Embedder = service.ModelName{}
	return startTestServer(t, cfg, options, o)
}

func startTestServer(t testing.TB, cfg *config.Config, options service.Options, o triton.Options) *testServer {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := triton.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	registry := prometheus.NewRegistry()
	svc := service.New(options, client, registry, log)
	t.Cleanup(svc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := svc.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	s := &testServer{server: New(cfg, svc, registry, log), service: svc, registry: registry, contract: contract(t)}
	s.Server = httptest.NewUnstartedServer(nil)
	s.Config = s.server.public
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func contract(t testing.TB) routers.Router {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// answer is a response with its body.
type answer struct {
	*http.Response
	body []byte
}

// post sends a photo; contentType may be empty.
func (s *testServer) post(t *testing.T, path, contentType string, body []byte) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	return s.do(t, request)
}

func (s *testServer) get(t *testing.T, path string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, request)
}

// do sends a request and holds the answer against the contract.
func (s *testServer) do(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.checkContract(t, request, response, body)
	return answer{response, body}
}

func (s *testServer) checkContract(t *testing.T, request *http.Request, response *http.Response, body []byte) {
	t.Helper()
	route, parameters, err := s.contract.FindRoute(request)
	if err != nil {
		// Not of the API: the page, or a path that does not exist.
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: route},
		Status:                 response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !strings.HasSuffix(response.Header.Get("Content-Type"), "json") || response.Header.Get("Content-Type") == ndjson},
	})
	if err != nil {
		t.Errorf("%s %s: the answer %d breaks the contract: %v\n%s", request.Method, request.URL, response.StatusCode, err, body)
	}
}

// decode reads the JSON of an answer with this status.
func decode[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var value T
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	if err := json.Unmarshal(a.body, &value); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return value
}

// wantProblem asserts a problem of this status and code.
func wantProblem(t *testing.T, a answer, status int, code service.Code) api.Problem {
	t.Helper()
	problem := decode[api.Problem](t, a, status)
	if problem.Code != string(code) || problem.Status != status || problem.Title == "" || problem.RequestID == nil {
		t.Errorf("the problem is %s, want the code %s", a.body, code)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	return problem
}

// settle waits until no request holds or awaits a slot, and fails when that does not come.
func (s *testServer) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		held := 0.0
		families, err := s.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			switch f.GetName() {
			case "lexicrop_queue_waiting", "lexicrop_queue_running", "lexicrop_http_requests_in_flight":
				for _, m := range f.GetMetric() {
					held += m.GetGauge().GetValue()
				}
			}
		}
		if held == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v slots are still held", held)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testData is the folder of pictures that cannot be part of the repository.
func testData(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("LEXICROP_TEST_DATA")
	if folder == "" {
		folder = "../../../shared/data"
	}
	if _, err := os.Stat(folder); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the test data must be there in CI: %v", err)
		}
		t.Skipf("no test data: %v", err)
	}
	return folder
}

// eventually waits until what holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// gauge is the value of a metric of one queue.
func (s *testServer) gauge(t *testing.T, name, queue string) float64 {
	t.Helper()
	return s.sum(t, name, queue, func(m *dto.Metric) float64 { return m.GetGauge().GetValue() })
}

// counter adds up a metric's counters that have label among their labels.
func (s *testServer) counter(t *testing.T, name, label string) float64 {
	t.Helper()
	return s.sum(t, name, label, func(m *dto.Metric) float64 { return m.GetCounter().GetValue() })
}

func (s *testServer) sum(t *testing.T, name, label string, value func(*dto.Metric) float64) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
				sum += value(m)
			}
		}
	}
	return sum
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
