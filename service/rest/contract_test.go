package rest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// A model is used by what it declares: whatever it takes and however it answers, the same work in
// the photo gives the same box. The photo of 640x320 is red in its left half and blue in its right.
func TestModelsOfEveryContract(t *testing.T) {
	type model struct {
		name         string
		parameters   map[string]string
		input        *inference.ModelInput
		outputs      []*inference.ModelOutput
		maxBatchSize int32
		answer       []triton.Tensor
		// red is what the network must see of a red pixel of 200, 30, 30, first in the places of R, G and B.
		places [3]int
		red    [3]float64
	}
	fp32 := func(name string, dims ...int64) *inference.ModelOutput {
		return &inference.ModelOutput{Name: name, DataType: inference.DataType_TYPE_FP32, Dims: dims}
	}
	picture := func(dtype inference.DataType, dims ...int64) *inference.ModelInput {
		return &inference.ModelInput{Name: "images", DataType: dtype, Dims: dims}
	}
	int64s := triton.Tensor{Name: "labels", DType: triton.Int64, Shape: []int64{2}, Data: make([]byte, 16)}
	binary.LittleEndian.PutUint64(int64s.Data, 1)
	binary.LittleEndian.PutUint64(int64s.Data[8:], 2)
	models := []model{
		{
			// As the original service's: one picture, no batch, values 0..1, boxes in input pixels.
			name:       "torchvision",
			parameters: map[string]string{"decoder": "torchvision", "resize": "stretch", "scale": "0..1", "layout": "nchw"},
			input:      picture(inference.DataType_TYPE_FP32, 3, 480, 320),
			outputs: []*inference.ModelOutput{
				fp32("boxes", -1, 4), {Name: "labels", DataType: inference.DataType_TYPE_INT64, Dims: []int64{-1}}, fp32("scores", -1),
			},
			answer: []triton.Tensor{
				tritontest.Float32s("boxes", []float32{50, 60, 150, 360, 200, 60, 300, 360}, 2, 4), int64s,
				tritontest.Float32s("scores", []float32{0.9, 0.6}, 2),
			},
			places: [3]int{480*10 + 10, 480*320 + 480*10 + 10, 2*480*320 + 480*10 + 10},
			red:    [3]float64{200. / 255, 30. / 255, 30. / 255},
		},
		{
			name:         "detr",
			parameters:   map[string]string{"decoder": "detr", "resize": "letterbox", "align": "top-left", "scale": "imagenet", "layout": "nchw"},
			input:        picture(inference.DataType_TYPE_FP32, 3, 320, 320),
			outputs:      []*inference.ModelOutput{fp32("boxes", 3, 4), fp32("logits", 3, 3)},
			maxBatchSize: 4,
			answer: []triton.Tensor{
				tritontest.Float32s("boxes", []float32{0.3125, 0.21875, 0.3125, 0.3125, 0.78125, 0.21875, 0.3125, 0.3125, 0, 0, 0, 0}, 1, 3, 4),
				tritontest.Float32s("logits", []float32{ln(0.85), ln(0.05), ln(0.1), ln(0.1), ln(0.5), ln(0.4), -50, -50, 50}, 1, 3, 3),
			},
			places: [3]int{320*10 + 10, 320*320 + 320*10 + 10, 2*320*320 + 320*10 + 10},
			red:    [3]float64{(200./255 - 0.485) / 0.229, (30./255 - 0.456) / 0.224, (30./255 - 0.406) / 0.225},
		},
		{
			name:       "candidates of float pixels without salience",
			parameters: map[string]string{"decoder": "candidates", "resize": "letterbox", "pad": "0", "scale": "0..255", "layout": "nhwc"},
			input:      picture(inference.DataType_TYPE_FP32, 320, 320, 3), maxBatchSize: 1,
			outputs: []*inference.ModelOutput{fp32("boxes", 2, 4), fp32("probs", 2, 3)},
			answer: []triton.Tensor{
				tritontest.Float32s("boxes", []float32{50, 100, 150, 200, 200, 100, 300, 200}, 1, 2, 4),
				tritontest.Float32s("probs", []float32{0.1, 0.8, 0.1, 0.4, 0, 0.6}, 1, 2, 3),
			},
			places: [3]int{3 * (320*100 + 10), 3*(320*100+10) + 1, 3*(320*100+10) + 2},
			red:    [3]float64{200, 30, 30},
		},
	}
	want := []api.Box{{100, 40, 300, 240}, {400, 40, 600, 240}}
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			var seen atomic.Value
			config := &inference.ModelConfig{Input: []*inference.ModelInput{m.input}, Output: m.outputs, MaxBatchSize: m.maxBatchSize, Parameters: map[string]*inference.ModelParameter{
				"task": {StringValue: "detector"}, "labels": {StringValue: "painting,object"},
				"fingerprint": {StringValue: fmt.Sprintf("%064d", 7)},
			}}
			for key, value := range m.parameters {
				config.Parameters[key] = &inference.ModelParameter{StringValue: value}
			}
			fake := tritontest.New(t, tritontest.Model{
				Name: "detector", Config: config,
				Infer: func(_ context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
					seen.Store(inputs[0].Data)
					return m.answer, nil
				},
			})
			cfg := onlyOneLook()
			got := decode[api.CropResult](t, newTestServer(t, cfg, triton.Options{Address: fake.Address()}).
				post(t, "/v1/crop?detections=5", "", photo(t, 640, 320)), http.StatusOK)
			var boxes []api.Box
			for _, d := range got.Detections {
				boxes = append(boxes, d.Box)
			}
			if d := cmp.Diff(want, boxes, cmpopts.EquateApprox(0, 0.02)); d != "" {
				t.Error(d)
			}
			if got.Detections[0].Label != "painting" || got.Detections[1].Label != "object" || math.Abs(got.Detections[0].Score-0.9) > 1e-3 {
				t.Errorf("%+v", got.Detections)
			}
			data := seen.Load().([]byte)
			for c, place := range m.places {
				value := float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*place:])))
				// The JPEG may be a few levels off.
				if tolerance := 0.03 * max(1, math.Abs(m.red[0])); math.Abs(value-m.red[c]) > tolerance {
					t.Errorf("channel %d of a red pixel is %v, want %v", c, value, m.red[c])
				}
			}
		})
	}
}

func ln(x float64) float32 { return float32(math.Log(x)) }

// onlyOneLook is a configuration in which small works are not looked at again.
func onlyOneLook() *config.Config {
	cfg := config.Default()
	cfg.Crop.RefineBelow = 0
	return cfg
}

// A model of zero detections, as torchvision's answer when they find nothing, breaks nothing.
func TestTorchvisionThatFindsNothing(t *testing.T) {
	fake := tritontest.New(t, tritontest.Model{
		Name: "detector",
		Config: &inference.ModelConfig{
			Input: []*inference.ModelInput{{Name: "image", DataType: inference.DataType_TYPE_FP32, Dims: []int64{3, 480, 320}}},
			Output: []*inference.ModelOutput{
				{Name: "boxes", DataType: inference.DataType_TYPE_FP32, Dims: []int64{-1, 4}},
				{Name: "labels", DataType: inference.DataType_TYPE_INT64, Dims: []int64{-1}},
				{Name: "scores", DataType: inference.DataType_TYPE_FP32, Dims: []int64{-1}},
			},
			Parameters: map[string]*inference.ModelParameter{
				"task": {StringValue: "detector"}, "decoder": {StringValue: "torchvision"}, "labels": {StringValue: "painting,object"},
				"resize": {StringValue: "stretch"}, "scale": {StringValue: "0..1"}, "fingerprint": {StringValue: fmt.Sprintf("%064d", 7)},
			},
		},
		Infer: func(context.Context, []triton.Tensor) ([]triton.Tensor, error) {
			return []triton.Tensor{
				tritontest.Float32s("boxes", nil, 0, 4), {Name: "labels", DType: triton.Int64, Shape: []int64{0}}, tritontest.Float32s("scores", nil, 0),
			}, nil
		},
	})
	s := newTestServer(t, config.Default(), triton.Options{Address: fake.Address()})
	if got := decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 640, 320)), http.StatusOK); len(got.Detections) != 0 {
		t.Errorf("%+v", got)
	}
	formType, formBody := form(formPart{name: "image", file: "a.jpg", content: string(photo(t, 640, 320))})
	if got := decode[api.DetectResult](t, s.post(t, "/detect", formType, formBody), http.StatusOK); !cmp.Equal(got.Bbox, api.Box{0.25, 0.25, 0.75, 0.75}) {
		t.Errorf("%+v", got)
	}
}
