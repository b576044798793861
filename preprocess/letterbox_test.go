package preprocess

import (
	"image"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/preprocess/resample"
)

func TestLetterboxPlacesThePicture(t *testing.T) {
	cases := []struct {
		name                   string
		srcW, srcH, dstW, dstH int
		fit                    Fit
		want                   image.Rectangle
	}{
		{"portrait", 320, 480, 320, 320, FitLetterbox, image.Rect(53, 0, 266, 320)},
		{"portrait at the left", 320, 480, 320, 320, FitLetterboxTopLeft, image.Rect(0, 0, 213, 320)},
		{"portrait stretched", 320, 480, 320, 320, FitStretch, image.Rect(0, 0, 320, 320)},
		{"landscape", 4032, 3024, 320, 320, FitLetterbox, image.Rect(0, 40, 320, 280)},
		{"the same shape", 640, 640, 320, 320, FitLetterbox, image.Rect(0, 0, 320, 320)},
		{"enlarged", 16, 32, 320, 320, FitLetterbox, image.Rect(80, 0, 240, 320)},
		{"one pixel high", 1000, 1, 320, 320, FitLetterbox, image.Rect(0, 159, 320, 160)},
		{"one pixel", 1, 1, 224, 224, FitLetterbox, image.Rect(0, 0, 224, 224)},
		{"a tensor that is not square", 100, 100, 300, 200, FitLetterbox, image.Rect(50, 0, 250, 200)},
		{"half rounds up", 4, 5, 10, 10, FitLetterbox, image.Rect(1, 0, 9, 10)},
		{"sizes whose product overflows", math.MaxInt, math.MaxInt / 2, math.MaxInt32, 1, FitLetterboxTopLeft, image.Rect(0, 0, 1, 1)},
		{"nonsense sizes", -3, 0, 0, -1, FitLetterbox, image.Rect(0, 0, 1, 1)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := NewLetterbox(c.srcW, c.srcH, c.dstW, c.dstH, c.fit).Inner
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWayThereAndBack is the promise on which every answer rests: a box of the
// picture comes back from the tensor's frame within half a source pixel. Model
// outputs are float32, so the tensor's side passes through one.
func TestWayThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLetterbox(t)
		w, h := float64(l.SrcW), float64(l.SrcH)
		x1, y1 := rapid.Float64Range(0, w).Draw(t, "x1"), rapid.Float64Range(0, h).Draw(t, "y1")
		want := Box{x1, y1, rapid.Float64Range(x1, w).Draw(t, "x2"), rapid.Float64Range(y1, h).Draw(t, "y2")}

		tensor := l.ToTensor(want)
		if far := distance(l.ToSource(tensor), want); far > 1e-9*(w+h) {
			t.Fatalf("%+v: %v came back %v pixels off", l, want, far)
		}
		single := Box{
			float64(float32(tensor.X1)), float64(float32(tensor.Y1)),
			float64(float32(tensor.X2)), float64(float32(tensor.Y2)),
		}
		if far := distance(l.ToSource(single), want); far > 0.5 {
			t.Fatalf("%+v: %v came back %v pixels off by way of float32", l, want, far)
		}
	})
}

func TestThePictureFillsInnerExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLetterbox(t)
		got := l.ToTensor(Box{0, 0, float64(l.SrcW), float64(l.SrcH)})
		want := Box{float64(l.Inner.Min.X), float64(l.Inner.Min.Y), float64(l.Inner.Max.X), float64(l.Inner.Max.Y)}
		if distance(got, want) > 1e-9 {
			t.Fatalf("the whole picture maps to %v, want %v", got, want)
		}
	})
}

func TestLetterboxKeepsTheShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLetterbox(t)
		if !l.Inner.In(image.Rect(0, 0, l.DstW, l.DstH)) || l.Inner.Empty() {
			t.Fatalf("%+v: Inner outside the tensor", l)
		}
		w, h := l.Inner.Dx(), l.Inner.Dy()
		if w != l.DstW && h != l.DstH {
			t.Fatalf("%+v: neither side is filled", l)
		}
		if l.Inner.Min != (image.Point{}) { // centred
			if d := l.DstW - l.Inner.Max.X - l.Inner.Min.X; d != 0 && d != 1 {
				t.Fatalf("%+v: not centred", l)
			}
			if d := l.DstH - l.Inner.Max.Y - l.Inner.Min.Y; d != 0 && d != 1 {
				t.Fatalf("%+v: not centred", l)
			}
		}
		scale := min(float64(l.DstW)/float64(l.SrcW), float64(l.DstH)/float64(l.SrcH))
		stretched := w == l.DstW && h == l.DstH
		if off := math.Abs(float64(w) - max(1, float64(l.SrcW)*scale)); off > 0.5+1e-9 && !stretched {
			t.Fatalf("%+v: width is %v pixels from the shape", l, off)
		}
		if off := math.Abs(float64(h) - max(1, float64(l.SrcH)*scale)); off > 0.5+1e-9 && !stretched {
			t.Fatalf("%+v: height is %v pixels from the shape", l, off)
		}
	})
}

// TestBoxesAgreeWithThePixels draws an edge into a source picture, resizes it as
// the service does, finds the edge in the tensor by its light, and asks ToSource
// where it was: geometry and pixels must tell of the same place.
func TestBoxesAgreeWithThePixels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// One axis is enough, for both are treated alike; a thin source keeps
		// sides up to 8000 cheap.
		size := rapid.IntRange(5, 8000).Draw(t, "size")
		tensorSide := rapid.SampledFrom([]int{64, 224, 320, 321}).Draw(t, "tensor")
		fit, vertical := drawFit(t), rapid.Bool().Draw(t, "vertical")
		// At the border the filter has nothing beyond to mix in; stay as far
		// away as it reaches.
		margin := max(2, 2*size/tensorSide+1)
		edge := rapid.IntRange(margin, size-margin).Draw(t, "edge")

		src := blackPicture(size, 1)
		fill(src.Pix[:3*edge], 255)
		if vertical {
			src.Stride, src.Width, src.Height = 3, 1, size
		}
		l := NewLetterbox(src.Width, src.Height, tensorSide, tensorSide, fit)
		tensor := blackPicture(l.DstW, l.DstH)
		inner := tensor.Sub(l.Inner.Min.X, l.Inner.Min.Y, l.Inner.Dx(), l.Inner.Dy())
		resample.Resize(inner, src, resample.Region{X2: float64(src.Width), Y2: float64(src.Height)}, resample.Upright)

		var light float64 // tensor pixels that are white
		for i := 0; i < len(tensor.Pix); i += 3 {
			light += float64(tensor.Pix[i]) / 255
		}
		white := Box{X1: float64(l.Inner.Min.X), Y1: float64(l.Inner.Min.Y), X2: float64(l.Inner.Max.X), Y2: float64(l.Inner.Max.Y)}
		var got float64
		if vertical {
			white.Y2 = white.Y1 + light/white.Width()
			got = l.ToSource(white).Y2
		} else {
			white.X2 = white.X1 + light/white.Height()
			got = l.ToSource(white).X2
		}
		if math.Abs(got-float64(edge)) > 0.5 {
			t.Errorf("%+v: edge at %d found at %.3f", l, edge, got)
		}
	})
}

func blackPicture(w, h int) resample.RGB {
	return resample.RGB{Pix: make([]byte, 3*w*h), Stride: 3 * w, Width: w, Height: h}
}

func TestFillPaddingFillsAllButThePicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 40)
		l := NewLetterbox(side.Draw(t, "srcW"), side.Draw(t, "srcH"), side.Draw(t, "dstW"), side.Draw(t, "dstH"), drawFit(t))
		dst := make([]byte, 3*l.DstW*l.DstH)
		l.FillPadding(dst, 114)
		for i, v := range dst {
			want := byte(114)
			if (image.Point{i / 3 % l.DstW, i / 3 / l.DstW}).In(l.Inner) {
				want = 0
			}
			if v != want {
				t.Fatalf("%+v: byte %d is %d, want %d", l, i, v, want)
			}
		}
	})
}

func FuzzLetterbox(f *testing.F) {
	f.Add(320, 480, 320, 320, 0, 10.0, 20.0, 100.0, 200.0)
	f.Add(4032, 3024, 640, 480, 1, 0.0, 0.0, 4032.0, 3024.0)
	f.Add(1, 8000, 224, 224, 2, 0.0, 0.0, 1.0, 8000.0)
	f.Add(-1, 0, math.MaxInt, math.MinInt, 9, math.NaN(), math.Inf(1), -1.0, 1e300)
	f.Fuzz(func(t *testing.T, srcW, srcH, dstW, dstH, fit int, x1, y1, x2, y2 float64) {
		l := NewLetterbox(srcW, srcH, dstW, dstH, Fit(fit))
		if l.Inner.Empty() || !l.Inner.In(image.Rect(0, 0, l.DstW, l.DstH)) {
			t.Fatalf("%+v: Inner outside the tensor", l)
		}
		b := Box{x1, y1, x2, y2}
		if r := l.ToSource(b).Pixels(l.SrcW, l.SrcH); r.Empty() || !r.In(image.Rect(0, 0, l.SrcW, l.SrcH)) {
			t.Fatalf("%+v: %v gives %v", l, b, r)
		}
		inside := b.Clamp(l.SrcW, l.SrcH)
		back := l.ToSource(l.ToTensor(inside))
		if far := distance(back, inside); far > 0.5 {
			t.Fatalf("%+v: %v came back %v pixels off", l, inside, far)
		}
	})
}

func BenchmarkFillPadding(b *testing.B) {
	l := NewLetterbox(320, 480, 320, 320, FitLetterbox)
	dst := make([]byte, 3*l.DstW*l.DstH)
	b.ReportAllocs()
	for b.Loop() {
		l.FillPadding(dst, 114)
	}
}

func drawLetterbox(t *rapid.T) Letterbox {
	source, tensor := rapid.IntRange(1, 8000), rapid.IntRange(1, 1024)
	return NewLetterbox(source.Draw(t, "srcW"), source.Draw(t, "srcH"),
		tensor.Draw(t, "dstW"), tensor.Draw(t, "dstH"), drawFit(t))
}

func drawFit(t *rapid.T) Fit {
	return rapid.SampledFrom([]Fit{FitLetterbox, FitLetterboxTopLeft, FitStretch}).Draw(t, "fit")
}

// distance is how far the edges of two boxes are apart at most.
func distance(a, b Box) float64 {
	return max(math.Abs(a.X1-b.X1), math.Abs(a.Y1-b.Y1), math.Abs(a.X2-b.X2), math.Abs(a.Y2-b.Y2))
}
