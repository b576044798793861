package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/onnx/onnxtest"
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
		crop, detected := askBy(t, repository, "original")
		if (len(crop.Detections) > 0) != finds {
			t.Errorf("detections of the scene: %+v", crop.Detections)
		}
		nothing := []float64{0.25, 0.25, 0.75, 0.75} // what the original service answered then
		if len(detected) != 4 || slices.Equal(detected, nothing) == finds {
			t.Errorf("/detect: %v", detected)
		}
	}
}

// askBy serves with a model of a repository, and asks for the scene of the README.
func askBy(t *testing.T, repository, model string) (crop api.CropResult, detected []float64) {
	t.Helper()
	c := config.Default()
	c.Models = config.Models{Detector: config.Model{Name: model}}
	c.Triton.Local.Repository, c.Triton.Local.Install = repository, "../../build/triton"
	c.Crop.MinScore = 0.1 // random weights are not sure
	c.Server.Address, c.Admin.Address = freeAddress(t), freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, c, config.Options{}, slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	post := func(path, contentType string, body []byte, into any) int {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Server.Address+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusOK {
			if err := json.NewDecoder(response.Body).Decode(into); err != nil {
				t.Fatal(err)
			}
		}
		return response.StatusCode
	}
	photo, err := os.ReadFile(scene)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); post("/v1/crop", "image/jpeg", photo, &crop) != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("/v1/crop does not answer")
		}
		select {
		case err := <-served:
			served <- nil // for the end of the test
			t.Fatalf("the service has ended: %v", err)
		default:
		}
	}
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	part, err := parts.CreateFormFile("image", "scene.jpg")
	if err != nil {
		t.Fatal(err)
	}
	_, err = part.Write(photo)
	if err := errors.Join(err, parts.Close()); err != nil {
		t.Fatal(err)
	}
	var answer struct{ BBox []float64 }
	if status := post("/detect", parts.FormDataContentType(), form.Bytes(), &answer); status != http.StatusOK {
		t.Fatalf("/detect answers %d", status)
	}
	return crop, answer.BBox
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
