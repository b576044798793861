package preprocess

import (
	"image"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestIoU(t *testing.T) {
	nan := math.NaN()
	cases := []struct {
		name string
		a, b Box
		want float64
	}{
		{"the same", Box{0, 0, 4, 4}, Box{0, 0, 4, 4}, 1},
		{"half and half", Box{0, 0, 2, 2}, Box{1, 0, 3, 2}, 1. / 3},
		{"one inside the other", Box{0, 0, 4, 4}, Box{1, 1, 3, 3}, 0.25},
		{"touching edges", Box{0, 0, 1, 1}, Box{1, 0, 2, 1}, 0},
		{"apart", Box{0, 0, 1, 1}, Box{5, 5, 6, 6}, 0},
		{"empty", Box{1, 1, 1, 1}, Box{0, 0, 4, 4}, 0},
		{"both empty", Box{}, Box{}, 0},
		{"inverted", Box{4, 4, 0, 0}, Box{0, 0, 4, 4}, 0},
		{"NaN", Box{nan, 0, 4, 4}, Box{0, 0, 4, 4}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.a.IoU(c.b); math.Abs(got-c.want) > 1e-12 {
				t.Errorf("IoU is %v, want %v", got, c.want)
			}
			if got, back := c.a.IoU(c.b), c.b.IoU(c.a); got != back {
				t.Errorf("IoU is %v one way and %v the other", got, back)
			}
		})
	}
}

func TestClamp(t *testing.T) {
	cases := []struct {
		name     string
		in, want Box
	}{
		{"inside", Box{1, 2, 3, 4}, Box{1, 2, 3, 4}},
		{"over every edge", Box{-1, -2, 11, 22}, Box{0, 0, 10, 20}},
		{"beside", Box{12, 5, 14, 6}, Box{10, 5, 10, 6}},
		{"not a number", Box{math.NaN(), math.Inf(-1), math.Inf(1), math.NaN()}, Box{0, 0, 10, 0}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.in.Clamp(10, 20)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPadGrowsBySharesOfItsOwnSides(t *testing.T) {
	if diff := cmp.Diff(Box{-5, 5, 25, 95}, Box{0, 20, 20, 80}.Pad(0.25)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Box{4, 6, 6, 10}, Box{3, 4, 7, 12}.Pad(-0.25)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPixelsRoundsOutwardAndStaysInside(t *testing.T) {
	cases := []struct {
		name string
		box  Box
		want image.Rectangle
	}{
		{"whole pixels", Box{1, 2, 3, 4}, image.Rect(1, 2, 3, 4)},
		{"fractions", Box{1.9, 2.1, 3.1, 3.9}, image.Rect(1, 2, 4, 4)},
		{"rounding noise", Box{0.9999999999, 2.0000000001, 3.0000000001, 3.9999999999}, image.Rect(1, 2, 3, 4)},
		{"inside one pixel", Box{1.2, 1.3, 1.4, 1.5}, image.Rect(1, 1, 2, 2)},
		{"over every edge", Box{-5, -5, 50, 50}, image.Rect(0, 0, 10, 8)},
		{"beside the picture", Box{50, -9, 60, -7}, image.Rect(9, 0, 10, 1)},
		{"inverted", Box{6, 5, 2, 1}, image.Rect(6, 5, 7, 6)},
		{"NaN", Box{math.NaN(), math.NaN(), math.NaN(), math.NaN()}, image.Rect(0, 0, 1, 1)},
		{"infinite", Box{math.Inf(-1), math.Inf(-1), math.Inf(1), math.Inf(1)}, image.Rect(0, 0, 10, 8)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.box.Pixels(10, 8)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPixelsOfAnyBoxIsAPieceOfThePicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 8000).Draw(t, "w"), rapid.IntRange(1, 8000).Draw(t, "h")
		b := drawAnyBox(t)
		r := b.Pixels(w, h)
		if r.Empty() || !r.In(image.Rect(0, 0, w, h)) {
			t.Fatalf("%v of %dx%d gives %v", b, w, h, r)
		}
		c := b.Clamp(w, h)
		if !c.Empty() && c.Width() > 2*edgeNoise && c.Height() > 2*edgeNoise {
			slack := Box{c.X1 + edgeNoise, c.Y1 + edgeNoise, c.X2 - edgeNoise, c.Y2 - edgeNoise}
			covered := Box{float64(r.Min.X), float64(r.Min.Y), float64(r.Max.X), float64(r.Max.Y)}
			if covered.Intersect(slack) != slack {
				t.Fatalf("%v does not cover %v", r, c)
			}
		}
	})
}

// drawAnyBox may hold anything that a float64 can be.
func drawAnyBox(t *rapid.T) Box {
	edge := rapid.OneOf(
		rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, -1, 1, 7999.5}),
		rapid.Float64Range(-100, 9000),
		rapid.Float64(),
	)
	return Box{edge.Draw(t, "x1"), edge.Draw(t, "y1"), edge.Draw(t, "x2"), edge.Draw(t, "y2")}
}
