package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/onnx/onnxtest"
	"github.com/lexicam/lexicrop/service"
)

// torchvisionFile is torchvision's Faster R-CNN as the original service exported it. Its weights are
// random, so with a threshold it detects nothing and without one anything.
func torchvisionFile(t *testing.T, threshold string) string {
	t.Helper()
	python, err := filepath.Abs("../../build/training/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("training/setup.sh makes what this test needs: %v", err)
		}
		t.Skipf("training/setup.sh makes what this test needs: %v", err)
	}
	script, err := filepath.Abs("testdata/original.py")
	if err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Abs("../../build/models/torchvision-" + threshold + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	export := exec.CommandContext(t.Context(), python, script, file, threshold)
	export.Dir = t.TempDir() // beside the folder triton, PyTorch would import that
	if out, err := export.CombinedOutput(); err != nil {
		t.Fatalf("exporting: %v: %s", err, out)
	}
	return file
}

func needsTriton(t *testing.T) {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
}

// add runs models add on a repository with the local Triton of this checkout.
func add(t *testing.T, repository, name string, flags ...string) (string, error) {
	t.Helper()
	return command(t, append([]string{"models", "add", name, "--triton-local-repository", repository, "--triton-local-install", "../../build/triton"}, flags...)...)
}

// The file of the original service is brought in unchanged, a real Triton runs it, and photos are
// cropped with it, whether it detects something or nothing.
func TestTheOriginalServicesModelIsBroughtAndServes(t *testing.T) {
	needsTriton(t)
	for threshold, finds := range map[string]bool{"0.05": true, "0.99": false} {
		repository := t.TempDir()
		out, err := add(t, repository, "original", "--onnx", torchvisionFile(t, threshold), "--decoder", "torchvision", "--labels", "painting,object")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range []string{"images FP32 [3 -1 -1]", "labels INT64 [-1]", "one inference", "blank picture:", "added"} {
			if !strings.Contains(out, want) {
				t.Errorf("printed no %q: %s", want, out)
			}
		}
		if strings.Contains(out, "nothing is seen") == finds {
			t.Errorf("printed: %s", out)
		}
		models, err := modelrepo.Open(repository)
		if err != nil || len(models) != 1 || models[0].Verify() != nil || len(models[0].Profiles) != 2 {
			t.Fatalf("%+v, %v", models, err)
		}
		crop := cropBy(t, repository, "original")
		if (len(crop.Detections) > 0) != finds {
			t.Errorf("detections of the scene: %+v", crop.Detections)
		}
	}
}

// cropBy crops the scene of the README by a model of a repository.
func cropBy(t *testing.T, repository, model string) *service.Crop {
	t.Helper()
	c := config.Default()
	c.Models = config.Models{Detector: config.Model{Name: model}}
	c.Triton.Local.Repository, c.Triton.Local.Install = repository, "../../build/triton"
	log := slog.New(slog.DiscardHandler)
	backend, err := openBackend(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	defer backend.close() //nolint:errcheck // what it could tell is the next test's
	svc := newService(c, backend.client, prometheus.NewRegistry(), log)
	defer svc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := svc.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	photo, err := os.ReadFile(scene)
	if err != nil {
		t.Fatal(err)
	}
	crop, err := svc.Crop(ctx, photo, service.CropOptions{Detections: 3})
	if err != nil {
		t.Fatal(err)
	}
	return crop
}

// OpenVINO has no operators of ai.onnx.ml: ONNX Runtime takes over. Whatever the engine, layout and
// type, the vector is the mean colour.
func TestAnEmbedderIsBroughtByAnyEngine(t *testing.T) {
	needsTriton(t)
	input := onnxtest.Tensor{Name: "x", Type: onnxtest.Float, Dims: []int64{-1, 3, 32, 32}}
	output := []onnxtest.Tensor{{Name: "v", Type: onnxtest.Float, Dims: []int64{-1, 3}}}
	mean := onnxtest.Node{Operator: "ReduceMean", Inputs: []string{"x"}, Outputs: []string{"m"}, Ints: map[string][]int64{"axes": {2, 3}}, Int: map[string]int64{"keepdims": 0}}
	scale := onnxtest.Node{Operator: "Scaler", Domain: "ai.onnx.ml", Inputs: []string{"m"}, Outputs: []string{"v"}, Floats: map[string][]float32{"offset": {-1, -1, -1}, "scale": {1, 1, 0.1}}}
	file := filepath.Join(t.TempDir(), "mean.onnx")
	network := onnxtest.Model{Inputs: []onnxtest.Tensor{input}, Outputs: output, Nodes: []onnxtest.Node{mean, scale}, Domains: map[string]int64{"ai.onnx.ml": 1}}
	if err := os.WriteFile(file, network.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	repository := t.TempDir()
	out, err := add(t, repository, "mean", "--onnx", file, "--space", "mean", "--scale", "0..1")
	if err != nil || !strings.Contains(out, "3 values of length") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := add(t, repository, "other", "--onnx", file, "--space", "mean", "--scale", "0..1", "--engine", "openvino"); err == nil {
		t.Errorf("OpenVINO runs it too, so nothing is tested here: %s", out)
	}
	if left, err := os.ReadDir(repository); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestAddONNXSaysWhatIsWrong(t *testing.T) {
	needsTriton(t)
	detector := "../../modelrepo/models/detector/1/model.onnx"
	for _, test := range []struct {
		name, want string
		flags      []string
	}{
		{"no file", "no such file", []string{"--onnx", "nowhere.onnx"}},
		{"no ONNX", "no ONNX file", []string{"--onnx", scene}},
		{"no labels", "names of its classes", []string{"--onnx", detector}},
		{"too few labels", "probs has shape [1 32 3]", []string{"--onnx", detector, "--labels", "a"}},
		{"no decoder of that name", "no decoder", []string{"--onnx", detector, "--labels", "a,b", "--decoder", "yolo"}},
		{"no size", "WIDTHxHEIGHT", []string{"--onnx", detector, "--labels", "a,b", "--size", "big"}},
		{"no engine", "--engine", []string{"--onnx", detector, "--labels", "a,b", "--engine", "tensorrt"}},
		{"no file at all", "--onnx FILE", nil},
	} {
		repository := t.TempDir()
		out, err := add(t, repository, "mine", test.flags...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v: %s", test.name, err, out)
		}
		if left, err := os.ReadDir(repository); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", test.name, left, err)
		}
	}
}

// Our own detector under the wrong decoder has the right shapes, and is found out by its answer.
func TestAWrongDecoderIsFoundOutByTheAnswer(t *testing.T) {
	needsTriton(t)
	repository := t.TempDir()
	out, err := add(t, repository, "mine", "--onnx", "../../modelrepo/models/detector/1/model.onnx", "--labels", "a,b", "--decoder", "detr", "--outputs", "logits=probs")
	if err == nil || !strings.Contains(err.Error(), "in pixels?") {
		t.Errorf("%v: %s", err, out)
	}
	if left, err := os.ReadDir(repository); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
