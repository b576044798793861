package heif

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"testing"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestBothDecodersAgree: AVIF by libheif and by WebAssembly, over black.
func TestBothDecodersAgree(t *testing.T) {
	if !Available() {
		t.Skip("there is no libheif here")
	}
	for _, name := range []string{"avif.avif", "avif-alpha.avif"} {
		data := read(t, name)
		system, err := decodeSystem(data, 1000)
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := decodeAVIF(data)
		if err != nil {
			t.Fatal(err)
		}
		if system.Bounds() != wasm.Bounds() {
			t.Fatalf("%s: %v and %v", name, system.Bounds(), wasm.Bounds())
		}
		if d := meanDifference(system, wasm); d > 2 {
			t.Errorf("%s: differs by %.2f levels", name, d)
		}
		system.Release()
		wasm.Release()
	}
}

func meanDifference(a, b image.Image) float64 {
	sum, n := 0.0, 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			ar, ag, ab, aa := a.At(x, y).RGBA()
			br, bg, bb, ba := b.At(x, y).RGBA()
			for _, d := range []int{int(ar) - int(br), int(ag) - int(bg), int(ab) - int(bb), int(aa) - int(ba)} {
				sum += float64(max(d, -d)) / 257
				n++
			}
		}
	}
	return sum / float64(n)
}

// TestDamagedFrameIsAnError: the WebAssembly decoder reports none, it leaves the
// pixels transparent.
func TestDamagedFrameIsAnError(t *testing.T) {
	data := read(t, "avif.avif")
	for i := len(data) - 300; i < len(data); i++ {
		data[i] = 0xff
	}
	if _, err := decodeAVIF(data); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want %v", err, ErrCorrupt)
	}
}

func TestLargerThanAllowed(t *testing.T) {
	if !Available() {
		t.Skip("there is no libheif here")
	}
	if p, err := decodeSystem(read(t, "heic.heic"), 20); err == nil {
		p.Release()
		t.Error("no error")
	}
}
