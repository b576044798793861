package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// What runs an embedder makes other vectors than when the catalogue was filled, under the same fingerprint:
// the catalogue is not searched until it is embedded anew, or the old ones are back.
func TestACatalogueIsRebuiltForOtherVectorsOfOneEmbedder(t *testing.T) {
	fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Embedder("embedder"))
	pictures := t.TempDir()
	content, err := os.ReadFile("../../docs/images/scene-crop.jpg")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(pictures, "work.jpg")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	catalogue := filepath.Join(t.TempDir(), "catalogue.db")
	run := func(want string, args ...string) {
		t.Helper()
		out, err := command(t, append(args, "--triton-address", fake.Address(), "--index-path", catalogue)...)
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, want) {
			t.Fatalf("%v: no %q in %s", args, want, out)
		}
	}
	run("1 added", "index", "add", pictures)
	run("1.000", "search", "--whole", file)
	fake.SetFault("embedder", tritontest.Fault{Change: func(r *inference.ModelInferResponse) {
		for i := 3; i < len(r.RawOutputContents[0]); i += 8 { // every second sign
			r.RawOutputContents[0][i] ^= 0x80
		}
	}})
	run("do not find themselves", "search", "--whole", file)
	run("do not find themselves", "index", "add", pictures)
	run("already", "index", "rebuild")
	run("1 added", "index", "rebuild", "--force")
	run("1.000", "search", "--whole", file)
	fake.SetFault("embedder", tritontest.Fault{})
	run("do not find themselves", "search", "--whole", file)
}
