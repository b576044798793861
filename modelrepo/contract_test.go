package modelrepo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

const fingerprint = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func config(t testing.TB, text string) *inference.ModelConfig {
	t.Helper()
	c := &inference.ModelConfig{}
	if err := prototext.Unmarshal([]byte(text), c); err != nil {
		t.Fatal(err)
	}
	return c
}

func parameters(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(`parameters { key: "` + pairs[i] + `" value { string_value: "` + pairs[i+1] + "\" } }\n")
	}
	return b.String()
}

// The original service's model, as it comes out of torchvision: float32,
// channels first, no batch dimension, sizes free, outputs with names of its own.
const torchvision = `
name: "original"
input { name: "input" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] }
output { name: "dets" data_type: TYPE_FP32 dims: [ -1, 4 ] }
output { name: "labels" data_type: TYPE_INT64 dims: [ -1 ] }
output { name: "scores" data_type: TYPE_FP32 dims: [ -1 ] }
`

var torchvisionParameters = []string{
	"task", "detector", "decoder", "torchvision", "labels", "artwork", "resize", "stretch",
	"scale", "0..1", "size", "320x480", "outputs", "boxes=dets", "box_units", "relative", "fingerprint", fingerprint,
}

func TestContractsOfManyKinds(t *testing.T) {
	for _, test := range []struct {
		name   string
		config *inference.ModelConfig
		want   Contract
	}{
		{
			"candidates", tritontest.DetectorConfig("detector"),
			Contract{
				Name: "detector", Task: TaskDetector,
				Input:  Input{Name: "image", DType: triton.Uint8, Layout: LayoutNHWC, Width: 320, Height: 320, Shape: []int64{1, 320, 320, 3}},
				Resize: ResizeLetterbox, Pad: 114, Align: AlignCenter, Filter: "triangle", Scale: Scale255,
				Decoder: DecoderCandidates, Boxes: BoxFormat{BoxXYXY, BoxPixels}, Labels: []string{"painting", "object"},
				Outputs: []triton.TensorSpec{
					{Name: "boxes", DType: triton.FP32, Shape: []int64{1, 32, 4}},
					{Name: "probs", DType: triton.FP32, Shape: []int64{1, 32, 3}},
					{Name: "salience", DType: triton.FP32, Shape: []int64{1, 32}},
				},
				Roles: []Role{RoleBoxes, RoleProbs, RoleSalience}, MaxBatch: 8, Fingerprint: fingerprint,
			},
		},
		{
			"torchvision", config(t, torchvision+parameters(torchvisionParameters...)),
			Contract{
				Name: "original", Task: TaskDetector,
				Input:  Input{Name: "input", DType: triton.FP32, Layout: LayoutNCHW, Width: 320, Height: 480, Shape: []int64{3, 480, 320}},
				Resize: ResizeStretch, Align: AlignCenter, Filter: "triangle", Scale: Scale1,
				Decoder: DecoderTorchvision, Boxes: BoxFormat{BoxXYXY, BoxRelative}, Labels: []string{"artwork"},
				Outputs: []triton.TensorSpec{
					{Name: "dets", DType: triton.FP32, Shape: []int64{-1, 4}},
					{Name: "labels", DType: triton.Int64, Shape: []int64{-1}},
					{Name: "scores", DType: triton.FP32, Shape: []int64{-1}},
				},
				Roles: []Role{RoleBoxes, RoleLabels, RoleScores}, MaxBatch: 1, Fingerprint: fingerprint,
			},
		},
		{
			"detr with the batch in its dims", config(t, `
				name: "detr"
				input { name: "pixels" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 1, 3, 640, 800 ] }
				output { name: "boxes" data_type: TYPE_FP32 dims: [ 1, 100, 4 ] }
				output { name: "logits" data_type: TYPE_FP32 dims: [ 1, 100, 3 ] }`+
				parameters("task", "detector", "decoder", "detr", "labels", "a, b", "resize", "letterbox",
					"align", "top-left", "scale", "imagenet", "fingerprint", fingerprint)),
			Contract{
				Name: "detr", Task: TaskDetector,
				Input:  Input{Name: "pixels", DType: triton.FP32, Layout: LayoutNCHW, Width: 800, Height: 640, Shape: []int64{1, 3, 640, 800}},
				Resize: ResizeLetterbox, Align: AlignTopLeft, Filter: "triangle", Scale: ScaleImageNet,
				Decoder: DecoderDETR, Boxes: BoxFormat{BoxCXCYWH, BoxRelative}, Labels: []string{"a", "b"},
				Outputs: []triton.TensorSpec{
					{Name: "boxes", DType: triton.FP32, Shape: []int64{1, 100, 4}},
					{Name: "logits", DType: triton.FP32, Shape: []int64{1, 100, 3}},
				},
				Roles: []Role{RoleBoxes, RoleLogits}, MaxBatch: 1, Fingerprint: fingerprint,
			},
		},
		{
			"embedder", config(t, `
				name: "embedder"
				max_batch_size: 16
				input { name: "image" data_type: TYPE_UINT8 dims: [ 224, 224, 3 ] }
				output { name: "embedding" data_type: TYPE_FP32 dims: [ 512 ] }`+
				parameters("task", "embedder", "resize", "stretch", "scale", "0..255", "space", "works-1", "fingerprint", fingerprint)),
			Contract{
				Name: "embedder", Task: TaskEmbedder,
				Input:  Input{Name: "image", DType: triton.Uint8, Layout: LayoutNHWC, Width: 224, Height: 224, Shape: []int64{1, 224, 224, 3}},
				Resize: ResizeStretch, Align: AlignCenter, Filter: "triangle", Scale: Scale255,
				Outputs: []triton.TensorSpec{{Name: "embedding", DType: triton.FP32, Shape: []int64{1, 512}}},
				Roles:   []Role{RoleEmbedding}, Space: "works-1", Dimensions: 512, MaxBatch: 16, Fingerprint: fingerprint,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadContract(test.config)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOutputFindsARole(t *testing.T) {
	c, err := ReadContract(tritontest.DetectorConfig("detector"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Output(RoleSalience) != 2 || c.Output(RoleLogits) != -1 {
		t.Errorf("salience %d, logits %d", c.Output(RoleSalience), c.Output(RoleLogits))
	}
}

func TestFaultsOfAContract(t *testing.T) {
	type change = func(c *inference.ModelConfig)
	set := func(key, value string) change {
		return func(c *inference.ModelConfig) { c.Parameters[key] = &inference.ModelParameter{StringValue: value} }
	}
	for _, test := range []struct {
		name   string
		change change
		want   string
	}{
		{"task", set("task", "segmenter"), `parameter task is "segmenter": it must be detector or embedder`},
		{"decoder", set("decoder", ""), `parameter decoder is missing: it must be candidates or torchvision or detr`},
		{"labels missing", set("labels", ""), "parameter labels is missing"},
		{"empty label", set("labels", "painting,"), "label 2 is empty"},
		{"label twice", set("labels", "painting,painting"), "painting stands there twice"},
		{"resize", set("resize", "crop"), `parameter resize is "crop"`},
		{"pad", set("pad", "256"), `parameter pad is "256"`},
		{"align", set("align", "left"), `parameter align is "left"`},
		{"filter", set("filter", "nearest"), `parameter filter is "nearest"`},
		{"scale of uint8", set("scale", "0..1"), "an input of UINT8 can only be"},
		{"layout against dims", set("layout", "nchw"), "3 channels (RGB) are needed"},
		{"size against dims", set("size", "640x320"), "the dims of input image say 320x320"},
		{"size", set("size", "big"), "it must be WIDTHxHEIGHT"},
		{"box order", set("boxes", "xyhw"), `parameter boxes is "xyhw": it must be xyxy or yxyx or cxcywh or xywh`},
		{"box units", set("box_units", "percent"), `parameter box_units is "percent": it must be pixels or relative`},
		{"space", set("space", "x"), "parameter space has no meaning"},
		{"fingerprint", set("fingerprint", "abc"), "64 hexadecimal digits"},
		{"fingerprint missing", set("fingerprint", ""), "64 hexadecimal digits"},
		{"two inputs", func(c *inference.ModelConfig) { c.Input = append(c.Input, c.Input[0]) }, "the model has 2 inputs"},
		{"no input", func(c *inference.ModelConfig) { c.Input = nil }, "the model has 0 inputs"},
		{"input type", func(c *inference.ModelConfig) { c.Input[0].DataType = inference.DataType_TYPE_FP64 }, "input image is of TYPE_FP64"},
		{"input rank", func(c *inference.ModelConfig) { c.Input[0].Dims = []int64{320, 320} }, "input image has dims [320 320]"},
		{"grey", func(c *inference.ModelConfig) { c.Input[0].Dims = []int64{320, 320, 1} }, "3 channels (RGB) are needed"},
		{"free size", func(c *inference.ModelConfig) { c.Input[0].Dims = []int64{-1, -1, 3} }, "parameter size is missing"},
		{"huge size", func(c *inference.ModelConfig) { c.Input[0].Dims = []int64{1 << 40, 320, 3} }, "each side must be 1 to 8192"},
		{"negative size", func(c *inference.ModelConfig) { c.Input[0].Dims = []int64{-5, 320, 3} }, "each side must be 1 to 8192"},
		{"no boxes", func(c *inference.ModelConfig) { c.Output = c.Output[1:] }, "there is no output boxes"},
		{"boxes of five", func(c *inference.ModelConfig) { c.Output[0].Dims = []int64{32, 5} }, "the last must be 4"},
		{"classes against labels", set("labels", "painting"), "output probs has dims [32 3]: the last must be 2"},
		{"output type", func(c *inference.ModelConfig) { c.Output[1].DataType = inference.DataType_TYPE_FP64 }, "output probs is of TYPE_FP64"},
		{"output rank", func(c *inference.ModelConfig) { c.Output[2].Dims = []int64{32, 1} }, "output salience has dims [32 1]: 1 are needed"},
		{"candidates that disagree", func(c *inference.ModelConfig) { c.Output[2].Dims = []int64{16} }, "output salience has 16 candidates where another has 32"},
		{"decoupled", func(c *inference.ModelConfig) {
			c.ModelTransactionPolicy = &inference.ModelTransactionPolicy{Decoupled: true}
		}, "decoupled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := tritontest.DetectorConfig("detector")
			test.change(c)
			_, err := ReadContract(c)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v\nwant in it: %s", err, test.want)
			}
		})
	}
}

func TestAllFaultsAreNamedAtOnce(t *testing.T) {
	_, err := ReadContract(config(t, `name: "empty"`))
	for _, want := range []string{"model empty", "task", "resize", "scale", "fingerprint", "inputs"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
	if _, err := ReadContract(&inference.ModelConfig{}); err == nil {
		t.Error("an empty configuration was taken")
	}
}

// FuzzReadContract: a configuration comes from a server, so nothing in it may
// make the reader panic, and what it accepts must be usable.
func FuzzReadContract(f *testing.F) {
	f.Add(torchvision + parameters(torchvisionParameters...))
	text, err := prototext.Marshal(tritontest.DetectorConfig("detector"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, text string) {
		var config inference.ModelConfig
		if prototext.Unmarshal([]byte(text), &config) != nil {
			return
		}
		c, err := ReadContract(&config)
		if err != nil {
			return
		}
		in := c.Input
		if in.Width < 1 || in.Height < 1 || len(in.Shape) < 3 || len(c.Outputs) == 0 || len(c.Outputs) != len(c.Roles) {
			t.Errorf("accepted: %+v", c)
		}
	})
}
