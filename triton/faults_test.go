package triton_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

func TestABrokenAnswerIsRefusedBeforeItIsIndexed(t *testing.T) {
	server := fake(t)
	client := dial(t, server.Address())
	for name, change := range map[string]func(*inference.ModelInferResponse){
		"wrong shape":      tritontest.WrongShape,
		"huge shape":       tritontest.HugeShape,
		"negative shape":   tritontest.NegativeShape,
		"short bytes":      tritontest.ShortBytes,
		"no bytes":         tritontest.NoBytes,
		"wrong type":       tritontest.WrongType,
		"missing output":   tritontest.MissingOutput,
		"unknown type":     func(r *inference.ModelInferResponse) { r.Outputs[0].Datatype = "COMPLEX64" },
		"too many bytes":   func(r *inference.ModelInferResponse) { r.RawOutputContents[0] = append(r.RawOutputContents[0], 0) },
		"strings too few":  func(r *inference.ModelInferResponse) { r.Outputs[0].Datatype = "BYTES" },
		"another's output": func(r *inference.ModelInferResponse) { r.Outputs[0].Name = r.Outputs[1].Name },
	} {
		t.Run(name, func(t *testing.T) {
			server.SetFault("probe", tritontest.Fault{Change: change})
			for _, outputs := range [][]triton.TensorSpec{command("probe").Outputs, {{Name: "half"}, {Name: "echo"}}} {
				request := command("probe", 0, 255, 255, 255)
				request.Outputs = outputs
				if outputs[0].DType == "" && (name == "wrong type") {
					continue // 16 bytes are an INT32 of that shape as well
				}
				_, err := client.Infer(t.Context(), request)
				wantKind(t, err, triton.BadResponse)
			}
		})
	}
}

func TestBytesTensorsAreChecked(t *testing.T) {
	server := fake(t)
	client := dial(t, server.Address())
	request := command("probe")
	request.Outputs = []triton.TensorSpec{{Name: "half", DType: triton.Bytes, Shape: []int64{1, 2}}}
	for _, test := range []struct {
		name string
		data string
		good bool
	}{
		{"two elements", "\x03\x00\x00\x00abc\x00\x00\x00\x00", true},
		{"one element", "\x03\x00\x00\x00abc", false},
		{"half a length", "\x00\x00\x00\x00\x00\x00", false},
		{"length beyond the end", "\xff\xff\xff\xffabc\x00\x00\x00\x00", false},
		{"something after", "\x00\x00\x00\x00\x00\x00\x00\x00x", false},
		{"nothing", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server.SetFault("probe", tritontest.Fault{Change: func(r *inference.ModelInferResponse) {
				r.Outputs[0].Datatype, r.Outputs[0].Shape = "BYTES", []int64{1, 2}
				r.RawOutputContents[0] = []byte(test.data)
			}})
			_, err := client.Infer(t.Context(), request)
			if test.good && err != nil {
				t.Error(err)
			} else if !test.good {
				wantKind(t, err, triton.BadResponse)
			}
		})
	}
}

func TestRefusalsKeepTheirMeaning(t *testing.T) {
	server := fake(t)
	client := dial(t, server.Address())
	for _, test := range []struct {
		err  error
		want triton.Kind
	}{
		{tritontest.ErrQueueFull, triton.QueueFull},
		{tritontest.ErrQueueTimeout, triton.Timeout},
		{tritontest.ErrStopping, triton.NotReady},
		{tritontest.ErrModel, triton.Internal},
		{tritontest.ErrBrokenOff, triton.Unavailable}, // and no Timeout: there is a minute left
	} {
		server.SetFault("probe", tritontest.Fault{Err: test.err})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := client.Infer(ctx, command("probe"))
		cancel()
		wantKind(t, err, test.want)
		if err == nil || !strings.HasPrefix(err.Error(), "triton: infer probe: "+test.want.String()) {
			t.Errorf("error %v", err)
		}
	}
}

func TestALostConnectionIsUnavailableAndNotRepeated(t *testing.T) {
	server := fake(t)
	client := dial(t, server.Address())
	server.SetFault("probe", tritontest.Fault{Disconnect: true, Times: 1})
	_, err := client.Infer(t.Context(), command("probe"))
	wantKind(t, err, triton.Unavailable)
	if n := server.Counts("probe").Inferences; n != 1 {
		t.Errorf("asked %d times", n)
	}
	// The client connects again by itself.
	waitFor(t, func() bool { _, err := client.Infer(t.Context(), command("probe")); return err == nil })
}

func TestAServerThatComesBackIsFoundAgain(t *testing.T) {
	server := fake(t)
	client := dial(t, server.Address())
	if _, err := client.Infer(t.Context(), command("probe")); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	waitFor(t, func() bool {
		_, err := client.Infer(t.Context(), command("probe"))
		kind, _ := triton.KindOf(err)
		return kind == triton.Unavailable
	})
	server.Restart(t)
	waitFor(t, func() bool { _, err := client.Infer(t.Context(), command("probe")); return err == nil })
}

func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatal("never")
}

func replicas(t *testing.T, servers ...*tritontest.Server) *triton.Client {
	t.Helper()
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s.Address())
	}
	client, err := triton.DialReplicas(triton.Options{}, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestAReplicaThatIsNotReadyCostsNoRequest(t *testing.T) {
	servers := []*tritontest.Server{fake(t), fake(t), fake(t)}
	client := replicas(t, servers...)
	servers[1].SetLoaded("probe", false)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				if _, err := client.Infer(t.Context(), command("probe")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	counts := []int{}
	sum := 0
	for _, s := range servers {
		counts = append(counts, s.Counts("probe").Inferences)
		sum += s.Counts("probe").Inferences
	}
	if counts[1] == 0 || sum != 200+counts[1] {
		t.Errorf("requests at the replicas: %v", counts)
	}
}

func TestOnlyRefusalsBeforeTheWorkAreRepeated(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int // calls
	}{
		{tritontest.ErrStopping, 2},
		{tritontest.ErrBrokenOff, 2},
		{tritontest.ErrQueueFull, 1},
		{tritontest.ErrQueueTimeout, 1},
		{tritontest.ErrModel, 1},
	} {
		a, b := fake(t), fake(t)
		client := replicas(t, a, b)
		a.SetFault("probe", tritontest.Fault{Err: test.err})
		b.SetFault("probe", tritontest.Fault{Err: test.err})
		if _, err := client.Infer(t.Context(), command("probe")); err == nil {
			t.Fatal("no error")
		}
		if n := a.Counts("probe").Inferences + b.Counts("probe").Inferences; n != test.want {
			t.Errorf("%v: asked %d times, want %d", test.err, n, test.want)
		}
	}
	// One replica alone is asked twice at most.
	alone := fake(t)
	alone.SetLoaded("probe", false)
	_, err := replicas(t, alone).Infer(t.Context(), command("probe"))
	wantKind(t, err, triton.NotReady)
	if n := alone.Counts("probe").Inferences; n > 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestLoadAndUnloadReachEveryReplica(t *testing.T) {
	servers := []*tritontest.Server{fake(t), fake(t), fake(t)}
	client := replicas(t, servers...)
	for range 5 {
		if err := client.Unload(t.Context(), "probe"); err != nil {
			t.Fatal(err)
		}
		for i, s := range servers {
			if len(s.Loaded("probe")) > 0 {
				t.Errorf("replica %d still has it", i)
			}
		}
		if err := client.Load(t.Context(), "probe"); err != nil {
			t.Fatal(err)
		}
		for i, s := range servers {
			if len(s.Loaded("probe")) == 0 {
				t.Errorf("replica %d does not have it", i)
			}
		}
	}
	for i, s := range servers {
		if c := s.Counts("probe"); c.Loads != 5 || c.Unloads != 5 {
			t.Errorf("replica %d was asked %+v", i, c)
		}
	}
	// A replica that is down does not keep the others from it.
	servers[2].Stop()
	waitFor(t, func() bool { return client.Unload(t.Context(), "probe") == nil && len(servers[0].Loaded("probe")) == 0 })
	// A load that fails somewhere fails.
	wantKind(t, client.Load(t.Context(), "broken"), triton.Internal)
}

func TestAReplicaThatLacksAModelIsFoundEachTime(t *testing.T) {
	servers := []*tritontest.Server{fake(t), fake(t), fake(t)}
	client := replicas(t, servers...)
	for _, want := range []bool{true, false, true} {
		servers[1].SetLoaded("probe", want)
		for range 6 {
			if got, err := client.ModelReadyEverywhere(t.Context(), "probe", ""); err != nil || got != want {
				t.Errorf("ready everywhere: %v, %v; want %v", got, err, want)
			}
		}
	}
	servers[0].Stop()
	waitFor(t, func() bool {
		ready, err := client.ModelReadyEverywhere(t.Context(), "probe", "")
		return ready && err == nil
	})
}

func TestHeaderAndTraceGoAlong(t *testing.T) {
	server := fake(t)
	client, err := triton.Dial(triton.Options{
		Address: server.Address(), Header: map[string]string{"triton-grpc-protocol-infer": "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	if _, err := client.Infer(trace.ContextWithSpanContext(t.Context(), span), command("probe")); err != nil {
		t.Fatal(err)
	}
	header := server.Header()
	if got := header.Get("triton-grpc-protocol-infer"); len(got) != 1 || got[0] != "secret" {
		t.Errorf("header %v", header)
	}
	if got := header.Get("traceparent"); len(got) != 1 || !strings.Contains(got[0], span.TraceID().String()) {
		t.Errorf("traceparent %v", got)
	}
}

func TestDialRefusesWrongOptions(t *testing.T) {
	for _, o := range []triton.Options{{}, {Address: "triton"}, {Address: "triton:8001:1"}, {Address: "triton:8001", MaxResponseBytes: -1}} {
		if client, err := triton.Dial(o); err == nil {
			client.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestNoTritonIsUnavailableAtOnce(t *testing.T) {
	client := dial(t, "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := client.Infer(ctx, command("probe"))
	wantKind(t, err, triton.Unavailable)
	var typed *triton.Error
	if !errors.As(err, &typed) || typed.Op != "infer" || typed.Model != "probe" {
		t.Errorf("error %#v", err)
	}
}
