package modelrepo

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
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
	models, err := Open("models")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	client := served(t, "models", names...)
	for _, m := range models {
		t.Run(m.Name, func(t *testing.T) { runsAsPromised(t, client, m) })
	}
}

// TestRequestsThatTritonBatchesAreAnsweredEachForItself has Triton's batcher hand several requests to
// one call of the Python model.
func TestRequestsThatTritonBatchesAreAnsweredEachForItself(t *testing.T) {
	repository := t.TempDir()
	detector := filepath.Join(repository, "detector")
	if err := os.CopyFS(detector, os.DirFS("models/detector")); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("models/detector/config.pbtxt")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(detector, "config.pbtxt"), string(config)+`
dynamic_batching { preferred_batch_size: [ 8 ] max_queue_delay_microseconds: 200000 }
instance_group { kind: KIND_CPU count: 1 }
`)
	client := served(t, repository, "detector")
	loaded, err := client.ModelConfig(t.Context(), "detector", "")
	if err != nil {
		t.Fatal(err)
	}
	contract, err := ReadContract(loaded)
	if err != nil {
		t.Fatal(err)
	}
	pictures := noise(contract, 8)
	together := make([][][]float32, len(pictures))
	var asking sync.WaitGroup
	for i, picture := range pictures {
		asking.Go(func() { together[i] = ask(t, client, contract, picture) })
	}
	asking.Wait()
	for i, picture := range pictures {
		for k, values := range ask(t, client, contract, picture) {
			if together[i] == nil {
				continue // ask has said why
			}
			if d := largestDifference(values, together[i][k]); d > 1e-3 {
				t.Errorf("output %s of picture %d differs by %g when others are asked about", contract.Outputs[k].Name, i, d)
			}
		}
	}
}

// served is a client of a Triton that has loaded models of a repository.
func served(t *testing.T, repository string, models ...string) *triton.Client {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	server, err := local.Start(t.Context(), local.Options{
		Install: "../build/triton", Repository: repository, Models: models, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%v (LEXICROP_SKIP_TRITON=1 leaves this test out)", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 200*time.Millisecond)
		defer cancel()
		server.Stop(ctx)
	})
	client, err := triton.Dial(triton.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
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
	if batch == nil {
		return // ask has said why
	}
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
		t.Error(err)
		return nil
	}
	values := make([][]float32, len(response.Outputs))
	for i, o := range response.Outputs {
		if values[i], err = o.Float32s(nil); err != nil {
			t.Error(err)
			return nil
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
