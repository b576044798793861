package main

import (
	"bytes"
	"encoding/json"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// command runs lexicrop as a shell would and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

const scene = "../../docs/images/scene.jpg"

func TestCropWritesWhatItIsAskedFor(t *testing.T) {
	// The scene of 1200x1600 fills the network's 320x320 from column 40 to 280, at a fifth of its size.
	fake := tritontest.New(t, tritontest.Detector("detector", tritontest.Candidate{
		Box: [4]float32{80, 90, 220, 190}, Probs: []float32{0, 1, 0}, Salience: 0.9,
	}))
	folder := t.TempDir()
	crop, drawing := filepath.Join(folder, "crop.png"), filepath.Join(folder, "drawing.jpg")
	out, err := command(t, "crop", scene, "--triton-address", fake.Address(), "--crop-refine-below=0", "--json", "--out", crop, "--draw", drawing)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Photo string
		api.CropResult
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got.Photo != scene || got.Crop == nil || !cmp.Equal(*got.Crop, []int{200, 450, 900, 950}) {
		t.Errorf("printed %s", out)
	}
	for file, want := range map[string]image.Point{crop: {700, 500}, drawing: {1200, 1600}} {
		if size := pictureSize(t, file); size != want {
			t.Errorf("%s is %v, want %v", file, size, want)
		}
	}
}

func pictureSize(t *testing.T, name string) image.Point {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, _, err := image.DecodeConfig(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return image.Pt(picture.Width, picture.Height)
}

// A photo that fails stops no other, and the command fails at the end.
func TestCropGoesOnAfterABadPhoto(t *testing.T) {
	fake := tritontest.New(t, tritontest.Detector("detector"))
	bad := filepath.Join(t.TempDir(), "bad.jpg")
	if err := os.WriteFile(bad, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "crop", bad, "missing.jpg", scene, "--triton-address", fake.Address())
	if err == nil || !strings.Contains(err.Error(), "2 of 3") {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{"bad.jpg", "not_an_image", "missing.jpg", "no such file", "nothing found"} {
		if !strings.Contains(out, want) {
			t.Errorf("printed no %q: %s", want, out)
		}
	}
}

func TestPlanTargets(t *testing.T) {
	folder := t.TempDir()
	tests := []struct {
		name   string
		photos []string
		flags  cropFlags
		want   []target
		fault  string
	}{
		{"nothing to write", []string{"a.jpg"}, cropFlags{}, []target{{photo: "a.jpg"}}, ""},
		{"one file", []string{"a.jpg"}, cropFlags{out: "x.webp", draw: "y.PNG"}, []target{{"a.jpg", "x.webp", "y.PNG"}}, ""},
		{"a folder", []string{"p/a.heic", "p/b.png"}, cropFlags{out: folder}, []target{
			{photo: "p/a.heic", crop: filepath.Join(folder, "a.jpg")}, {photo: "p/b.png", crop: filepath.Join(folder, "b.jpg")},
		}, ""},
		{"several to one file", []string{"a.jpg", "b.jpg"}, cropFlags{out: "x.jpg"}, nil, "need a folder"},
		{"two of one name", []string{"p/a.jpg", "q/a.jpg"}, cropFlags{draw: folder}, nil, "would be written for"},
		{"crop and drawing in one folder", []string{"a.jpg"}, cropFlags{out: folder, draw: folder}, nil, "would be written for"},
		{"a format that is not written", []string{"a.jpg"}, cropFlags{out: "x.gif"}, nil, "must end in"},
		{"a drawing as WebP", []string{"a.jpg"}, cropFlags{draw: "x.webp"}, nil, "must end in"},
		{"over the photo itself", []string{"a.jpg"}, cropFlags{out: "./a.jpg"}, nil, "the photo itself"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := planTargets(test.photos, test.flags)
			if (err != nil) != (test.fault != "") || err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Fatalf("the error is %v, want %q", err, test.fault)
			}
			if d := cmp.Diff(test.want, got, cmp.AllowUnexported(target{})); err == nil && d != "" {
				t.Error(d)
			}
		})
	}
}

func TestModelsListAndVerify(t *testing.T) {
	repository := "../../modelrepo/models"
	out, err := command(t, "models", "list", "--triton-local-repository", repository)
	if err != nil || !strings.Contains(out, "detector") || !strings.Contains(out, "painting,object") {
		t.Errorf("%v: %s", err, out)
	}
	fake := tritontest.New(t, tritontest.Detector("detector"))
	out, err = command(t, "models", "verify", "detector", "--triton-local-repository", repository, "--triton-address", fake.Address())
	if err != nil || !strings.Contains(out, "it answers") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err = command(t, "models", "verify", "other", "--triton-local-repository", repository); err == nil || !strings.Contains(err.Error(), "no model other") {
		t.Errorf("an unknown model: %v", err)
	}
}

func TestConfigCheckAndPrint(t *testing.T) {
	out, err := command(t, "config", "print", "--server-address", ":9999")
	if err != nil || !strings.Contains(out, `":9999"`) {
		t.Fatalf("%v: %s", err, out)
	}
	file := filepath.Join(t.TempDir(), "lexicrop.yaml")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "config", "check", "--config", file); err != nil || !strings.Contains(out, file) {
		t.Errorf("what was printed is not right: %v: %s", err, out)
	}
	_, err = command(t, "config", "check", "--server-address", "nowhere", "--crop-padding", "7")
	if err == nil || !strings.Contains(err.Error(), "server.address") || !strings.Contains(err.Error(), "crop.padding") {
		t.Errorf("two faults were told as %v", err)
	}
}

func TestHealthcheck(t *testing.T) {
	ready := true
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			http.Error(w, "the model is gone", http.StatusServiceUnavailable)
		}
	}))
	defer admin.Close()
	address := admin.Listener.Addr().String()
	if out, err := command(t, "healthcheck", "--admin-address", address); err != nil || out != "ready\n" {
		t.Errorf("%v: %s", err, out)
	}
	ready = false
	if _, err := command(t, "healthcheck", "--admin-address", address); err == nil || !strings.Contains(err.Error(), "the model is gone") {
		t.Errorf("%v", err)
	}
	admin.Close()
	if _, err := command(t, "healthcheck", "--admin-address", address); err == nil {
		t.Error("a service that is not there is healthy")
	}
}

func TestServeTellsWhatHindersIt(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	_, err := command(t, "serve", "--server-address", taken.Listener.Addr().String(), "--admin-address", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "server.address") {
		t.Errorf("a port that is taken: %v", err)
	}
	_, err = command(t, "serve", "--server-address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", "--triton-local-install", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "make run") {
		t.Errorf("a Triton that is not installed: %v", err)
	}
}
