package brought

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/onnx"
	"github.com/lexicam/lexicrop/modelrepo/onnx/onnxtest"
	"github.com/lexicam/lexicrop/triton"
)

var update = flag.Bool("update", false, "write the golden configurations in testdata again")

// file is a network with these inputs and outputs.
func file(t testing.TB, inputs, outputs []onnxtest.Tensor) *onnx.Model {
	t.Helper()
	m, err := onnx.Read(bytes.NewReader(onnxtest.Model{Inputs: inputs, Outputs: outputs}.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func float(name string, dims ...int64) onnxtest.Tensor {
	return onnxtest.Tensor{Name: name, Type: onnxtest.Float, Dims: dims}
}

func half(name string, dims ...int64) onnxtest.Tensor {
	return onnxtest.Tensor{Name: name, Type: onnxtest.Float16, Dims: dims}
}

func uint8s(name string, dims ...int64) onnxtest.Tensor {
	return onnxtest.Tensor{Name: name, Type: onnxtest.Uint8, Dims: dims}
}

func int64s(name string, dims ...int64) onnxtest.Tensor {
	return onnxtest.Tensor{Name: name, Type: onnxtest.Int64, Dims: dims}
}

func of(tensors ...onnxtest.Tensor) []onnxtest.Tensor { return tensors }

var (
	torchvisionInput  = of(float("images", 3, -1, -1))
	torchvisionOutput = of(float("boxes", -1, 4), int64s("labels", -1), float("scores", -1))
	labels            = []string{"painting", "object"}
)

// The networks that people have, and all that is found out of them without being told.
func TestNewDraft(t *testing.T) {
	for _, test := range []struct {
		name            string
		inputs, outputs []onnxtest.Tensor
		options         Options
		want            modelrepo.Contract // as far as it is said
	}{
		{
			"torchvision as the original service exported it", torchvisionInput, torchvisionOutput,
			Options{Decoder: modelrepo.DecoderTorchvision, Labels: labels},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "images", DType: triton.FP32, Layout: modelrepo.LayoutNCHW, Width: 320, Height: 480, Shape: []int64{3, 480, 320}},
				Resize: modelrepo.ResizeLetterbox, Scale: modelrepo.Scale1, Decoder: modelrepo.DecoderTorchvision, MaxBatch: 1,
				Outputs: []triton.TensorSpec{{Name: "boxes", DType: triton.FP32, Shape: []int64{-1, 4}}, {Name: "labels", DType: triton.Int64, Shape: []int64{-1}}, {Name: "scores", DType: triton.FP32, Shape: []int64{-1}}},
			},
		},
		{
			"torchvision with the names that PyTorch makes up, and masks", of(float("input.1", 1, 3, 320, 640)),
			of(float("2534", -1, 4), int64s("2535", -1), float("2572", -1), float("2580", -1, 1, -1, -1)), Options{Labels: labels},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "input.1", DType: triton.FP32, Layout: modelrepo.LayoutNCHW, Width: 640, Height: 320, Shape: []int64{1, 3, 320, 640}},
				Resize: modelrepo.ResizeLetterbox, Scale: modelrepo.Scale1, Decoder: modelrepo.DecoderTorchvision, MaxBatch: 1,
				Outputs: []triton.TensorSpec{{Name: "2534", DType: triton.FP32, Shape: []int64{-1, 4}}, {Name: "2535", DType: triton.Int64, Shape: []int64{-1}}, {Name: "2572", DType: triton.FP32, Shape: []int64{-1}}},
			},
		},
		{
			"torchvision of whose outputs the file tells no shapes", torchvisionInput,
			of(float("boxes"), int64s("labels"), float("scores")), Options{Labels: labels, Width: 640, Height: 640, Resize: modelrepo.ResizeStretch, Scale: modelrepo.Scale255},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "images", DType: triton.FP32, Layout: modelrepo.LayoutNCHW, Width: 640, Height: 640, Shape: []int64{3, 640, 640}},
				Resize: modelrepo.ResizeStretch, Scale: modelrepo.Scale255, Decoder: modelrepo.DecoderTorchvision, MaxBatch: 1,
				Outputs: []triton.TensorSpec{{Name: "boxes", DType: triton.FP32, Shape: []int64{-1, 4}}, {Name: "labels", DType: triton.Int64, Shape: []int64{-1}}, {Name: "scores", DType: triton.FP32, Shape: []int64{-1}}},
			},
		},
		{
			"candidates like our own", of(uint8s("image", -1, 320, 320, 3)),
			of(float("boxes", -1, 32, 4), float("probs", -1, 32, 3), float("salience", -1, 32)), Options{Labels: labels},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "image", DType: triton.Uint8, Layout: modelrepo.LayoutNHWC, Width: 320, Height: 320, Shape: []int64{1, 320, 320, 3}},
				Resize: modelrepo.ResizeLetterbox, Scale: modelrepo.Scale255, Decoder: modelrepo.DecoderCandidates, MaxBatch: 8,
				Outputs: []triton.TensorSpec{{Name: "boxes", DType: triton.FP32, Shape: []int64{1, 32, 4}}, {Name: "probs", DType: triton.FP32, Shape: []int64{1, 32, 3}}, {Name: "salience", DType: triton.FP32, Shape: []int64{1, 32}}},
			},
		},
		{
			"DETR in half precision, as Hugging Face names its outputs", of(half("pixel_values", -1, 3, 640, 480)),
			of(half("logits", -1, 100, 3), half("pred_boxes", -1, 100, 4)), Options{Labels: labels, Scale: modelrepo.ScaleImageNet, MaxBatch: 4},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "pixel_values", DType: triton.FP16, Layout: modelrepo.LayoutNCHW, Width: 480, Height: 640, Shape: []int64{1, 3, 640, 480}},
				Resize: modelrepo.ResizeLetterbox, Scale: modelrepo.ScaleImageNet, Decoder: modelrepo.DecoderDETR, MaxBatch: 4,
				Outputs: []triton.TensorSpec{{Name: "pred_boxes", DType: triton.FP16, Shape: []int64{1, 100, 4}}, {Name: "logits", DType: triton.FP16, Shape: []int64{1, 100, 3}}},
			},
		},
		{
			"DETR of three classes, whose logits are as long as boxes", of(half("x", 1, 3, 64, 64)),
			of(half("class_logits", 1, 100, 4), half("pred_boxes", 1, 100, 4)), Options{Labels: []string{"a", "b", "c"}, Scale: modelrepo.Scale1},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "x", DType: triton.FP16, Layout: modelrepo.LayoutNCHW, Width: 64, Height: 64, Shape: []int64{1, 3, 64, 64}},
				Resize: modelrepo.ResizeLetterbox, Scale: modelrepo.Scale1, Decoder: modelrepo.DecoderDETR, MaxBatch: 1,
				Outputs: []triton.TensorSpec{{Name: "pred_boxes", DType: triton.FP16, Shape: []int64{1, 100, 4}}, {Name: "class_logits", DType: triton.FP16, Shape: []int64{1, 100, 4}}},
			},
		},
		{
			"a batch that is free in the input alone", of(float("x", -1, 3, 64, 64)), torchvisionOutput, Options{Labels: labels, MaxBatch: 8},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "x", DType: triton.FP32, Layout: modelrepo.LayoutNCHW, Width: 64, Height: 64, Shape: []int64{1, 3, 64, 64}},
				Resize: modelrepo.ResizeLetterbox, Scale: modelrepo.Scale1, Decoder: modelrepo.DecoderTorchvision, MaxBatch: 1,
				Outputs: []triton.TensorSpec{{Name: "boxes", DType: triton.FP32, Shape: []int64{-1, 4}}, {Name: "labels", DType: triton.Int64, Shape: []int64{-1}}, {Name: "scores", DType: triton.FP32, Shape: []int64{-1}}},
			},
		},
		{
			"an embedder", of(float("pixels", -1, 3, 224, 224)), of(float("last_hidden_state", -1, 197, 384), float("pooled", -1, 384)),
			Options{Space: "works-2", Scale: modelrepo.ScaleImageNet},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "pixels", DType: triton.FP32, Layout: modelrepo.LayoutNCHW, Width: 224, Height: 224, Shape: []int64{1, 3, 224, 224}},
				Resize: modelrepo.ResizeStretch, Scale: modelrepo.ScaleImageNet, Space: "works-2", Dimensions: 384, MaxBatch: 8,
				Outputs: []triton.TensorSpec{{Name: "pooled", DType: triton.FP32, Shape: []int64{1, 384}}},
			},
		},
		{
			"an embedder of two vectors, one of them named", of(uint8s("x", 48, 48, 3)), of(float("a", 8), float("b", 16)),
			Options{Task: modelrepo.TaskEmbedder, Space: "s", Outputs: map[modelrepo.Role]string{modelrepo.RoleEmbedding: "b"}},
			modelrepo.Contract{
				Input:  modelrepo.Input{Name: "x", DType: triton.Uint8, Layout: modelrepo.LayoutNHWC, Width: 48, Height: 48, Shape: []int64{48, 48, 3}},
				Resize: modelrepo.ResizeStretch, Scale: modelrepo.Scale255, Space: "s", Dimensions: 16, MaxBatch: 1,
				Outputs: []triton.TensorSpec{{Name: "b", DType: triton.FP32, Shape: []int64{16}}},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := NewDraft("mine", file(t, test.inputs, test.outputs), test.options)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := d.contract(strings.Repeat("0", 64))
			if err != nil {
				t.Fatal(err)
			}
			rest := cmpopts.IgnoreFields(modelrepo.Contract{}, "Name", "Task", "Roles", "Boxes", "Labels", "Pad", "Align", "Filter", "Fingerprint")
			if diff := cmp.Diff(test.want, got, rest); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a person did wrong, and what the message must tell to help.
func TestNewDraftSaysWhatIsMissing(t *testing.T) {
	candidates := of(float("boxes", -1, 32, 4), float("probs", -1, 32, 3))
	for _, test := range []struct {
		name            string
		inputs, outputs []onnxtest.Tensor
		options         Options
		want            []string
	}{
		{"no labels", torchvisionInput, torchvisionOutput, Options{Decoder: "torchvision"}, []string{"--labels painting,object"}},
		{"no labels, but classes", of(uint8s("image", -1, 320, 320, 3)), candidates, Options{}, []string{"--labels with 2 names"}},
		{"too few labels", of(uint8s("image", -1, 320, 320, 3)), candidates, Options{Labels: labels[:1]}, []string{"--labels gives 1 names", "2 classes"}},
		{"an empty label", torchvisionInput, torchvisionOutput, Options{Labels: []string{"a", ""}}, []string{"label 2 is empty"}},
		{"another decoder", torchvisionInput, torchvisionOutput, Options{Decoder: "candidates", Labels: labels}, []string{"--decoder candidates does not fit", "probs", "scores FP32 [-1]", "--decoder torchvision"}},
		{"no such decoder", torchvisionInput, torchvisionOutput, Options{Decoder: "yolo", Labels: labels}, []string{`no decoder "yolo"`, "candidates, torchvision, detr"}},
		{"no decoder fits", torchvisionInput, of(float("output0", 1, 84, 8400)), Options{Labels: labels}, []string{"fit no decoder", "output0 FP32 [1 84 8400]"}},
		{"several decoders fit", of(uint8s("x", 1, 64, 64, 3)), of(float("a", 1, 100, 4), float("b", 1, 100, 3)), Options{Labels: labels}, []string{"--decoder", "candidates, detr"}},
		{"outputs that look alike", of(uint8s("x", 1, 64, 64, 3)), of(float("a", 1, 100, 4), float("b", 1, 100, 4)), Options{Decoder: "detr", Labels: []string{"a", "b", "c"}}, []string{"--outputs boxes=NAME", "a FP32 [1 100 4]"}},
		{"an output that is not there", torchvisionInput, torchvisionOutput, Options{Labels: labels, Decoder: "torchvision", Outputs: map[modelrepo.Role]string{"boxes": "dets"}}, []string{"no output dets"}},
		{"an output of another kind", torchvisionInput, torchvisionOutput, Options{Labels: labels, Decoder: "torchvision", Outputs: map[modelrepo.Role]string{"boxes": "scores"}}, []string{"scores FP32 [-1] cannot be boxes"}},
		{"two inputs", append(torchvisionInput, int64s("orig_target_sizes", 1, 2)), torchvisionOutput, Options{Labels: labels}, []string{"takes 2 inputs", "orig_target_sizes INT64 [1 2]"}},
		{"an input of text", of(int64s("input_ids", 1, 77)), torchvisionOutput, Options{Labels: labels}, []string{"input_ids INT64", "UINT8, FP32 or FP16"}},
		{"an input of rank 2", of(float("x", 1, 784)), torchvisionOutput, Options{Labels: labels}, []string{"height, width and 3 channels"}},
		{"an input of no shape", of(float("x")), torchvisionOutput, Options{Labels: labels}, []string{"height, width and 3 channels"}},
		{"grey", of(float("x", 1, 1, 64, 64)), torchvisionOutput, Options{Labels: labels}, []string{"--layout"}},
		{"grey, said to be otherwise", of(float("x", 1, 1, 64, 64)), torchvisionOutput, Options{Labels: labels, Layout: "nchw"}, []string{"3 channels (RGB)"}},
		{"four pictures at once", of(float("x", 4, 3, 64, 64)), torchvisionOutput, Options{Labels: labels}, []string{"4 pictures at once"}},
		{"all free", of(float("x", -1, -1, -1, -1)), torchvisionOutput, Options{Labels: labels}, []string{"--layout"}},
		{"a free size", of(uint8s("x", -1, -1, -1, 3)), candidates, Options{Labels: labels}, []string{"--size WIDTHxHEIGHT"}},
		{"another size", of(uint8s("x", -1, 320, 320, 3)), candidates, Options{Labels: labels, Width: 640, Height: 640}, []string{"--size is 640x640", "320 320"}},
		{"floats of some scale", of(float("x", 1, 3, 64, 64)), of(float("embedding", 1, 8)), Options{Space: "s"}, []string{"--scale", "imagenet"}},
		{"bytes of another scale", of(uint8s("x", -1, 320, 320, 3)), candidates, Options{Labels: labels, Scale: "0..1"}, []string{"UINT8"}},
		{"a scale that is none", torchvisionInput, torchvisionOutput, Options{Labels: labels, Scale: "-1..1"}, []string{`scale is "-1..1"`}},
		{"an embedder of no space", of(uint8s("x", 64, 64, 3)), of(float("v", 8)), Options{Task: "embedder"}, []string{"--space"}},
		{"an embedder of free length", of(uint8s("x", 64, 64, 3)), of(float("v", -1)), Options{Space: "s"}, []string{"length must be fixed"}},
		{"an embedder that answers boxes", torchvisionInput, of(float("boxes", 1, 100, 4)), Options{Space: "s"}, []string{"one vector a picture", "boxes FP32 [1 100 4]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewDraft("mine", file(t, test.inputs, test.outputs), test.options)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error is %v\nwant in it: %s", err, want)
				}
			}
		})
	}
	for _, name := range []string{"", ".hidden", "a/b", "..", "a b", "ä"} {
		if _, err := NewDraft(name, file(t, torchvisionInput, torchvisionOutput), Options{Labels: labels}); err == nil {
			t.Errorf("a model may be called %q", name)
		}
	}
	outside := file(t, torchvisionInput, torchvisionOutput)
	outside.External = []string{"model.onnx.data"}
	if _, err := NewDraft("mine", outside, Options{Labels: labels}); err == nil || !strings.Contains(err.Error(), "model.onnx.data") {
		t.Errorf("weights in another file: %v", err)
	}
}

// The configurations as people will read them: go test ./modelrepo/brought -update writes them again.
func TestConfigurationsAreAsExpected(t *testing.T) {
	for name, test := range map[string]struct {
		file    *onnx.Model
		options Options
	}{
		"torchvision": {file(t, torchvisionInput, torchvisionOutput), Options{Labels: labels}},
		"detr": {
			file(t, of(half("pixel_values", -1, 3, 640, 480)), of(half("logits", -1, 100, 3), half("pred_boxes", -1, 100, 4))),
			Options{Labels: labels, Scale: modelrepo.ScaleImageNet, Boxes: modelrepo.BoxFormat{Order: modelrepo.BoxXYXY}, Engine: "onnxruntime", Align: modelrepo.AlignTopLeft, Pad: 114},
		},
		"embedder": {file(t, of(uint8s("image", -1, 224, 224, 3)), of(float("v", -1, 256))), Options{Space: "works-2"}},
	} {
		d, err := NewDraft("mine", test.file, test.options)
		if err != nil {
			t.Fatal(err)
		}
		for _, profile := range []string{"config", "cpu", "gpu"} {
			golden := filepath.Join("testdata", name, profile+".pbtxt")
			got, err := d.render(profile, strings.Repeat("0", 64))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s: %s", golden, diff)
			}
		}
	}
}

// FuzzNewDraft: whatever a file says, a draft of it is a contract or an error.
func FuzzNewDraft(f *testing.F) {
	for _, m := range []onnxtest.Model{
		{Inputs: torchvisionInput, Outputs: torchvisionOutput},
		{Inputs: of(uint8s("image", -1, 320, 320, 3)), Outputs: of(float("boxes", -1, 32, 4), float("probs", -1, 32, 3))},
		{Inputs: of(half("x", 1, 3, 64, 64)), Outputs: of(half("logits", -1, 100, 3), half("pred_boxes", -1, 100, 4), float("v", 8))},
	} {
		f.Add(m.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, o := range []Options{{Labels: labels}, {Labels: labels, Decoder: "detr", Scale: "0..1", Width: 64, Height: 64}, {Space: "s", Scale: "0..1"}} {
			d, err := NewDraft("mine", m, o)
			if err != nil {
				continue
			}
			c, _, err := d.contract(strings.Repeat("0", 64))
			if err != nil || len(c.Outputs) == 0 || c.Input.Width < 1 {
				t.Errorf("%+v, %v", c, err)
			}
		}
	})
}
