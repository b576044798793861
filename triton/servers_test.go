package triton_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/local"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// The tests of the client run against the fake and, unless
// LEXICROP_SKIP_TRITON is set, against a real Triton that they share. Both have
// the models of testdata/models.
var realAddress string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("LEXICROP_SKIP_TRITON") == "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		server, err := local.Start(ctx, local.Options{
			Install: filepath.Join("..", "build", "triton"), Repository: filepath.Join("testdata", "models"),
			Models: []string{"probe", "queue"}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			fmt.Fprintf(os.Stderr, "FAIL: %v (LEXICROP_SKIP_TRITON=1 leaves these tests out)\n", err)
			return 1
		}
		realAddress = server.Address()
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			server.Stop(ctx) // none of our requests is under way
		}()
	}
	code := m.Run()
	if code == 0 && realAddress == "" {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// onBoth runs a test against the fake and the real Triton.
func onBoth(t *testing.T, test func(t *testing.T, client *triton.Client)) {
	t.Run("fake", func(t *testing.T) {
		test(t, dial(t, fake(t).Address()))
	})
	t.Run("real", func(t *testing.T) {
		if realAddress == "" {
			t.Skip("LEXICROP_SKIP_TRITON is set")
		}
		test(t, dial(t, realAddress))
	})
}

func dial(t testing.TB, address string) *triton.Client {
	t.Helper()
	client, err := triton.Dial(triton.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// fake has the models of testdata/models.
func fake(t testing.TB) *tritontest.Server {
	queue := make(chan struct{}, 3) // one at work and two that wait
	server := tritontest.New(t, probe("probe", nil), probe("queue", queue))
	broken := probe("broken", nil)
	broken.LoadError = "Internal: RuntimeError: made to be broken"
	server.Add(broken)
	for _, version := range []string{"1", "2", "10"} {
		m := probe("versions", nil)
		m.Version = version
		server.Add(m)
	}
	return server
}

func probe(name string, queue chan struct{}) tritontest.Model {
	tensor := func(name string, t inference.DataType) *inference.ModelOutput {
		return &inference.ModelOutput{Name: name, DataType: t, Dims: []int64{4}}
	}
	return tritontest.Model{
		Name: name,
		Config: &inference.ModelConfig{
			Backend:      "python",
			MaxBatchSize: 4,
			Input:        []*inference.ModelInput{{Name: "command", DataType: inference.DataType_TYPE_UINT8, Dims: []int64{4}}},
			Output:       []*inference.ModelOutput{tensor("echo", inference.DataType_TYPE_UINT8), tensor("half", inference.DataType_TYPE_FP32)},
		},
		Infer: func(ctx context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
			if queue != nil {
				select {
				case queue <- struct{}{}:
					defer func() { <-queue }()
				default:
					return nil, tritontest.ErrQueueFull
				}
			}
			in := inputs[0]
			switch in.Data[0] {
			case 1:
				return nil, errors.New("told to fail")
			case 2:
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(time.Duration(in.Data[1]) * 100 * time.Millisecond):
				}
			}
			half := make([]float32, len(in.Data))
			for i, v := range in.Data {
				half[i] = float32(v) / 2
			}
			return []triton.Tensor{
				{Name: "echo", DType: triton.Uint8, Shape: in.Shape, Data: in.Data},
				tritontest.Float32s("half", half, in.Shape...),
			}, nil
		},
	}
}

// command asks the probe models: 0 echo, 1 fail, 2 sleep (in tenths of a second).
func command(model string, bytes ...byte) *triton.Request {
	data := make([]byte, 4)
	copy(data, bytes)
	return &triton.Request{
		Model:  model,
		Inputs: []triton.Tensor{{Name: "command", DType: triton.Uint8, Shape: []int64{1, 4}, Data: data}},
		Outputs: []triton.TensorSpec{
			{Name: "half", DType: triton.FP32, Shape: []int64{1, 4}},
			{Name: "echo", DType: triton.Uint8, Shape: []int64{-1, 4}},
		},
	}
}

func wantKind(t *testing.T, err error, want triton.Kind) {
	t.Helper()
	kind, ok := triton.KindOf(err)
	if !ok || kind != want {
		t.Errorf("error %v is of kind %v, want %v", err, kind, want)
	}
}
