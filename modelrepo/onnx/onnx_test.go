package onnx

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/modelrepo/onnx/onnxtest"
	"github.com/lexicam/lexicrop/triton"
)

// detr is a model with most of what a file can have.
func detr() onnxtest.Model {
	return onnxtest.Model{
		Producer: "pytorch",
		Opset:    11,
		Inputs:   []onnxtest.Tensor{{Name: "images", Type: onnxtest.Float16, Dims: []int64{-1, 3, 640, 480}}},
		Outputs: []onnxtest.Tensor{
			{Name: "boxes", Type: onnxtest.Float, Dims: []int64{-1, 100, 4}},
			{Name: "labels", Type: onnxtest.Int64, Dims: nil},
			{Name: "one", Type: onnxtest.Float, Dims: []int64{}},
		},
		Nodes:   []onnxtest.Node{{Operator: "Conv", Inputs: []string{"images", "w"}, Outputs: []string{"boxes"}, Ints: map[string][]int64{"pads": {1, 1}}}},
		Weights: []onnxtest.Weights{{Name: "w", Dims: []int64{2}, Floats: []float32{1, 2}}, {Name: "v", Dims: []int64{1}, Int64s: []int64{7}}},
		Domains: map[string]int64{"com.microsoft": 1},
	}
}

func TestRead(t *testing.T) {
	got, err := Read(bytes.NewReader(detr().Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	want := &Model{
		Opset: 11, Producer: "pytorch", Weights: 2,
		Inputs: []Tensor{{"images", triton.FP16, []int64{-1, 3, 640, 480}}},
		Outputs: []Tensor{
			{"boxes", triton.FP32, []int64{-1, 100, 4}}, {"labels", triton.Int64, nil}, {"one", triton.FP32, []int64{}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadTheShippedDetector(t *testing.T) {
	file, err := os.Open("../models/detector/1/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Tensor{{"image", triton.Uint8, []int64{-1, 320, 320, 3}}}, m.Inputs); d != "" || m.Opset < 11 || m.Weights < 10 {
		t.Errorf("%+v %s", m, d)
	}
}

// Files of the format's version 3 list their weights among the inputs.
func TestWeightsAreNoInputs(t *testing.T) {
	model := detr()
	model.Inputs = append([]onnxtest.Tensor{{Name: "w", Type: onnxtest.Float, Dims: []int64{2}}}, model.Inputs...)
	m, err := Read(bytes.NewReader(model.Bytes()))
	if err != nil || len(m.Inputs) != 1 || m.Inputs[0].Name != "images" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestWeightsInOtherFilesAreNamed(t *testing.T) {
	model := detr()
	for _, name := range []string{"b.data", "a.data", "b.data"} {
		model.Weights = append(model.Weights, onnxtest.Weights{Name: name, Dims: []int64{4}, External: name})
	}
	m, err := Read(bytes.NewReader(model.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a.data", "b.data"}, m.External); d != "" {
		t.Error(d)
	}
}

func TestReadRefusesWhatIsNoONNX(t *testing.T) {
	whole := detr().Bytes()
	for _, test := range []struct{ name, file, want string }{
		{"nothing", "", "an empty file"},
		{"PyTorch", "PK\x03\x04more", "a ZIP archive"},
		{"Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"},
		{"a page", "<!DOCTYPE html><html>", "HTML"},
		{"OpenVINO", `<?xml version="1.0"?><net>`, "OpenVINO"},
		{"TensorFlow Lite", "\x1c\x00\x00\x00TFL3\x00\x00", "TensorFlow Lite"},
		{"a picture", "\xff\xd8\xff\xe0", "a JPEG picture"},
		{"text", "hello, this is no network at all", "makes no sense"},
		{"zeros", strings.Repeat("\x00", 1000), "makes no sense"},
		{"only a version", "\x08\x08", "there is no graph"},
		{"a graph of nothing", "\x08\x08\x3a\x00", "no outputs"},
		{"an overlong number", "\x08" + strings.Repeat("\xff", 20), "makes no sense"},
		{"a field longer than its message", "\x3a\x04\x2a\x7f\x00\x00", "makes no sense"},
		{"a length over all bounds", "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "makes no sense"},
		{"a graph that is a number", "\x38\x01", "makes no sense"},
	} {
		_, err := Read(strings.NewReader(test.file))
		if !errors.Is(err, ErrNotONNX) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want something about %s", test.name, err, test.want)
		}
	}
	// Cut at any place: the graph is the last field, so nothing shorter is whole.
	for n := range whole {
		if _, err := Read(bytes.NewReader(whole[:n])); !errors.Is(err, ErrNotONNX) {
			t.Errorf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
	gone := errors.New("the disk is gone")
	if _, err := Read(io.MultiReader(bytes.NewReader(whole[:40]), failing{gone})); !errors.Is(err, gone) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A file with half a gigabyte of weights is read in the memory of a small one.
func TestWeightsArePassedOver(t *testing.T) {
	const size = 1 << 29
	small := detr()
	small.Weights = nil
	head := small.Bytes()
	// A second graph message is merged into the first: one initializer of size bytes.
	length := func(n int) []byte {
		return []byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n>>14) | 0x80, byte(n>>21) | 0x80, byte(n >> 28)}
	}
	huge := append([]byte{0x3a}, length(size+12)...)
	huge = append(append(huge, 0x2a), length(size+6)...)
	huge = append(append(huge, 0x4a), length(size)...)
	read := func(r io.Reader) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Read(r)
		runtime.ReadMemStats(&after)
		if err != nil || len(m.Outputs) != 3 || m.Weights != 1 {
			t.Fatalf("%+v, %v", m, err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	if took := read(io.MultiReader(bytes.NewReader(head), bytes.NewReader(huge), io.LimitReader(zeros{}, size))); took > 1<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// FuzzRead: a user's file may hold anything.
func FuzzRead(f *testing.F) {
	whole := detr().Bytes()
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("\x08\x08\x3a\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := Read(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, ErrNotONNX) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if len(m.Outputs) == 0 {
			t.Errorf("accepted: %+v", m)
		}
		for _, tensor := range append(m.Inputs, m.Outputs...) {
			for _, d := range tensor.Dims {
				if d < -1 {
					t.Errorf("accepted: %+v", tensor)
				}
			}
		}
	})
}
