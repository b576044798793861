package rest

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// steady asks for a crop again and again until the test ends, and complains of every answer that is not 200.
func (s *testServer) steady(t *testing.T, photo []byte) (answered *atomic.Int64, stop func()) {
	t.Helper()
	var asking sync.WaitGroup
	ended := make(chan struct{})
	answered = &atomic.Int64{}
	for range 2 {
		asking.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				a := s.post(t, "/v1/crop", "image/jpeg", photo)
				if a.StatusCode != http.StatusOK {
					t.Errorf("status %d: %s", a.StatusCode, a.body)
				}
				answered.Add(1)
				time.Sleep(20 * time.Millisecond) // a load that leaves a busy machine its other work
			}
		})
	}
	return answered, sync.OnceFunc(func() { close(ended); asking.Wait() })
}

// swap puts another detector in place and waits until that has ended, well or not.
func (s *testServer) swap(t *testing.T, name service.ModelName, again bool) service.ModelStatus {
	t.Helper()
	s.service.Apply(service.Models{Detector: service.Lineup{Primary: name}}, again)
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		// The newest wish stands last, before what goes.
		var newest service.ModelStatus
		for _, m := range s.service.Models() {
			if m.State != service.StateDraining {
				newest = m
			}
		}
		if newest.Name == name.Name && (newest.State == service.StateActive || newest.State == service.StateFailed) {
			return newest
		}
		if time.Now().After(end) {
			t.Fatalf("the swap to %s did not end: %+v", name, s.service.Models())
		}
	}
}

// stays complains where not this model answers.
func (s *testServer) stays(t *testing.T, photo []byte, want string) {
	t.Helper()
	if got := s.post(t, "/v1/crop", "image/jpeg", photo).Header.Get("Lexicrop-Model"); got != want {
		t.Errorf("%s answers, want %s", got, want)
	}
}

// Whatever goes wrong on the way to another model, the old one answers on, and the reason is told.
func TestABadModelChangesNothing(t *testing.T) {
	t.Parallel()
	broken := func(change func(m *tritontest.Model)) tritontest.Model {
		m := tritontest.Detector("next", main)
		change(&m)
		return m
	}
	const tooLong = "took too long"
	tests := map[string]struct {
		next   tritontest.Model
		fault  tritontest.Fault
		reason string
	}{
		"there is none":         {broken(func(m *tritontest.Model) { m.Name = "elsewhere" }), tritontest.Fault{}, "finds no such model"},
		"it does not load":      {broken(func(m *tritontest.Model) { m.LoadError = "model.onnx is missing" }), tritontest.Fault{}, "model.onnx is missing"},
		"it loads for too long": {broken(func(m *tritontest.Model) { m.LoadDelay = 5 * time.Second }), tritontest.Fault{}, tooLong},
		"its contract is wrong": {broken(func(m *tritontest.Model) {
			m.Config = tritontest.DetectorConfig("next")
			m.Config.Parameters["decoder"].StringValue = "guess"
		}), tritontest.Fault{}, `decoder is "guess"`},
		"it has another task": {broken(func(m *tritontest.Model) {
			m.Config = tritontest.DetectorConfig("next")
			m.Config.Parameters["task"].StringValue = "embedder"
		}), tritontest.Fault{}, "embedding"},
		"it fails":                   {broken(func(*tritontest.Model) {}), tritontest.Fault{Err: tritontest.ErrModel}, "blank picture"},
		"its answer has no bytes":    {broken(func(*tritontest.Model) {}), tritontest.Fault{Change: tritontest.NoBytes}, "blank picture"},
		"its answer has wrong shape": {broken(func(*tritontest.Model) {}), tritontest.Fault{Change: tritontest.WrongShape}, "blank picture"},
		"it hangs":                   {broken(func(*tritontest.Model) {}), tritontest.Fault{Hang: true}, tooLong},
		"its answer is impossible": {tritontest.Detector("next", tritontest.Candidate{Box: main.Box, Probs: []float32{0, 5, 0}, Salience: 1}),
			tritontest.Fault{}, "no probabilities"},
		"it finds nothing": {tritontest.Detector("next"), tritontest.Fault{}, "finds nothing in the reference picture"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := tritontest.New(t, tritontest.Detector("detector", main))
			cfg := config.Default()
			if test.reason == tooLong {
				cfg.Triton.LoadTimeout = time.Second
			}
			s := newTestServer(t, cfg, triton.Options{Address: fake.Address()})
			fake.Add(test.next)
			fake.SetFault(test.next.Name, test.fault)
			photo := photo(t, 64, 64)
			_, stop := s.steady(t, photo)
			defer stop()
			got := s.swap(t, service.ModelName{Name: "next"}, false)
			if got.State != service.StateFailed || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("ended %s because %q, want %q", got.State, got.Reason, test.reason)
			}
			s.stays(t, photo, "detector/1")
			if err := s.service.Ready(); err != nil {
				t.Error(err)
			}
			// What was loaded in vain does not stay.
			eventually(t, "it is unloaded", func() bool { return len(fake.Loaded("next")) == 0 })
			// Mended, it takes its place. A busy machine may need more attempts within the short time.
			fake.SetFault(test.next.Name, tritontest.Fault{})
			fake.Add(tritontest.Detector("next", main))
			eventually(t, "mended, it is active", func() bool {
				return s.swap(t, service.ModelName{Name: "next"}, true).State == service.StateActive
			})
			s.stays(t, photo, "next/1")
			eventually(t, "the old one is unloaded", func() bool { return len(fake.Loaded("detector")) == 0 })
		})
	}
}

// Behind one address there may be several Tritons, and one that was restarted lacks a model that the
// others have: it is loaded everywhere, and the change goes on.
func TestAModelMissingAtOneTritonIsLoadedThere(t *testing.T) {
	s, fake := onFake(t, config.Default(), main)
	fake.Add(tritontest.Detector("next", main))
	fake.SetLoaded("next", true)
	// An inference is asked for twice, in case another Triton has the model.
	fake.SetFault("next", tritontest.Fault{Err: grpcstatus.Error(codes.NotFound, "Request for unknown model: 'next' is not found"), Times: 4})
	photo := photo(t, 64, 64)
	_, stop := s.steady(t, photo)
	defer stop()
	if got := s.swap(t, service.ModelName{Name: "next"}, false); got.State != service.StateActive {
		t.Errorf("ended %s because %q", got.State, got.Reason)
	}
	s.stays(t, photo, "next/1")
	if n := fake.Counts("next").Loads; n == 0 {
		t.Error("it was never loaded")
	}
}

// A newer wish ends one that is under way, and what Triton loads in vain is unloaded.
func TestANewerSwapEndsAnOlder(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	slow := tritontest.Detector("slow", main)
	slow.LoadDelay = 500 * time.Millisecond
	fake.Add(slow)
	fake.Add(tritontest.Detector("next", main))
	s.service.Apply(service.Models{Detector: service.Lineup{Primary: service.ModelName{Name: "slow"}}}, false)
	eventually(t, "the load has begun", func() bool { return fake.Counts("slow").Loads == 1 })
	if got := s.swap(t, service.ModelName{Name: "next"}, false); got.State != service.StateActive {
		t.Errorf("ended %+v", got)
	}
	eventually(t, "only the newest is loaded", func() bool {
		return fake.Counts("slow").Unloads > 0 && len(fake.Loaded("slow")) == 0 && len(fake.Loaded("detector")) == 0
	})
}

func TestTheServiceRecoversWhenTritonComesBack(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	fake.Stop()
	wantProblem(t, s.post(t, "/v1/crop", "", photo(t, 64, 64)), http.StatusServiceUnavailable, service.CodeBackendGone)
	eventually(t, "the model is lost", func() bool { return !s.service.Models()[0].Ready })
	// A new Triton in explicit mode has no model loaded.
	fake.SetLoaded("detector", false)
	fake.Restart(t)
	eventually(t, "the model is back", func() bool { return s.service.Models()[0].Ready })
	decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 64, 64)), http.StatusOK)
}

// A model that goes while Triton is away is unloaded when it is back.
func TestASwappedOutModelIsUnloadedAfterAnOutage(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	fake.Add(tritontest.Detector("next", main))
	fake.SetFault("detector", tritontest.Fault{Hang: true})
	asked := fake.Counts("detector").Inferences
	picture := photo(t, 64, 64)
	var last sync.WaitGroup
	last.Go(func() { s.post(t, "/v1/crop", "image/jpeg", picture) }) // holds the old model
	eventually(t, "a request is under way", func() bool { return fake.Counts("detector").Inferences > asked })
	if got := s.swap(t, service.ModelName{Name: "next"}, false); got.State != service.StateActive {
		t.Fatalf("%+v", got)
	}
	fake.Stop()
	last.Wait()
	eventually(t, "Triton is missed, and nothing holds the old model", func() bool {
		models := s.service.Models()
		return len(models) == 1 && models[0].State == service.StateLost
	})
	fake.Restart(t)
	eventually(t, "it is unloaded", func() bool { return len(fake.Loaded("detector")) == 0 })
	s.stays(t, picture, "next/1")
}

// Versions are pinned and given back by name, beside each other while they change.
func TestAVersionIsPinnedAndRolledBack(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	second := tritontest.Detector("detector", main)
	second.Version = "2"
	fake.Add(second)
	photo := photo(t, 64, 64)
	_, stop := s.steady(t, photo)
	defer stop()
	for _, test := range []struct {
		version string
		again   bool
		want    string
	}{{"2", false, "2"}, {"1", false, "1"}, {"", true, "2"}, {"1", false, "1"}} {
		s.service.Apply(service.Models{Detector: service.Lineup{Primary: service.ModelName{Name: "detector", Version: test.version}}}, test.again)
		eventually(t, "version "+test.want+" alone is loaded and answers", func() bool {
			loaded := fake.Loaded("detector")
			return len(loaded) == 1 && loaded[0] == test.want &&
				s.post(t, "/v1/crop", "image/jpeg", photo).Header.Get("Lexicrop-Model") == "detector/"+test.want
		})
	}
	// In a hurry: what goes is unloaded while its successor, which takes its time, is being tried.
	fake.SetFault("detector", tritontest.Fault{Delay: 30 * time.Millisecond})
	for i := range 15 {
		version := []string{"1", "2", "", "1", ""}[i%5]
		if got := s.swap(t, service.ModelName{Name: "detector", Version: version}, false); got.State != service.StateActive {
			t.Fatalf("in a hurry to version %q: %+v", version, got)
		}
	}
	s.swap(t, service.ModelName{Name: "detector", Version: "1"}, false)
	eventually(t, "version 1 alone is loaded", func() bool { return slices.Equal(fake.Loaded("detector"), []string{"1"}) })
	if got := s.swap(t, service.ModelName{Name: "detector", Version: "9"}, false); got.State != service.StateFailed || !strings.Contains(got.Reason, "no version 9") {
		t.Errorf("a version that is not there: %+v", got)
	}
	s.stays(t, photo, "detector/1")
}

// A pin that was given up is forgotten, even where the model has been away meanwhile.
func TestTheNewestVersionIsTakenAfterAPin(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	second := tritontest.Detector("detector", main)
	second.Version = "2"
	fake.Add(second)
	fake.Add(tritontest.Detector("next", main))
	for _, step := range []struct {
		name   service.ModelName
		answer string
	}{
		{service.ModelName{Name: "detector", Version: "2"}, "detector/2"},
		{service.ModelName{Name: "detector", Version: "1"}, "detector/1"},
		{service.ModelName{Name: "next"}, "next/1"},
		{service.ModelName{Name: "detector"}, "detector/2"},
	} {
		s.service.Apply(service.Models{Detector: service.Lineup{Primary: step.name}, UnloadAfter: time.Hour}, false)
		eventually(t, step.answer+" answers", func() bool {
			return s.post(t, "/v1/crop", "image/jpeg", photo(t, 64, 64)).Header.Get("Lexicrop-Model") == step.answer
		})
	}
}

// The same client always gets the same model, and a canary gets its share.
func TestACanaryIsSticky(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	fake.Add(tritontest.Detector("canary", main))
	s.service.Apply(service.Models{Detector: service.Lineup{
		Primary: service.ModelName{Name: "detector"}, Canary: service.ModelName{Name: "canary"}, Percent: 30,
	}}, false)
	eventually(t, "the canary is ready", func() bool { m := s.service.Models(); return len(m) == 2 && m[1].Ready })
	picture := photo(t, 64, 64)
	ask := func(key string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/crop", strings.NewReader(string(picture)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Lexicrop-Canary-Key", key)
		response, err := s.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.Header.Get("Lexicrop-Model")
	}
	const clients = 300
	canary := 0
	for i := range clients {
		key := strconv.Itoa(i)
		first := ask(key)
		if again := ask(key); again != first {
			t.Errorf("client %s got %s, then %s", key, first, again)
		}
		if first == "canary/1" {
			canary++
		}
	}
	// The keys are fixed, and so is the number: 30 % give or take what chance allows.
	if canary < clients/5 || canary > 2*clients/5 {
		t.Errorf("%d of %d clients got the canary of 30 %%", canary, clients)
	}
	fake.Add(tritontest.Model{Name: "canary", Config: tritontest.DetectorConfig("canary"), LoadError: "gone"})
	fake.SetLoaded("canary", false)
	eventually(t, "a canary that is lost is passed over", func() bool { return !s.service.Models()[1].Ready })
	for i := range 20 {
		if got := ask(strconv.Itoa(i)); got != "detector/1" {
			t.Errorf("%q answers without the canary", got)
		}
	}
}

// A shadow sees the photos that are answered, is compared, and whatever it does reaches nobody.
func TestAShadowIsComparedAndHurtsNobody(t *testing.T) {
	t.Parallel()
	s, fake := onFake(t, config.Default(), main)
	half := main
	half.Box[2] = (half.Box[0] + half.Box[2]) / 2 // the left half of what is answered
	fake.Add(tritontest.Detector("shadow", half))
	s.service.Apply(service.Models{Detector: service.Lineup{
		Primary: service.ModelName{Name: "detector"}, Shadow: service.ModelName{Name: "shadow"},
	}}, false)
	eventually(t, "the shadow is ready", func() bool { m := s.service.Models(); return len(m) == 2 && m[1].Ready })
	picture := photo(t, 320, 320)
	count := func(outcome string) float64 { return s.counter(t, "lexicrop_comparisons_total", outcome) }
	eventually(t, "ten answers are compared", func() bool { s.stays(t, picture, "detector/1"); return count("done") >= 10 })
	fake.SetFault("shadow", tritontest.Fault{Err: tritontest.ErrModel})
	eventually(t, "its failures are counted", func() bool { s.stays(t, picture, "detector/1"); return count("failed") > 0 })
	fake.SetFault("shadow", tritontest.Fault{Hang: true})
	eventually(t, "what there is no room for is dropped", func() bool { s.stays(t, picture, "detector/1"); return count("dropped") > 0 })
	s.stays(t, picture, "detector/1")
}

// A shadow of an embedder is compared by its vectors, in a space of its own as well.
func TestAShadowOfAnEmbedderIsCompared(t *testing.T) {
	t.Parallel()
	s, fake := searchOnFake(t, config.Default(), main)
	embedder := tritontest.Embedder("embedder")
	negative := embedder
	negative.Name, negative.Config = "negative", tritontest.EmbedderConfig("negative")
	negative.Config.Parameters["space"].StringValue = "negatives"
	negative.Infer = func(ctx context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
		outputs, err := embedder.Infer(ctx, inputs)
		for i := 3; err == nil && i < len(outputs[0].Data); i += 4 {
			outputs[0].Data[i] ^= 0x80 // the sign of a little-endian float
		}
		return outputs, err
	}
	fake.Add(negative)
	s.service.Apply(service.Models{
		Detector: service.Lineup{Primary: service.ModelName{Name: "detector"}},
		Embedder: service.Lineup{Primary: service.ModelName{Name: "embedder"}, Shadow: service.ModelName{Name: "negative"}},
	}, false)
	eventually(t, "the shadow is ready", func() bool { m := s.service.Models(); return len(m) == 3 && m[2].Ready })
	picture := photo(t, 320, 320)
	count := func(outcome string) float64 { return s.counter(t, "lexicrop_comparisons_total", outcome) }
	ask := func() {
		if a := s.post(t, "/v1/embed", "image/jpeg", picture); a.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", a.StatusCode, a.body)
		}
	}
	eventually(t, "ten answers are compared", func() bool { ask(); return count("done") >= 10 })
	cosines := s.sum(t, "lexicrop_comparison_cosine", "shadow", func(m *dto.Metric) float64 { return m.GetHistogram().GetSampleSum() })
	if n := s.sum(t, "lexicrop_comparison_cosine", "shadow", func(m *dto.Metric) float64 { return float64(m.GetHistogram().GetSampleCount()) }); n < 10 || math.Abs(cosines/n+1) > 1e-3 {
		t.Errorf("%v cosines of vectors and their opposites, %v in all", n, cosines)
	}
	fake.SetFault("negative", tritontest.Fault{Err: tritontest.ErrModel})
	eventually(t, "its failures are counted and hurt nobody", func() bool { ask(); return count("failed") > 0 })
}

// swapRepository is a repository with two versions of the real detector, a twin, and bad ones.
func swapRepository(t *testing.T, slow time.Duration) string {
	t.Helper()
	folder, original := t.TempDir(), "../../modelrepo/models/detector"
	model := func(name, version string, program func(string) string, onnx bool) {
		for _, file := range []string{"config.pbtxt", "1/model.py", "1/model.onnx"} {
			content := string(read(t, filepath.Join(original, file)))
			if file == "1/model.py" {
				content = program(content)
			}
			if file == "1/model.onnx" && !onnx {
				continue
			}
			path := filepath.Join(folder, name, strings.Replace(file, "1/", version+"/", 1))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	same := func(p string) string { return p }
	changed := func(old, now string) func(string) string {
		return func(p string) string {
			if !strings.Contains(p, old) {
				t.Fatalf("the program of the model has no %q any more", old)
			}
			return strings.Replace(p, old, now, 1)
		}
	}
	model("detector", "1", same, true)
	model("detector", "2", same, true)
	model("twin", "1", same, true)
	model("missing", "1", same, false)
	model("shape", "1", changed("self.run(tensors)", "[r[:, :16] for r in self.run(tensors)]"), true)
	model("slow", "1", changed("        config = json", "        import time\n        time.sleep("+strconv.FormatFloat(slow.Seconds(), 'f', -1, 64)+")\n        config = json"), true)
	return folder
}

// The whole on a real Triton, at a steady load, as an operator would: good models, bad ones, slow ones,
// many in a row. LEXICROP_TEST_LONG=1 makes many of few.
func TestSwapsOnARealTriton(t *testing.T) {
	if os.Getenv("LEXICROP_SKIP_TRITON") == "1" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	swaps, slow := 2, 2*time.Second
	if os.Getenv("LEXICROP_TEST_LONG") == "1" {
		swaps, slow = 200, time.Minute
	}
	server, err := local.Start(t.Context(), local.Options{
		Install: "../../build/triton", Repository: swapRepository(t, slow), Models: []string{"detector"}, Instances: 1,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%v\n(`make setup` installs it; LEXICROP_SKIP_TRITON=1 does without)", err)
	}
	t.Cleanup(func() { server.Stop(context.WithoutCancel(t.Context())) })
	s := newTestServer(t, config.Default(), triton.Options{Address: server.Address(), LoadConfig: server.LoadConfig})
	photo := read(t, "../../docs/images/scene.jpg")
	answered, stop := s.steady(t, photo)
	defer stop()
	for _, test := range []struct {
		model   service.ModelName
		state   service.State
		reason  string
		answers string
	}{
		{service.ModelName{Name: "twin"}, service.StateActive, "", "twin/1"},
		{service.ModelName{Name: "missing"}, service.StateFailed, "model.onnx", "twin/1"},
		{service.ModelName{Name: "nothing"}, service.StateFailed, "finds no such model", "twin/1"},
		{service.ModelName{Name: "shape"}, service.StateFailed, "blank picture", "twin/1"},
		{service.ModelName{Name: "slow"}, service.StateActive, "", "slow/1"},
		{service.ModelName{Name: "detector", Version: "1"}, service.StateActive, "", "detector/1"},
		{service.ModelName{Name: "detector"}, service.StateActive, "", "detector/2"},
		{service.ModelName{Name: "detector", Version: "1"}, service.StateActive, "", "detector/1"},
		{service.ModelName{Name: "detector", Version: "7"}, service.StateFailed, "no version 7", "detector/1"},
	} {
		began := time.Now()
		got := s.swap(t, test.model, false)
		t.Logf("%s: %s after %v: %s", test.model, got.State, time.Since(began).Round(time.Millisecond), got.Reason)
		if got.State != test.state || !strings.Contains(got.Reason, test.reason) {
			t.Errorf("%s ended %s because %q, want %s because %q", test.model, got.State, got.Reason, test.state, test.reason)
		}
		s.stays(t, photo, test.answers)
	}
	before := memory(t)
	for i := range swaps {
		name := []string{"twin", "detector"}[i%2]
		if got := s.swap(t, service.ModelName{Name: name}, false); got.State != service.StateActive {
			t.Fatalf("swap %d: %+v", i, got)
		}
		s.stays(t, photo, []string{"twin/1", "detector/2"}[i%2])
		if (i+1)%50 == 0 {
			t.Logf("after %d swaps: %v", i+1, memory(t))
		}
	}
	stop()
	after := memory(t)
	t.Logf("%d answers; before %d swaps %v; after them %v", answered.Load(), swaps, before, after)
	// A swap that left something behind would leave it 200 times.
	if after.heap > before.heap+16 || after.resident > before.resident+64 || after.goroutines > before.goroutines+50 {
		t.Errorf("memory is not flat")
	}
	client := newClient(t, server.Address())
	eventually(t, "only what answers is loaded", func() bool {
		index, err := client.Index(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ready := 0
		for _, m := range index {
			if m.State == "READY" {
				ready++
			}
		}
		return ready == 1
	})
}

// usage is what this process, service and test, uses. The memory is in MiB.
type usage struct {
	heap, resident, peak float64
	goroutines           int
}

func (u usage) String() string {
	return fmt.Sprintf("heap %.1f MiB, resident %.0f MiB (at most %.0f), %d goroutines", u.heap, u.resident, u.peak, u.goroutines)
}

func memory(t *testing.T) usage {
	t.Helper()
	debug.FreeOSMemory()
	debug.FreeOSMemory() // what pools hold goes at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{heap: float64(m.HeapInuse) / (1 << 20), goroutines: runtime.NumGoroutine()}
	for line := range strings.Lines(string(read(t, "/proc/self/status"))) {
		for name, value := range map[string]*float64{"VmRSS:": &u.resident, "VmHWM:": &u.peak} {
			if number, ok := strings.CutPrefix(line, name); ok {
				kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(number), " kB"))
				if err != nil {
					t.Fatal(err)
				}
				*value = float64(kib) / 1024
			}
		}
	}
	return u
}

func newClient(t *testing.T, address string) *triton.Client {
	t.Helper()
	client, err := triton.Dial(triton.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
