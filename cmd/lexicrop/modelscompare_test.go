package main

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/triton/tritontest"
)

func TestModelsCompare(t *testing.T) {
	// In the network's 320x320 the scene is 240 wide; the two boxes share a half of the first.
	work := func(x2 float32, label int) tritontest.Candidate {
		probs := []float32{0, 0, 0}
		probs[label] = 1
		return tritontest.Candidate{Box: [4]float32{80, 90, x2, 190}, Probs: probs, Salience: 0.9}
	}
	fake := tritontest.New(t, tritontest.Detector("small", work(220, 1)), tritontest.Detector("large", work(150, 1)),
		tritontest.Detector("blind"), tritontest.Embedder("embedder"))
	photos, pictures := t.TempDir(), filepath.Join(t.TempDir(), "new", "pictures")
	picture, err := os.ReadFile(scene)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one.jpg", "two.jpg"} {
		if err := os.WriteFile(filepath.Join(photos, name), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compare := func(args ...string) (string, error) {
		return command(t, append([]string{"models", "compare", "--triton-address", fake.Address(), "--crop-refine-below=0"}, args...)...)
	}
	out, err := compare("small", "large", "--photos", photos, "--pictures", pictures)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`A is small/1, B is large/1; 2 photos`, `the same work first: +100.0 %`, `nearly the same box: +0.0 %`,
		`IoU: +mean 0.500, median 0.500`, `other label: +0 of`, `worst: +one.jpg 0.50 two.jpg 0.50`, `one inference of B: +median [0-9.]+ ms`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	for _, name := range []string{"001-one.jpg", "002-two.jpg"} {
		if size := pictureSize(t, filepath.Join(pictures, name)); size != image.Pt(750, 1000+legendHeight) {
			t.Errorf("%s is %v", name, size)
		}
	}
	if out, err := compare("small", "blind", "--photos", photos); err != nil || !strings.Contains(out, "A alone 2, B alone 0, neither 0") {
		t.Errorf("one that finds nothing: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(photos, "bad.jpg"), []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a bad photo":       {[]string{"small", "large", "--photos", photos}, "1 of 3 photos failed"},
		"no photos":         {[]string{"small", "large"}, "--photos"},
		"an empty folder":   {[]string{"small", "large", "--photos", t.TempDir()}, "no pictures"},
		"itself":            {[]string{"small", "small", "--photos", photos}, "nothing to compare"},
		"another task":      {[]string{"small", "embedder", "--photos", photos}, "cannot be compared"},
		"one that is not":   {[]string{"small", "nothere", "--photos", photos}, "nothere"},
		"a version missing": {[]string{"detector", "embedder/7", "--photos", photos, "--triton-address=", "--triton-local-repository=../../modelrepo/models"}, "has the versions [1], not 7"},
	} {
		if _, err := compare(test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// twin writes a model of the repository into another one, under a name and with what Python makes of its
// results; none leaves them.
func twin(t *testing.T, repository, model, name, results string) {
	t.Helper()
	original := filepath.Join("../../modelrepo/models", model)
	for _, file := range []string{"config.pbtxt", "1/model.py", "1/model.onnx"} {
		content, err := os.ReadFile(filepath.Join(original, file))
		if err != nil {
			t.Fatal(err)
		}
		if file == "1/model.py" && results != "" {
			const run = "self.run(tensors)"
			if bytes.Count(content, []byte(run)) != 1 {
				t.Fatalf("the program of the model has no %q any more", run)
			}
			content = bytes.Replace(content, []byte(run), []byte("altered("+run+")"), 1)
			content = append(content, "\n\ndef altered(results):\n    "+results+"\n"...)
		}
		path := filepath.Join(repository, name, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The models of the repository on a real Triton beside twins that answer something else by rule.
func TestModelsCompareOnARealTriton(t *testing.T) {
	needsTriton(t)
	repository := t.TempDir()
	twin(t, repository, "detector", "detector", "")
	twin(t, repository, "detector", "half", "boxes = results[0].copy(); boxes[..., 2] = boxes[..., [0, 2]].mean(-1); return [boxes, *results[1:]]")
	twin(t, repository, "embedder", "embedder", "")
	twin(t, repository, "embedder", "negative", "return [-r for r in results]")
	for _, test := range []struct {
		a, b  string
		want  []string
		drawn int
	}{
		{"detector", "half", []string{
			`A is detector/1, B is half/1; 3 photos`, `the same work first: +[0-9.]+ %`, `nearly the same box: +0.0 %`, `IoU: +mean 0\.(49|50)`,
			`other label: +0 of`, `one inference of A: +median [0-9.]+ ms`,
		}, 3},
		{"embedder", "negative", []string{`cosine: +mean -1.0000`, `the same photo nearest: +100.0 %`}, 0},
	} {
		pictures := t.TempDir()
		out, err := command(t, "models", "compare", test.a, test.b, "--photos", "../../docs/images", "--pictures", pictures, "--crop-refine-below=0",
			"--triton-local-repository", repository, "--triton-local-install", "../../build/triton")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, want := range test.want {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if drawn, err := os.ReadDir(pictures); err != nil || len(drawn) != test.drawn {
			t.Errorf("%d pictures are drawn, want %d: %v", len(drawn), test.drawn, err)
		}
	}
}
