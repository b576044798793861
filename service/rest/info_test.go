package rest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

func TestModelsTellsWhatAnswers(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	got := decode[api.Models](t, s.get(t, "/v1/models"), http.StatusOK).Models[0]
	if got.Name != "detector" || !got.Ready || *got.Version != "1" || got.Input.Width != 320 || !slices.Equal(*got.Labels, []string{"painting", "object"}) {
		t.Errorf("%+v", got)
	}
	fake.Stop()
	eventually(t, "the model is lost with a reason", func() bool {
		got = decode[api.Models](t, s.get(t, "/v1/models"), http.StatusOK).Models[0]
		return !got.Ready && got.Reason != nil && strings.Contains(*got.Reason, "unavailable")
	})
}

func TestLimitsTellsTheConfiguration(t *testing.T) {
	s, _ := onFake(t, config.Default(), main)
	got := decode[api.Limits](t, s.get(t, "/v1/limits"), http.StatusOK)
	if got.MaxBodyBytes != 32<<20 || got.MaxDetections != 32 || got.RequestTimeoutSeconds != 10 || !slices.Contains(got.Formats, "heic") || len(got.CropFormats) != 3 {
		t.Errorf("%+v", got)
	}
}

func TestPageAndDocsAreServedWithoutTheWorld(t *testing.T) {
	s, _ := onFake(t, config.Default(), main)
	for path, want := range map[string]string{
		"/": "Choose a photo", "/page.js": "v1/crop", "/page.css": "font", "/openapi.yaml": "openapi: 3", "/docs": "swagger",
	} {
		a := s.get(t, path)
		if a.StatusCode != http.StatusOK || !bytes.Contains(a.body, []byte(want)) {
			t.Errorf("%s: status %d, %.200s", path, a.StatusCode, a.body)
		}
		if bytes.Contains(a.body, []byte("https://cdn")) {
			t.Errorf("%s loads from elsewhere", path)
		}
	}
}

func TestAdminListener(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Admin.Pprof = true
	cfg.Crop.RefineBelow = 0
	s, fake := onFake(t, cfg, main)
	admin := httptest.NewServer(s.server.admin.Handler)
	defer admin.Close()
	decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 64, 64)), http.StatusOK)
	get := func(path string) answer {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.do(t, request)
	}
	metrics := string(get("/metrics").body)
	for _, want := range []string{
		`lexicrop_http_requests_total{code="",route="/v1/crop",status="200"} 1`,
		`lexicrop_http_request_duration_seconds_count{route="/v1/crop"} 1`,
		`lexicrop_stage_duration_seconds_count{stage="decode"} 1`,
		`lexicrop_stage_duration_seconds_count{stage="infer"} 1`,
		`lexicrop_triton_request_duration_seconds_count{model="detector",outcome="ok"} 3`, // two of them tried the model
		`lexicrop_queue_waiting{queue="decoding"} 0`,
		`lexicrop_queue_running{queue="inference"} 0`,
		`lexicrop_model_ready{model="detector",role="primary",task="detector"} 1`,
		`lexicrop_detections_count 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/debug/pprof/cmdline": 200, "/v1/crop": 404} {
		if a := get(path); a.StatusCode != want {
			t.Errorf("%s: status %d", path, a.StatusCode)
		}
	}
	// Triton's end makes the service unready, but not dead: a restart would not mend it.
	fake.Stop()
	eventually(t, "readiness fails", func() bool { return get("/readyz").StatusCode == http.StatusServiceUnavailable })
	if a := get("/livez"); a.StatusCode != http.StatusOK {
		t.Errorf("/livez: status %d", a.StatusCode)
	}
}

// The contract and the code agree on what there is.
func TestContractIsComplete(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := onFake(t, config.Default(), main)
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if a := s.do(t, request); a.StatusCode == http.StatusNotFound || a.StatusCode == http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status %d", method, path, a.StatusCode)
			}
		}
	}
	var names []string
	for _, p := range doc.Paths.Find("/v1/crop").Post.Parameters {
		names = append(names, p.Value.Name)
	}
	for kind, schema := range map[string]string{"form": "CropForm", "JSON": "CropRequest"} {
		properties := doc.Components.Schemas[schema].Value.Properties
		for _, name := range cropOptionNames {
			if properties[name] == nil {
				t.Errorf("the contract's %s has no option %s", kind, name)
			}
		}
		if len(properties) != len(cropOptionNames)+1 {
			t.Errorf("the contract's %s has other options than the code", kind)
		}
	}
	if !slices.Equal(names, cropOptionNames) {
		t.Errorf("the contract's options are %v, the code's %v", names, cropOptionNames)
	}
	for code, k := range kinds {
		if k.status < 400 || k.title == "" {
			t.Errorf("the code %s is answered with %+v", code, k)
		}
	}
	if _, ok := kinds[service.CodeInternal]; !ok {
		t.Error("no answer for the unexpected")
	}
}

func TestTraceparentReachesTriton(t *testing.T) {
	s, fake := onFake(t, config.Default(), main)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/crop", bytes.NewReader(photo(t, 64, 64)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	s.do(t, request)
	if got := strings.Join(fake.Header().Get("traceparent"), ""); !strings.Contains(got, "0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("Triton saw the trace %q", got)
	}
}
