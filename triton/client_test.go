package triton_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/triton"
)

func TestInferReturnsTheOutputsInTheOrderAskedFor(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		response, err := client.Infer(t.Context(), command("probe", 0, 7, 255, 1))
		if err != nil {
			t.Fatal(err)
		}
		if response.Model != "probe" || response.Version != "1" {
			t.Errorf("answered by %s %s", response.Model, response.Version)
		}
		half, err := response.Outputs[0].Float32s(nil)
		if diff := gocmp.Diff([]float32{0, 3.5, 127.5, 0.5}, half); diff != "" || err != nil {
			t.Errorf("half: %v %s", err, diff)
		}
		if !bytes.Equal(response.Outputs[1].Data, []byte{0, 7, 255, 1}) {
			t.Errorf("echo: %v", response.Outputs[1])
		}
		if _, err := response.Outputs[1].Float32s(nil); err == nil {
			t.Error("UINT8 was decoded as FP32")
		}
	})
}

func TestInferReturnsAllOutputsWhenNoneIsNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		request := command("probe", 0, 1, 2, 3)
		request.Outputs = nil
		response, err := client.Infer(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := response.Output("echo"); !ok || len(response.Outputs) != 2 {
			t.Errorf("outputs: %v", response.Outputs)
		}
		if _, ok := response.Output("nothing"); ok {
			t.Error("an output that is not there was found")
		}
	})
}

func TestInferSendsABatch(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		request := command("probe")
		request.Inputs[0].Shape = []int64{3, 4}
		request.Inputs[0].Data = []byte{0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11}
		request.Outputs = []triton.TensorSpec{{Name: "echo", DType: triton.Uint8, Shape: []int64{3, 4}}}
		response, err := client.Infer(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(response.Outputs[0].Data, request.Inputs[0].Data) {
			t.Errorf("echo: %v", response.Outputs[0])
		}
	})
}

func TestInferErrorsSayWhatTheyMean(t *testing.T) {
	with := func(change func(*triton.Request)) *triton.Request {
		r := command("probe")
		change(r)
		return r
	}
	for _, test := range []struct {
		name    string
		request *triton.Request
		want    triton.Kind
	}{
		{"unknown model", command("nothing"), triton.NotReady},
		{"model not loaded", command("broken"), triton.NotReady},
		{"unknown version", with(func(r *triton.Request) { r.Version = "7" }), triton.NotReady},
		{"unknown input", with(func(r *triton.Request) { r.Inputs[0].Name = "picture" }), triton.InvalidRequest},
		{"no input", with(func(r *triton.Request) { r.Inputs = nil }), triton.InvalidRequest},
		{"input of another type", with(func(r *triton.Request) { r.Inputs[0].DType = triton.Int8 }), triton.InvalidRequest},
		{"input of another shape", with(func(r *triton.Request) { r.Inputs[0].Shape = []int64{1, 2, 2} }), triton.InvalidRequest},
		{"input with too few bytes", with(func(r *triton.Request) { r.Inputs[0].Data = r.Inputs[0].Data[:3] }), triton.InvalidRequest},
		{"batch too large", with(func(r *triton.Request) { r.Inputs[0].Shape[0], r.Inputs[0].Data = 5, make([]byte, 20) }), triton.InvalidRequest},
		{"unknown output", with(func(r *triton.Request) { r.Outputs[0].Name = "nothing" }), triton.InvalidRequest},
		{"output of another type", with(func(r *triton.Request) { r.Outputs[0].DType = triton.Int32 }), triton.BadResponse},
		{"output of another rank", with(func(r *triton.Request) { r.Outputs[0].Shape = []int64{4} }), triton.BadResponse},
		{"output of another size", with(func(r *triton.Request) { r.Outputs[0].Shape = []int64{1, 5} }), triton.BadResponse},
		{"answer too large", with(func(r *triton.Request) { r.MaxResponseBytes = 10 }), triton.BadResponse},
		{"exception in the model", command("probe", 1), triton.Internal},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, client *triton.Client) {
				_, err := client.Infer(t.Context(), test.request)
				wantKind(t, err, test.want)
			})
		})
	}
}

func TestInferEndsWithItsContext(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		late, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := client.Infer(late, command("probe", 2, 5))
		wantKind(t, err, triton.Timeout)

		cancelled, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err = client.Infer(cancelled, command("probe", 2, 5))
		wantKind(t, err, triton.Canceled)
	})
}

func TestAFullQueueRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		errs := make([]error, 8)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() { _, errs[i] = client.Infer(t.Context(), command("queue", 2, 2)) })
		}
		group.Wait()
		refused := 0
		for _, err := range errs {
			if err != nil {
				refused++
				wantKind(t, err, triton.QueueFull)
			}
		}
		if refused == 0 || refused == len(errs) {
			t.Errorf("%d of %d were refused", refused, len(errs))
		}
	})
}

func TestModelsAreLoadedAndUnloaded(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		ctx := t.Context()
		if err := client.Unload(ctx, "queue"); err != nil {
			t.Fatal(err)
		}
		if ready, err := client.ModelReady(ctx, "queue", ""); ready || err != nil {
			t.Errorf("unloaded: ready %v, %v", ready, err)
		}
		_, err := client.Infer(ctx, command("queue"))
		wantKind(t, err, triton.NotReady)
		_, err = client.ModelConfig(ctx, "queue", "")
		wantKind(t, err, triton.NotReady)

		if err := client.Load(ctx, "queue"); err != nil {
			t.Fatal(err)
		}
		if ready, err := client.ModelReady(ctx, "queue", "1"); !ready || err != nil {
			t.Errorf("loaded: ready %v, %v", ready, err)
		}
		if _, err := client.Infer(ctx, command("queue")); err != nil {
			t.Error(err)
		}
		index, err := client.Index(ctx)
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]string{}
		for _, m := range index {
			states[m.Name] = m.State
		}
		if states["queue"] != "READY" || states["probe"] != "READY" || states["broken"] == "READY" {
			t.Errorf("index: %v", index)
		}
	})
}

// The versions asked for are loaded and no others, whatever the model's own configuration says, which is
// to load the newest alone.
func TestVersionsAreLoadedByNumber(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		ctx := t.Context()
		loaded := func() string {
			index, err := client.Index(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var versions []string
			for _, m := range index {
				if m.Name == "versions" && m.State == "READY" {
					versions = append(versions, m.Version)
				}
			}
			slices.SortFunc(versions, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
			return strings.Join(versions, " ")
		}
		for _, step := range []struct {
			name     string
			load     func() error
			loaded   string
			answers  string // where no version is asked for
			rejected bool   // and what was loaded stays so
		}{
			{"one, of a model that is not loaded", func() error { return client.LoadVersions(ctx, "versions", "2") }, "2", "2", false},
			{"another beside it", func() error { return client.LoadVersions(ctx, "versions", "1", "2") }, "1 2", "2", false},
			{"the first alone", func() error { return client.LoadVersions(ctx, "versions", "1") }, "1", "1", false},
			{"all", func() error { return client.LoadVersions(ctx, "versions") }, "1 2 10", "10", false},
			{"back to the first", func() error { return client.LoadVersions(ctx, "versions", "1") }, "1", "1", false},
			{"as it is loaded already", func() error { return client.Load(ctx, "versions") }, "1", "1", false},
			{"by its own configuration, when it was unloaded", func() error { return errors.Join(client.Unload(ctx, "versions"), client.Load(ctx, "versions")) }, "10", "10", false},
			{"one that is not there beside one that is", func() error { return client.LoadVersions(ctx, "versions", "2", "7") }, "2", "2", false},
			{"one that is not there", func() error { return client.LoadVersions(ctx, "versions", "7") }, "2", "2", true},
			{"no number", func() error { return client.LoadVersions(ctx, "versions", "latest") }, "2", "2", true},
		} {
			if err := step.load(); (err != nil) != step.rejected {
				t.Fatalf("%s: %v", step.name, err)
			}
			// Triton unloads after it has answered the load.
			for end := time.Now().Add(time.Minute); loaded() != step.loaded; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s: loaded are %q, want %q", step.name, loaded(), step.loaded)
				}
			}
			answer, err := client.Infer(ctx, command("versions"))
			if err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if answer.Version != step.answers {
				t.Errorf("%s: version %s answers, want %s", step.name, answer.Version, step.answers)
			}
		}
	})
}

func TestABrokenModelSaysWhyItDoesNotLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		err := client.Load(t.Context(), "broken")
		wantKind(t, err, triton.Internal)
		if err == nil || !strings.Contains(err.Error(), "made to be broken") {
			t.Errorf("error %v", err)
		}
		wantKind(t, client.Load(t.Context(), "nothing"), triton.Internal)
	})
}

func TestServerAndModelDescribeThemselves(t *testing.T) {
	onBoth(t, func(t *testing.T, client *triton.Client) {
		ctx := t.Context()
		if ready, err := client.ServerReady(ctx); !ready || err != nil {
			t.Errorf("server ready %v, %v", ready, err)
		}
		if name, version, err := client.ServerMetadata(ctx); name == "" || version == "" || err != nil {
			t.Errorf("server %q %q, %v", name, version, err)
		}
		if ready, err := client.ModelReady(ctx, "nothing", ""); ready || err != nil {
			t.Errorf("unknown model ready %v, %v", ready, err)
		}
		config, err := client.ModelConfig(ctx, "probe", "")
		if err != nil || config.Name != "probe" || config.MaxBatchSize != 4 || config.Input[0].Name != "command" {
			t.Errorf("config %v, %v", config, err)
		}
		before, err := client.Statistics(ctx, "probe")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Infer(ctx, command("probe")); err != nil {
			t.Fatal(err)
		}
		// Triton counts a moment after it has answered.
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			after, err := client.Statistics(ctx, "probe")
			if err == nil && after.InferenceCount > before.InferenceCount {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("statistics %v, before %v, %v", after, before, err)
			}
		}
		_, err = client.Statistics(ctx, "nothing")
		wantKind(t, err, triton.InvalidRequest)
	})
}
