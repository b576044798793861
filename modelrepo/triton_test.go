package modelrepo

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
)

// TestEveryModelRunsOnTritonAsItsContractSays loads the whole repository into
// the local Triton: what a contract promises of tensors must come out, and a
// batch must answer as its pictures alone do.
func TestEveryModelRunsOnTritonAsItsContractSays(t *testing.T) {
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	models, err := Open("models")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	server, err := local.Start(t.Context(), local.Options{
		Install: "../build/triton", Repository: "models", Models: names, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%v (LEXICROP_SKIP_TRITON=1 leaves this test out)", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		server.Stop(ctx)
	}()
	client, err := triton.Dial(triton.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, m := range models {
		t.Run(m.Name, func(t *testing.T) { runsAsPromised(t, client, m) })
	}
}

func runsAsPromised(t *testing.T, client *triton.Client, m Model) {
	config, err := client.ModelConfig(t.Context(), m.Name, "")
	if err != nil {
		t.Fatal(err)
	}
	served, err := ReadContract(config)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Contract, served); diff != "" {
		t.Errorf("on disk and as served: %s", diff)
	}
	pictures := noise(served, min(3, served.MaxBatch))
	batch := ask(t, client, served, pictures...)
	for i, picture := range pictures {
		alone := ask(t, client, served, picture)
		for k, values := range alone {
			n := len(values)
			if d := largestDifference(values, batch[k][i*n:(i+1)*n]); d > 1e-3 {
				t.Errorf("output %s of picture %d differs by %g in a batch", served.Outputs[k].Name, i, d)
			}
			if slices.ContainsFunc(values, func(v float32) bool { return v != v || math.IsInf(float64(v), 0) }) {
				t.Errorf("output %s of picture %d is not finite", served.Outputs[k].Name, i)
			}
		}
	}
}

// ask sends pictures as one batch and returns the values of each output.
func ask(t *testing.T, client *triton.Client, c Contract, pictures ...[]byte) [][]float32 {
	t.Helper()
	n := int64(len(pictures))
	request := &triton.Request{Model: c.Name, Outputs: slices.Clone(c.Outputs), Inputs: []triton.Tensor{{
		Name: c.Input.Name, DType: c.Input.DType, Shape: slices.Clone(c.Input.Shape), Data: slices.Concat(pictures...),
	}}}
	if c.MaxBatch > 1 {
		request.Inputs[0].Shape[0] = n
		for i := range request.Outputs {
			request.Outputs[i].Shape = slices.Concat([]int64{n}, c.Outputs[i].Shape[1:])
		}
	}
	response, err := client.Infer(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]float32, len(response.Outputs))
	for i, o := range response.Outputs {
		if values[i], err = o.Float32s(nil); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// noise makes n pictures of large soft patches.
func noise(c Contract, n int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	pictures := make([][]byte, n)
	for i := range pictures {
		pictures[i] = make([]byte, c.Input.Width*c.Input.Height*3*c.Input.DType.Size())
		var patch byte
		for j := range pictures[i] {
			if j%64 == 0 {
				patch = byte(random.UintN(256))
			}
			pictures[i][j] = patch
		}
	}
	return pictures
}

func largestDifference(a, b []float32) (largest float64) {
	for i := range a {
		largest = max(largest, math.Abs(float64(a[i]-b[i])))
	}
	return largest
}
