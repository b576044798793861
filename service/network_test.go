package service

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// Whatever type, layout, scale and batch dimension a network wants, the picture that reaches Triton
// has the right number at the right place.
func TestInferSendsWhatTheContractAsksFor(t *testing.T) {
	const w, h = 5, 4
	picture := make([]byte, w*h*3)
	for i := range picture {
		picture[i] = byte(i * 255 / (len(picture) - 1))
	}
	mean, deviation := [3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}
	scaled := map[modelrepo.Scale]func(value byte, channel int) float64{
		modelrepo.Scale255:      func(v byte, _ int) float64 { return float64(v) },
		modelrepo.Scale1:        func(v byte, _ int) float64 { return float64(v) / 255 },
		modelrepo.ScaleImageNet: func(v byte, c int) float64 { return (float64(v)/255 - mean[c]) / deviation[c] },
	}
	for _, dtype := range []inference.DataType{inference.DataType_TYPE_UINT8, inference.DataType_TYPE_FP16, inference.DataType_TYPE_FP32} {
		for scale, want := range scaled {
			if dtype == inference.DataType_TYPE_UINT8 && scale != modelrepo.Scale255 {
				continue // the contract refuses it
			}
			for _, layout := range []modelrepo.Layout{modelrepo.LayoutNHWC, modelrepo.LayoutNCHW} {
				for _, batch := range []int32{0, 8} {
					t.Run(fmt.Sprintf("%s %s %s batch %d", dtype, scale, layout, batch), func(t *testing.T) {
						sent := sentTo(t, dtype, scale, layout, batch, w, h, picture)
						for i, v := range picture {
							x, y, c := i/3%w, i/3/w, i%3
							at, shape := i, []int64{h, w, 3}
							if layout == modelrepo.LayoutNCHW {
								at, shape = (c*h+y)*w+x, []int64{3, h, w}
							}
							if batch > 0 {
								shape = slices.Insert(shape, 0, 1)
							}
							if !slices.Equal(sent.Shape, shape) {
								t.Fatalf("the shape is %v, want %v", sent.Shape, shape)
							}
							if got := numbers(t, sent)[at]; math.Abs(got-want(v, c)) > 1e-3*max(1, math.Abs(got)) {
								t.Fatalf("channel %d of pixel %d,%d is %v, want %v", c, x, y, got, want(v, c))
							}
						}
					})
				}
			}
		}
	}
}

// sentTo returns the input that a detector with this contract gets for a picture.
func sentTo(t *testing.T, dtype inference.DataType, scale modelrepo.Scale, layout modelrepo.Layout, batch int32, w, h int64, picture []byte) triton.Tensor {
	t.Helper()
	config := tritontest.DetectorConfig("detector")
	config.MaxBatchSize = batch
	config.Input[0].DataType, config.Input[0].Dims = dtype, []int64{h, w, 3}
	if layout == modelrepo.LayoutNCHW {
		config.Input[0].Dims = []int64{3, h, w}
	}
	config.Parameters["layout"].StringValue = string(layout)
	config.Parameters["scale"].StringValue = string(scale)
	answer := tritontest.Detector("detector").Infer
	var sent triton.Tensor
	fake := tritontest.New(t, tritontest.Model{Name: "detector", Config: config, Infer: func(ctx context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
		sent = inputs[0]
		sent.Data = slices.Clone(sent.Data)
		outputs, err := answer(ctx, []triton.Tensor{{Shape: []int64{1}, Data: make([]byte, 320*320*3)}})
		for i := range outputs {
			if batch == 0 {
				outputs[i].Shape = outputs[i].Shape[1:]
			}
		}
		return outputs, err
	}})
	client, err := triton.Dial(triton.Options{Address: fake.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	m := newMetrics(prometheus.NewRegistry(), newGate("decoding", 1, 0), newGate("inference", 1, 0))
	detector, err := openDetector(t.Context(), client, ModelName{Name: "detector"}, m)
	if err != nil {
		t.Fatal(err)
	}
	// Twice, because the buffers are used again.
	for range 2 {
		if _, _, err := detector.detect(t.Context(), picture); err != nil {
			t.Fatal(err)
		}
	}
	return sent
}

func numbers(t *testing.T, tensor triton.Tensor) []float64 {
	t.Helper()
	var numbers []float64
	if tensor.DType == triton.Uint8 {
		for _, v := range tensor.Data {
			numbers = append(numbers, float64(v))
		}
		return numbers
	}
	values, err := tensor.Float32s(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		numbers = append(numbers, float64(v))
	}
	return numbers
}
