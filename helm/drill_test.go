package helm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// drill is a release of the chart without a cluster: real services and real Tritons as its pods, a file of
// addresses as its DNS, and clients that ask the pods that are ready in turn.
type drill struct {
	began      time.Time
	ports      map[string]string // of all pods, by name
	pods       int
	rendered   []object
	repository string // of the models
	tritonPath string
	tritonName string // what the service knows Triton by
	names      string // the file with the addresses of that
	resolver   string

	mu       sync.Mutex
	services []*pod
	tritons  []*pod
	answers  map[string]int // by pod and model
	failures []string
}

// Requests go on without one that fails while models are swapped and pods go and come.
func TestSwapsAndPodsThatGoLoseNoRequest(t *testing.T) {
	d := newDrill(t)
	d.render(t, "detector")
	d.tritons = []*pod{d.infer(t), d.infer(t)}
	d.publish(t)
	d.eventually(t, "both Tritons are ready", func() bool { return count(d.tritons) == 2 })
	d.services = []*pod{d.serve(t), d.serve(t)}
	d.eventually(t, "both services are ready", func() bool { return count(d.services) == 2 })
	d.testHook(t)
	stop := d.load(t)
	d.answered(t, d.services, "detector/1")

	d.log(t, "another model: kubelets renew the volume of one pod sooner than that of the other")
	d.render(t, "other")
	for i, p := range d.services {
		d.mount(t, d.tritons[i], "lx-lexicrop-triton")
		d.mount(t, p, "lx-lexicrop")
		d.answered(t, []*pod{p}, "other/1")
	}

	d.log(t, "a service goes, and another comes")
	gone := d.services[0]
	gone.remove(t)
	if gone.process.err != nil {
		t.Errorf("the service ended with %v", gone.process.err)
	}
	d.services = d.replace(d.services, gone, d.serve(t))
	d.answered(t, d.services, "other/1")

	d.log(t, "a Triton goes, and another comes at another address")
	goneTriton := d.tritons[0]
	goneTriton.remove(t)
	fresh := d.infer(t)
	d.tritons = d.replace(d.tritons, goneTriton, fresh)
	d.computes(t, fresh, "other")

	d.log(t, "a model that is not there changes nothing, not even for a Triton that starts with its name")
	d.render(t, "missing")
	for i, p := range d.services {
		d.mount(t, d.tritons[i], "lx-lexicrop-triton")
		d.mount(t, p, "lx-lexicrop")
		d.eventually(t, "the service refuses the model", func() bool { return d.state(t, p, "missing") == "failed" })
	}

	d.log(t, "a Triton is killed, and comes back with the name of that model")
	stop() // what it was computing would be lost
	killed := d.tritons[1]
	killed.leave()
	killed.watching.Wait()
	killed.process.kill()
	stop = d.load(t)
	d.answered(t, d.services, "other/1")
	d.run(t, killed)
	d.computes(t, killed, "other")

	d.log(t, "back to the first model")
	d.render(t, "detector")
	for i, p := range d.services {
		d.mount(t, d.tritons[i], "lx-lexicrop-triton")
		d.mount(t, p, "lx-lexicrop")
		// In turn: a service that begins while another has Triton load the model at one replica and not yet
		// at the next takes that for a fault of the model.
		d.answered(t, []*pod{p}, "detector/1")
	}
	stop()
	d.log(t, "answers by pod and model: "+d.String())
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	for _, name := range []string{"LEXICROP_SKIP_TRITON", "LEXICROP_SKIP_DRILL"} {
		if os.Getenv(name) != "" {
			t.Skip(name + " is set")
		}
	}
	folder := t.TempDir()
	d := &drill{
		began: time.Now(), ports: map[string]string{}, repository: filepath.Join(folder, "models"), tritonName: "lx-lexicrop-triton.art.svc",
		names: filepath.Join(folder, "names"), resolver: filepath.Join(folder, "resolve.so"), answers: map[string]int{},
	}
	for _, name := range []string{"http", "admin", "grpc", "metrics"} {
		d.ports[name] = freePort(t)
	}
	var err error
	if d.tritonPath, err = filepath.Abs("../build/triton/bin"); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", d.resolver, "testdata/resolve.c", "-ldl"); err != nil {
		t.Fatal(out)
	}
	for _, name := range []string{"detector", "other"} {
		if err := os.CopyFS(filepath.Join(d.repository, name), os.DirFS("../modelrepo/models/detector")); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// render makes the manifests with this detector; d.rendered are the newest.
func (d *drill) render(t *testing.T, detector string) {
	t.Helper()
	d.rendered = render(t, "--set", "config.models.detector.name="+detector, "--set",
		"replicas=2,index.store=none,config.models.embedder.name=,triton.profile=cpu,triton.replicas=2,"+
			"triton.repositoryKey.existingSecret=known,triton.connectionAgeSeconds=5,drain.delaySeconds=3,triton.drain.delaySeconds=3")
}

// publish keeps the addresses of Triton's name those of the pods that are ready.
func (d *drill) publish(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	t.Cleanup(func() { cancel(); writing.Wait() })
	writing.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			d.mu.Lock()
			var addresses strings.Builder
			for _, p := range d.tritons {
				if p.ready.Load() {
					fmt.Fprintln(&addresses, p.address)
				}
			}
			d.mu.Unlock()
			if err := os.WriteFile(d.names+".new", []byte(addresses.String()), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(d.names+".new", d.names); err != nil {
				t.Error(err)
			}
		}
	})
}

func count(pods []*pod) int {
	n := 0
	for _, p := range pods {
		if p.ready.Load() {
			n++
		}
	}
	return n
}

func (d *drill) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s; answers %s%s", what, d, d.states(t))
		}
	}
}

func (d *drill) log(t *testing.T, step string) {
	t.Helper()
	t.Logf("%4.0f s: %s", time.Since(d.began).Seconds(), step)
}

func (d *drill) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprint(d.answers)
}

func (d *drill) replace(pods []*pod, old, fresh *pod) []*pod {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(slices.DeleteFunc(slices.Clone(pods), func(p *pod) bool { return p == old }), fresh)
}

// testHook runs what helm test runs.
func (d *drill) testHook(t *testing.T) {
	t.Helper()
	arguments := texts(find(t, d.rendered, "Job", "lx-lexicrop-test").container(t, "photo").at("args"))
	for i, argument := range arguments {
		arguments[i] = strings.Replace(argument, "http://lx-lexicrop.art.svc:80", d.services[0].url("http"), 1)
	}
	if out, err := run(t, lexicrop(t), arguments...); err != nil || !strings.Contains(out, "found a painting") {
		t.Errorf("%q: %v: %s", arguments, err, out)
	}
}

// load asks the services that are ready in turn, as those who come through a Service do.
func (d *drill) load(t *testing.T) (stop func()) {
	t.Helper()
	photo, err := os.ReadFile("../cmd/lexicrop/healthcheck.jpg")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var asking sync.WaitGroup
	for client := range 3 {
		asking.Go(func() {
			for turn := client; ; turn++ {
				select {
				case <-ended:
					return
				case <-t.Context().Done():
					return
				case <-time.After(20 * time.Millisecond): // a load that leaves a busy machine its other work
				}
				d.mu.Lock()
				ready := slices.DeleteFunc(slices.Clone(d.services), func(p *pod) bool { return !p.ready.Load() })
				d.mu.Unlock()
				if len(ready) > 0 {
					d.ask(t.Context(), ready[turn%len(ready)], photo)
				}
			}
		})
	}
	stop = sync.OnceFunc(func() {
		close(ended)
		asking.Wait()
		for _, failure := range d.failures {
			t.Error(failure)
		}
		d.failures = nil
	})
	t.Cleanup(stop)
	return stop
}

// ask sends a photo to a service; what is not answered with a work found in it is a failure.
func (d *drill) ask(ctx context.Context, p *pod, photo []byte) {
	began := time.Now()
	model, err := func() (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url("http")+"/v1/crop", strings.NewReader(string(photo)))
		if err != nil {
			return "", err
		}
		request.Header.Set("Content-Type", "image/jpeg")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		var answer struct{ Detections []any }
		if err == nil && response.StatusCode == http.StatusOK {
			err = json.Unmarshal(body, &answer)
		}
		if err != nil || len(answer.Detections) == 0 {
			return "", fmt.Errorf("%s: %s: %w", response.Status, body, err)
		}
		return response.Header.Get("Lexicrop-Model"), nil
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return // the test has ended
	}
	if err != nil {
		d.failures = append(d.failures, fmt.Sprintf("%s asked at %s for %v: %v", p.address, began.Format("05.000"), time.Since(began), err))
		return
	}
	d.answers[p.address+" "+model]++
}

// answered waits until each of these services has answered with a model, some times from now on.
func (d *drill) answered(t *testing.T, services []*pod, model string) {
	t.Helper()
	for _, p := range services {
		var before int
		d.eventually(t, p.address+" answers with "+model, func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			now := d.answers[p.address+" "+model]
			if before == 0 {
				before = max(now, 1)
			}
			return now >= before+10
		})
	}
}

// computes waits until all services have found a Triton, and it computes a model for them.
func (d *drill) computes(t *testing.T, p *pod, model string) {
	t.Helper()
	counted := regexp.MustCompile(`(?m)^nv_inference_request_success\{model="` + model + `",version="1"\} ([0-9]+)`)
	before := ""
	d.eventually(t, "the Triton at "+p.address+" computes "+model, func() bool {
		_, body, err := get(t.Context(), p.url("metrics")+"/metrics")
		if err != nil {
			return false
		}
		now := counted.FindStringSubmatch(body)
		if now == nil || now[1] == "0" {
			return false
		}
		if before == "" {
			before = now[1]
		}
		return now[1] != before && p.connections(t, "grpc") >= len(d.services)
	})
}

// state is what a service tells about a model.
func (d *drill) state(t *testing.T, p *pod, model string) string {
	t.Helper()
	_, body, err := get(t.Context(), p.url("http")+"/v1/models")
	if err != nil {
		return err.Error()
	}
	var answer struct {
		Models []struct{ Name, State string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return err.Error()
	}
	for _, m := range answer.Models {
		if m.Name == model {
			return m.State
		}
	}
	return ""
}

// states is what the services tell about their models.
func (d *drill) states(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, p := range d.services {
		_, body, err := get(t.Context(), p.url("http")+"/v1/models")
		fmt.Fprintf(&all, "; %s: %s %v", p.address, strings.TrimSpace(body), err)
	}
	return all.String()
}
