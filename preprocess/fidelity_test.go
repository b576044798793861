package preprocess

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"testing"
)

// From the file's bytes to the tensor, with whatever reduction the codec does on the way, the scene
// is what Pillow makes of it that decodes it in full and resizes it with BILINEAR. At 320 it is
// decoded in full, at 200 and 96 at a reduction.
func TestLetterboxIsPillowsResize(t *testing.T) {
	scene, err := os.ReadFile("../docs/images/scene.jpg")
	if err != nil {
		t.Fatal(err)
	}
	source, err := Open(scene, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for side, reduced := range map[int]bool{320: false, 200: true, 96: true} {
		golden, err := os.ReadFile(fmt.Sprintf("testdata/letterbox/scene-%d.png", side))
		if err != nil {
			t.Fatal(err)
		}
		want, err := png.Decode(bytes.NewReader(golden))
		if err != nil {
			t.Fatal(err)
		}
		l := NewLetterbox(source.Info().Width, source.Info().Height, side, side, FitLetterbox)
		if l.Inner.Size() != want.Bounds().Size() {
			t.Fatalf("side %d: the picture is %v in the tensor, %v of Pillow", side, l.Inner.Size(), want.Bounds().Size())
		}
		p, err := source.Decode(Oversampling*l.Inner.Dx(), Oversampling*l.Inner.Dy())
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := p.Size(); (w < source.Info().Width) != reduced {
			t.Errorf("side %d: decoded at a width of %d", side, w)
		}
		tensor := make([]byte, 3*side*side)
		p.Letterbox(tensor, l, 114)
		p.Release()
		var ours, theirs []byte
		for y := range l.Inner.Dy() {
			row := 3 * ((l.Inner.Min.Y+y)*side + l.Inner.Min.X)
			ours = append(ours, tensor[row:row+3*l.Inner.Dx()]...)
			for x := range l.Inner.Dx() {
				r, g, b, _ := want.At(x, y).RGBA()
				theirs = append(theirs, byte(r>>8), byte(g>>8), byte(b>>8))
			}
		}
		db := psnr(ours, theirs)
		t.Logf("side %d: %.1f dB", side, db)
		if db < minFidelity {
			t.Errorf("side %d: %.1f dB, want at least %d", side, db, minFidelity)
		}
	}
}
