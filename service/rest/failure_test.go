package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

func TestBadPhotosGetTheirProblem(t *testing.T) {
	cfg := config.Default()
	cfg.Limits.MaxBodyBytes, cfg.Limits.MaxPixels, cfg.Limits.MaxSide = 1<<20, 1_000_000, 2000
	s, fake := onFake(t, cfg, main)
	asked := fake.Counts("detector").Inferences
	tests := []struct {
		name   string
		body   []byte
		status int
		code   service.Code
	}{
		{"no bytes", nil, http.StatusBadRequest, service.CodeEmpty},
		{"HTML", []byte("<!doctype html><html><body>404</body></html>"), http.StatusUnsupportedMediaType, service.CodeNotAnImage},
		{"text", []byte("hello"), http.StatusUnsupportedMediaType, service.CodeNotAnImage},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), http.StatusUnsupportedMediaType, service.CodeUnsupported},
		{"half a JPEG", photo(t, 640, 320)[:2000], http.StatusUnprocessableEntity, service.CodeCorrupt},
		{"a JPEG of too many pixels", photo(t, 1100, 1000), http.StatusRequestEntityTooLarge, service.CodeTooManyPixels},
		{"a JPEG with too long a side", photo(t, 2001, 10), http.StatusRequestEntityTooLarge, service.CodeTooManyPixels},
		{"a PNG whose header claims more", read(t, "../../preprocess/testdata/huge.png"), http.StatusRequestEntityTooLarge, service.CodeTooManyPixels},
		{"too many bytes", make([]byte, 1<<20+1), http.StatusRequestEntityTooLarge, service.CodeTooManyBytes},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problem := wantProblem(t, s.post(t, "/v1/crop", "image/jpeg", test.body), test.status, test.code)
			if problem.Detail == nil {
				t.Error("the problem has no detail")
			}
			if listed := problem.Formats != nil; listed != (test.status == http.StatusUnsupportedMediaType) {
				t.Errorf("formats: %v", problem.Formats)
			}
			formType, formBody := form(formPart{name: "image", file: "a.jpg", content: string(test.body)})
			wantProblem(t, s.post(t, "/detect", formType, formBody), test.status, test.code)
		})
	}
	s.settle(t)
	if n := fake.Counts("detector").Inferences - asked; n != 0 {
		t.Errorf("%d bad photos reached the model", n)
	}
}

// A body of a GiB without a length is read no further than the limit.
func TestAnEndlessBodyIsCutOff(t *testing.T) {
	cfg := config.Default()
	cfg.Limits.MaxBodyBytes = 1 << 20
	s, _ := onFake(t, cfg, main)
	endless := &countingReader{left: 1 << 30}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/crop", endless)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.Client().Do(request)
	if err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", response.StatusCode)
		}
	}
	if sent := 1<<30 - endless.left; sent > 64<<20 {
		t.Errorf("%d bytes were taken", sent)
	}
	s.settle(t)
}

type countingReader struct{ left int }

func (r *countingReader) Read(p []byte) (int, error) {
	n := min(len(p), r.left)
	if n == 0 {
		return 0, io.EOF
	}
	r.left -= n
	return n, nil
}

func TestFaultsOfTritonGetTheirProblem(t *testing.T) {
	tests := []struct {
		name   string
		fault  tritontest.Fault
		status int
		code   service.Code
		retry  bool
	}{
		{"queue full", tritontest.Fault{Err: tritontest.ErrQueueFull}, http.StatusTooManyRequests, service.CodeBusy, true},
		{"queue timeout", tritontest.Fault{Err: tritontest.ErrQueueTimeout}, http.StatusGatewayTimeout, service.CodeDeadline, false},
		{"stopping", tritontest.Fault{Err: tritontest.ErrStopping}, http.StatusServiceUnavailable, service.CodeModelNotReady, true},
		{"model error", tritontest.Fault{Err: tritontest.ErrModel}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
		{"disconnect", tritontest.Fault{Disconnect: true}, http.StatusServiceUnavailable, service.CodeBackendGone, true},
		{"hanging", tritontest.Fault{Hang: true}, http.StatusGatewayTimeout, service.CodeDeadline, false},
		{"wrong shape", tritontest.Fault{Change: tritontest.WrongShape}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
		{"huge shape", tritontest.Fault{Change: tritontest.HugeShape}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
		{"short bytes", tritontest.Fault{Change: tritontest.ShortBytes}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
		{"no bytes", tritontest.Fault{Change: tritontest.NoBytes}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
		{"wrong type", tritontest.Fault{Change: tritontest.WrongType}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
		{"missing output", tritontest.Fault{Change: tritontest.MissingOutput}, http.StatusBadGateway, service.CodeModelMisbehaves, false},
	}
	cfg := config.Default()
	cfg.Server.RequestTimeout = 500 * time.Millisecond
	s, fake := onFake(t, cfg, main)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake.SetFault("detector", test.fault)
			defer fake.SetFault("detector", tritontest.Fault{})
			a := s.post(t, "/v1/crop", "", photo(t, 64, 64))
			problem := wantProblem(t, a, test.status, test.code)
			if got := a.Header.Get("Retry-After"); (got != "") != test.retry {
				t.Errorf("Retry-After is %q", got)
			}
			// Causes name hosts and files; they are for the log.
			if strings.Contains(string(a.body), "127.0.0.1") || problem.Detail == nil {
				t.Errorf("the problem tells too much or nothing: %s", a.body)
			}
		})
		s.settle(t)
	}
	if got := decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 64, 64)), http.StatusOK); len(got.Detections) != 1 {
		t.Errorf("after all faults the answer is %+v", got)
	}
}

func TestRequestTimeoutOfTheClient(t *testing.T) {
	s, fake := onFake(t, config.Default(), main)
	fake.SetFault("detector", tritontest.Fault{Hang: true})
	ask := func(timeout string) answer {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/crop", bytes.NewReader(photo(t, 64, 64)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Request-Timeout", timeout)
		return s.do(t, request)
	}
	wantProblem(t, ask("0.1"), http.StatusGatewayTimeout, service.CodeDeadline)
	for _, bad := range []string{"0", "-1", "NaN", "Inf", "soon", "1e99"} {
		wantProblem(t, ask(bad), http.StatusBadRequest, service.CodeInvalid)
	}
	s.settle(t)
}

// A client that sends its body slowly holds nothing but its connection, and not for ever.
func TestASlowBodyRunsIntoTheDeadline(t *testing.T) {
	cfg := config.Default()
	cfg.Server.RequestTimeout = 300 * time.Millisecond
	s, _ := onFake(t, cfg, main)
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /v1/crop HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), "504") || !strings.Contains(string(answer), string(service.CodeDeadline)) {
		t.Errorf("%v, %s", err, answer)
	}
	s.settle(t)
}

func TestAClientThatGoesAwayFreesItsSlot(t *testing.T) {
	cfg := config.Default()
	cfg.Admission.InferSlots, cfg.Admission.InferQueue = 1, 10
	s, fake := onFake(t, cfg, main)
	fake.SetFault("detector", tritontest.Fault{Hang: true})
	picture := photo(t, 64, 64)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/crop", bytes.NewReader(picture))
			if err != nil {
				t.Error(err)
				return
			}
			response, err := s.Client().Do(request)
			if err == nil {
				_ = response.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the request ended with %v", err)
			}
		})
	}
	eventually(t, "one asks, four wait", func() bool {
		return s.gauge(t, "lexicrop_queue_waiting", "inference") == 4 && s.gauge(t, "lexicrop_queue_running", "inference") == 1
	})
	cancel()
	clients.Wait()
	s.settle(t)
	fake.SetFault("detector", tritontest.Fault{})
	decode[api.CropResult](t, s.post(t, "/v1/crop", "", picture), http.StatusOK)
	if n := s.counter(t, "lexicrop_http_requests_total", "499"); n != 5 {
		t.Errorf("%v requests were counted as left by the client", n)
	}
}

func TestAFullQueueSendsAwayAtOnce(t *testing.T) {
	cfg := config.Default()
	cfg.Admission.InferSlots, cfg.Admission.InferQueue = 1, 1
	s, fake := onFake(t, cfg, main)
	fake.SetFault("detector", tritontest.Fault{Delay: 300 * time.Millisecond})
	picture := photo(t, 64, 64)
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() { decode[api.CropResult](t, s.post(t, "/v1/crop", "", picture), http.StatusOK) })
	}
	eventually(t, "one waits", func() bool { return s.gauge(t, "lexicrop_queue_waiting", "inference") == 1 })
	a := s.post(t, "/v1/crop", "", picture)
	wantProblem(t, a, http.StatusTooManyRequests, service.CodeBusy)
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	clients.Wait()
	s.settle(t)
}

func TestOtherPathsAndMethods(t *testing.T) {
	s, _ := onFake(t, config.Default(), main)
	problem := decode[api.Problem](t, s.get(t, "/v2/crop"), http.StatusNotFound)
	if problem.Code != "not_found" {
		t.Errorf("%+v", problem)
	}
	problem = decode[api.Problem](t, s.get(t, "/v1/crop"), http.StatusMethodNotAllowed)
	if problem.Code != "method_not_allowed" {
		t.Errorf("%+v", problem)
	}
}

// Serve finishes what is under way, fails readiness first, and leaves nothing behind.
func TestServeStopsGracefully(t *testing.T) {
	cfg := config.Default()
	cfg.Server.ShutdownDelay = 200 * time.Millisecond
	s, fake := onFake(t, cfg, main)
	fake.SetFault("detector", tritontest.Fault{Delay: 600 * time.Millisecond})
	before := goleak.IgnoreCurrent()
	public, admin := listenLoopback(t), listenLoopback(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, public, admin) }()
	base, adminBase := "http://"+public.Addr().String(), "http://"+admin.Addr().String()
	eventually(t, "it is ready", func() bool { return status(t, adminBase+"/readyz") == http.StatusOK })

	result := make(chan int, 1)
	go func() {
		response, err := http.Post(base+"/v1/crop", "", bytes.NewReader(photo(t, 64, 64)))
		if err != nil {
			t.Error(err)
			result <- 0
			return
		}
		_ = response.Body.Close()
		result <- response.StatusCode
	}()
	eventually(t, "the request is under way", func() bool { return s.gauge(t, "lexicrop_queue_running", "inference") == 1 })
	stop()
	eventually(t, "readiness fails while requests are still taken", func() bool { return status(t, adminBase+"/readyz") == http.StatusServiceUnavailable })
	if got := <-result; got != http.StatusOK {
		t.Errorf("the request under way got status %d", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

// Every odd upload of the test data gets an answer of its own, never a fault of the server.
func TestOddUploadsNeverFailTheServer(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testData(t), "uploads", "*"))
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	s, _ := onFake(t, config.Default(), main)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a := s.post(t, "/v1/crop?output=image", "", data)
		switch a.StatusCode {
		case http.StatusOK:
			if a.Header.Get("Content-Type") != "image/jpeg" || len(a.body) == 0 {
				t.Errorf("%s: %s of %d bytes", filepath.Base(file), a.Header.Get("Content-Type"), len(a.body))
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		default:
			t.Errorf("%s: status %d: %s", filepath.Base(file), a.StatusCode, a.body)
		}
	}
	s.settle(t)
}
