package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/triton/tritontest"
)

// Whatever is in the repository is listed and verified; what is wrong does not hide the others.
func TestModelsVerifyTakesAllWithoutAName(t *testing.T) {
	repository := t.TempDir()
	for _, name := range []string{"detector", "detector-large", "wrong"} {
		twin(t, repository, "detector", name, "")
	}
	if err := os.WriteFile(filepath.Join(repository, "wrong", "1", "model.onnx"), []byte("another network"), 0o600); err != nil {
		t.Fatal(err)
	}
	fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Detector("other"))
	fake.Add(tritontest.Detector("detector-large")) // not loaded
	out, err := command(t, "models", "list", "--triton-local-repository", repository)
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"detector ", "detector-large ", "wrong "} {
		if !strings.Contains(out, "\n"+name) {
			t.Errorf("%snot listed:\n%s", name, out)
		}
	}
	verify := []string{"models", "verify", "--triton-local-repository", repository, "--triton-address", fake.Address()}
	out, err = command(t, verify...)
	if err == nil || !strings.Contains(err.Error(), "1 models are wrong") {
		t.Errorf("ended with %v", err)
	}
	for _, want := range []string{"detector: files", "detector-large: files", "wrong: WRONG: model wrong: parameter fingerprint"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if loads := fake.Counts("detector-large").Loads; loads != 1 {
		t.Errorf("it was loaded %d times", loads)
	}
	if loaded := append(fake.Loaded("detector"), fake.Loaded("detector-large")...); len(loaded) != 1 {
		t.Errorf("not only what was loaded before is loaded: %v", loaded)
	}
	if out, err = command(t, append(verify, "detector")...); err != nil || strings.Contains(out, "large") {
		t.Errorf("by name: %v\n%s", err, out)
	}
}
