package webp

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/preprocess/header"
)

func frames(t *testing.T) map[string]header.Frame {
	t.Helper()
	names, err := filepath.Glob("../testdata/*.webp")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	all := map[string]header.Frame{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h, err := header.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = h.Still
	}
	return all
}

// TestBothDecodersAgree: the same library inside and outside of WebAssembly.
func TestBothDecodersAgree(t *testing.T) {
	if !systemAvailable() {
		t.Skip("there is no libwebp here")
	}
	for name, f := range frames(t) {
		system, err := decodeSystem(f)
		if err != nil {
			t.Fatal(err)
		}
		wasm, err := decodeWasm(f)
		if err != nil {
			t.Fatal(err)
		}
		for y := f.Rect.Min.Y; y < f.Rect.Max.Y; y++ {
			for x := f.Rect.Min.X; x < f.Rect.Max.X; x++ {
				ar, ag, ab, aa := system.At(x, y).RGBA()
				br, bg, bb, ba := wasm.At(x, y).RGBA()
				for _, d := range []int{int(ar) - int(br), int(ag) - int(bg), int(ab) - int(bb), int(aa) - int(ba)} {
					if d < -2*257 || d > 2*257 {
						t.Fatalf("%s at %d, %d: %v and %v", name, x, y, system.At(x, y), wasm.At(x, y))
					}
				}
			}
		}
		system.Release()
	}
}

// TestLyingFrameHeaders changes each bit of the frame's own header: what the
// header reader takes, libwebp's demuxer must take too, or the WebAssembly
// module reads a number of frames that was never written.
func TestLyingFrameHeaders(t *testing.T) {
	for name, f := range frames(t) {
		for i := range 20 {
			for bit := range 8 {
				lie := f
				lie.Pixels = bytes.Clone(f.Pixels)
				lie.Pixels[i] ^= 1 << bit
				h, err := header.Read(still(lie))
				if err != nil || h.Still.Rect.Size() != f.Rect.Size() {
					continue
				}
				for by, decode := range map[string]func(header.Frame) (Picture, error){"wasm": decodeWasm, "": Decode} {
					p, err := decode(h.Still)
					if err != nil && !strings.Contains(err.Error(), "corrupt") {
						t.Errorf("%s %s bit %d of byte %d: %v", by, name, bit, i, err)
					}
					p.Release()
				}
			}
		}
	}
}
