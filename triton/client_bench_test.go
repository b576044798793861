package triton_test

import (
	"context"
	"testing"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// BenchmarkInfer is what the client and the protocol cost: a picture of
// 480x320x3 bytes to the fake, which answers at once with 32 candidates.
func BenchmarkInfer(b *testing.B) {
	server := tritontest.New(b, tritontest.Model{
		Name: "null",
		Config: &inference.ModelConfig{Input: []*inference.ModelInput{
			{Name: "image", DataType: inference.DataType_TYPE_UINT8, Dims: []int64{1, 480, 320, 3}},
		}},
		Infer: func(context.Context, []triton.Tensor) ([]triton.Tensor, error) {
			return []triton.Tensor{tritontest.Float32s("boxes", make([]float32, 128), 1, 32, 4)}, nil
		},
	})
	request := &triton.Request{
		Model:   "null",
		Inputs:  []triton.Tensor{{Name: "image", DType: triton.Uint8, Shape: []int64{1, 480, 320, 3}, Data: make([]byte, 480*320*3)}},
		Outputs: []triton.TensorSpec{{Name: "boxes", DType: triton.FP32, Shape: []int64{1, 32, 4}}},
	}
	client := dial(b, server.Address())
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Infer(b.Context(), request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := client.Infer(b.Context(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
