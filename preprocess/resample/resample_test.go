package resample

import (
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestEveryOrientationTurnsUpright shows a letter F on its side as the EXIF
// standard draws the eight cases.
func TestEveryOrientationTurnsUpright(t *testing.T) {
	const upright = "###" +
		"#.." +
		"##." +
		"#.."
	stored := map[Orientation]struct {
		width int
		shape string
	}{
		Upright:    {3, "###" + "#.." + "##." + "#.."},
		MirrorX:    {3, "###" + "..#" + ".##" + "..#"},
		Rotate180:  {3, "..#" + ".##" + "..#" + "###"},
		MirrorY:    {3, "#.." + "##." + "#.." + "###"},
		Transpose:  {4, "####" + "#.#." + "#..."},
		Rotate90:   {4, "#..." + "#.#." + "####"},
		Transverse: {4, "...#" + ".#.#" + "####"},
		Rotate270:  {4, "####" + ".#.#" + "...#"},
	}
	for o := Upright; o <= Rotate270; o++ {
		src := fromShape(stored[o].shape, stored[o].width)
		got := blank(3, 4)
		Orient(got, src, o)
		if diff := cmp.Diff(upright, toShape(got)); diff != "" {
			t.Errorf("Orient under orientation %d (-want +got):\n%s", o, diff)
		}
		got = blank(3, 4)
		Resize(got, src, whole(src), o)
		if diff := cmp.Diff(upright, toShape(got)); diff != "" {
			t.Errorf("Resize under orientation %d (-want +got):\n%s", o, diff)
		}
	}
}

func TestUnknownOrientationCountsAsUpright(t *testing.T) {
	src := noise(5, 4)
	for _, o := range []Orientation{0, 9, 255} {
		got := blank(5, 4)
		Resize(got, src, whole(src), o)
		if diff := cmp.Diff(src, got); diff != "" {
			t.Errorf("orientation %d (-want +got):\n%s", o, diff)
		}
	}
}

func TestSameSizeIsAnExactCopy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := drawPicture(t, 40)
		o := drawOrientation(t)
		want, got := blank(o.Size(src.Width, src.Height)), blank(o.Size(src.Width, src.Height))
		Orient(want, src, o)
		Resize(got, src, whole(src), o)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-Orient +Resize):\n%s", diff)
		}
	})
}

// TestOneColourStaysThatColour holds for every reduction and enlargement only
// if the weights of each output add up to exactly one.
func TestOneColourStaysThatColour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.OneOf(rapid.IntRange(1, 60), rapid.SampledFrom([]int{1023, 3024, 8000}))
		src := blank(side.Draw(t, "srcW"), rapid.IntRange(1, 60).Draw(t, "srcH"))
		colour := rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "colour")
		for i := range src.Pix {
			src.Pix[i] = colour[i%3]
		}
		dst := blank(rapid.IntRange(1, 60).Draw(t, "dstW"), rapid.IntRange(1, 60).Draw(t, "dstH"))
		Resize(dst, src, whole(src), drawOrientation(t))
		for i, v := range dst.Pix {
			if v != colour[i%3] {
				t.Fatalf("byte %d is %d, want %d", i, v, colour[i%3])
			}
		}
	})
}

// TestAgreesWithTheFormula compares with the filter written down plainly, in
// floating point and in the upright frame. Two roundings to 8 bits and the
// weights' own rounding may lie between.
func TestAgreesWithTheFormula(t *testing.T) {
	const tolerance = 0.5 + 0.5 + 0.1
	rapid.Check(t, func(t *rapid.T) {
		src, o := drawPicture(t, 40), drawOrientation(t)
		w, h := o.Size(src.Width, src.Height)
		region := drawRegion(t, float64(w), float64(h))
		dst := blank(rapid.IntRange(1, 50).Draw(t, "dstW"), rapid.IntRange(1, 50).Draw(t, "dstH"))
		Resize(dst, src, o.ToStored(region, float64(w), float64(h)), o)

		turned := blank(w, h)
		Orient(turned, src, o)
		for i, want := range formula(turned, region, dst.Width, dst.Height) {
			if got := float64(dst.Pix[i]); math.Abs(got-want) > tolerance {
				t.Fatalf("pixel %d,%d channel %d is %v, want %.2f",
					i/3%dst.Width, i/3/dst.Width, i%3, got, want)
			}
		}
	})
}

func TestWritesOnlyInsideItsView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const untouched = 77
		canvas := blank(30, 20)
		for i := range canvas.Pix {
			canvas.Pix[i] = untouched
		}
		w, h := rapid.IntRange(0, 30).Draw(t, "w"), rapid.IntRange(0, 20).Draw(t, "h")
		x, y := rapid.IntRange(0, 30-w).Draw(t, "x"), rapid.IntRange(0, 20-h).Draw(t, "y")
		src := blank(rapid.IntRange(1, 40).Draw(t, "srcW"), rapid.IntRange(1, 40).Draw(t, "srcH"))
		Resize(canvas.Sub(x, y, w, h), src, whole(src), drawOrientation(t))
		for i, v := range canvas.Pix {
			px, py := i/3%30, i/3/30
			want := byte(untouched)
			if px >= x && px < x+w && py >= y && py < y+h {
				want = 0
			}
			if v != want {
				t.Fatalf("pixel %d,%d is %d, want %d", px, py, v, want)
			}
		}
	})
}

// TestSubKeepsTheFilterInside tells a cut-out from a Region: only the latter
// lets what lies beside it bleed in.
func TestSubKeepsTheFilterInside(t *testing.T) {
	src := blank(40, 1)
	for i := range src.Pix {
		src.Pix[i] = byte(255 * (i / (3 * 20)))
	}
	cut, bled := blank(5, 1), blank(5, 1)
	left := src.Sub(0, 0, 20, 1)
	Resize(cut, left, whole(left), Upright)
	Resize(bled, src, Region{0, 0, 20, 1}, Upright)
	if got := cut.Pix[12]; got != 0 {
		t.Errorf("the last pixel of the cut-out is %d, want 0", got)
	}
	if got := bled.Pix[12]; got == 0 {
		t.Error("the last pixel of the region is 0, want some of its neighbours' white")
	}
}

// TestAnyRegionIsSafe: what a broken model calls a box must not crash us.
func TestAnyRegionIsSafe(t *testing.T) {
	edge := rapid.OneOf(
		rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 0, 0.5, 7, 8, 1e300, -1e300, math.SmallestNonzeroFloat64}),
		rapid.Float64(),
		rapid.Float64Range(-10, 20),
	)
	rapid.Check(t, func(t *rapid.T) {
		src := noise(8, 7)
		dst := blank(rapid.IntRange(1, 9).Draw(t, "dstW"), rapid.IntRange(1, 9).Draw(t, "dstH"))
		region := Region{edge.Draw(t, "x1"), edge.Draw(t, "y1"), edge.Draw(t, "x2"), edge.Draw(t, "y2")}
		Resize(dst, src, region, drawOrientation(t))
	})
}

func TestEmptyViewsAreLeftAlone(t *testing.T) {
	dst := noise(3, 3)
	want := append([]byte(nil), dst.Pix...)
	Resize(dst, RGB{}, Region{}, Upright)
	Resize(RGB{}, dst, whole(dst), Upright)
	if diff := cmp.Diff(want, dst.Pix); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestToStoredIsTheWayBackOfOrient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// One marked pixel of the upright picture is looked up in the stored one.
		o := drawOrientation(t)
		stored := blank(rapid.IntRange(1, 9).Draw(t, "w"), rapid.IntRange(1, 9).Draw(t, "h"))
		for i := range stored.Width * stored.Height {
			stored.Pix[3*i] = byte(i)
		}
		w, h := o.Size(stored.Width, stored.Height)
		upright := blank(w, h)
		Orient(upright, stored, o)
		x, y := rapid.IntRange(0, w-1).Draw(t, "x"), rapid.IntRange(0, h-1).Draw(t, "y")

		pixel := Region{float64(x), float64(y), float64(x + 1), float64(y + 1)}
		r := o.ToStored(pixel, float64(w), float64(h))
		if r.X2-r.X1 != 1 || r.Y2-r.Y1 != 1 {
			t.Fatalf("pixel became %v", r)
		}
		want := upright.Pix[3*(y*w+x)]
		if got := stored.Pix[3*(int(r.Y1)*stored.Width+int(r.X1))]; got != want {
			t.Fatalf("stored pixel at %v is %d, want %d", r, got, want)
		}
	})
}

// TestConcurrentCallsShareNothing is for the race detector too.
func TestConcurrentCallsShareNothing(t *testing.T) {
	t.Parallel()
	for o := Upright; o <= Rotate270; o++ {
		src := noise(60+int(o), 40)
		want := blank(30, 20)
		new(scratch).resize(newWriter(want, o), src, whole(src))
		t.Run(strconv.Itoa(int(o)), func(t *testing.T) {
			t.Parallel()
			for range 50 {
				got := blank(30, 20)
				Resize(got, src, whole(src), o)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("(-alone +beside others):\n%s", diff)
				}
			}
		})
	}
}

func TestResizeAllocatesNothingOnceWarm(t *testing.T) {
	src, dst, s := noise(320, 480), blank(213, 320), new(scratch)
	allocs := testing.AllocsPerRun(5, func() { s.resize(newWriter(dst, Upright), src, whole(src)) })
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

// formula is the triangle filter over an upright picture: unrounded values.
func formula(src RGB, r Region, w, h int) []float64 {
	columns, rows := triangle(src.Width, w, r.X1, r.X2), triangle(src.Height, h, r.Y1, r.Y2)
	out := make([]float64, 3*w*h)
	for i := range out {
		x, y, channel := i/3%w, i/3/w, i%3
		for sy, wy := range rows[y] {
			for sx, wx := range columns[x] {
				out[i] += wx * wy * float64(src.Pix[sy*src.Stride+3*sx+channel])
			}
		}
	}
	return out
}

// triangle gives, for each output, the weight of every input.
func triangle(in, out int, lo, hi float64) [][]float64 {
	scale := (hi - lo) / float64(out)
	support := max(1, scale)
	all := make([][]float64, out)
	for i := range all {
		centre, sum := lo+(float64(i)+0.5)*scale, 0.0
		all[i] = make([]float64, in)
		for k := range all[i] {
			all[i][k] = max(0, 1-math.Abs(float64(k)+0.5-centre)/support)
			sum += all[i][k]
		}
		for k := range all[i] {
			all[i][k] /= sum
		}
	}
	return all
}

func whole(m RGB) Region { return Region{0, 0, float64(m.Width), float64(m.Height)} }

func drawPicture(t *rapid.T, maxSide int) RGB {
	m := blank(rapid.IntRange(1, maxSide).Draw(t, "width"), rapid.IntRange(1, maxSide).Draw(t, "height"))
	seed := rapid.Uint32().Draw(t, "pixels")
	for i := range m.Pix {
		seed = seed*1664525 + 1013904223
		m.Pix[i] = byte(seed >> 24)
	}
	return m
}

func drawOrientation(t *rapid.T) Orientation {
	return Orientation(rapid.IntRange(1, 8).Draw(t, "orientation"))
}

// drawRegion gives one with an area inside w x h, edges whole or fractional.
func drawRegion(t *rapid.T, w, h float64) Region {
	x1, y1 := rapid.Float64Range(0, w-0.5).Draw(t, "x1"), rapid.Float64Range(0, h-0.5).Draw(t, "y1")
	x2, y2 := rapid.Float64Range(x1+0.25, w).Draw(t, "x2"), rapid.Float64Range(y1+0.25, h).Draw(t, "y2")
	if rapid.Bool().Draw(t, "whole pixels") {
		return Region{math.Floor(x1), math.Floor(y1), math.Ceil(x2), math.Ceil(y2)}
	}
	return Region{x1, y1, x2, y2}
}

func fromShape(shape string, width int) RGB {
	m := blank(width, len(shape)/width)
	for i := range shape {
		if shape[i] == '#' {
			copy(m.Pix[3*i:], []byte{255, 255, 255})
		}
	}
	return m
}

func toShape(m RGB) string {
	shape := ""
	for i := 0; i < len(m.Pix); i += 3 {
		if m.Pix[i] > 127 {
			shape += "#"
		} else {
			shape += "."
		}
	}
	return shape
}
