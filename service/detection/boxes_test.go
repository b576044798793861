package detection

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/modelrepo"
)

func TestCorners(t *testing.T) {
	// The same two boxes of an input of 200x400 in every format.
	want := []float32{50, 100, 150, 300, 0, 0, 20, 40}
	for _, test := range []struct {
		order            modelrepo.BoxOrder
		pixels, relative []float32
	}{
		{modelrepo.BoxXYXY, []float32{50, 100, 150, 300, 0, 0, 20, 40}, []float32{0.25, 0.25, 0.75, 0.75, 0, 0, 0.1, 0.1}},
		{modelrepo.BoxYXYX, []float32{100, 50, 300, 150, 0, 0, 40, 20}, []float32{0.25, 0.25, 0.75, 0.75, 0, 0, 0.1, 0.1}},
		{modelrepo.BoxCXCYWH, []float32{100, 200, 100, 200, 10, 20, 20, 40}, []float32{0.5, 0.5, 0.5, 0.5, 0.05, 0.05, 0.1, 0.1}},
		{modelrepo.BoxXYWH, []float32{50, 100, 100, 200, 0, 0, 20, 40}, []float32{0.25, 0.25, 0.5, 0.5, 0, 0, 0.1, 0.1}},
	} {
		for units, boxes := range map[modelrepo.BoxUnits][]float32{modelrepo.BoxPixels: test.pixels, modelrepo.BoxRelative: test.relative} {
			Corners(boxes, modelrepo.BoxFormat{Order: test.order, Units: units}, 200, 400)
			if d := cmp.Diff(want, boxes); d != "" {
				t.Errorf("%s %s: %s", test.order, units, d)
			}
		}
	}
	Corners([]float32{1, 2, 3}, modelrepo.BoxFormat{Order: modelrepo.BoxXYWH}, 200, 400) // a cut box is the decoder's to refuse
}
