package preprocess

import (
	"image"
	"math"
)

// Box is a rectangle in pixels of a frame that the surrounding code names (the
// upright picture at its original resolution unless it says otherwise). The
// coordinates are continuous edges: pixel i covers [i, i+1), so a box around
// the whole of a w x h picture is {0, 0, w, h}.
type Box struct{ X1, Y1, X2, Y2 float64 }

// Width is X2-X1; negative for an inverted box.
func (b Box) Width() float64 { return b.X2 - b.X1 }

// Height is Y2-Y1; negative for an inverted box.
func (b Box) Height() float64 { return b.Y2 - b.Y1 }

// Empty tells whether the box covers no area. A box with a NaN is empty.
func (b Box) Empty() bool { return !(b.X2 > b.X1 && b.Y2 > b.Y1) }

// Area is the covered area in square pixels, 0 for an empty box.
func (b Box) Area() float64 {
	if b.Empty() {
		return 0
	}
	return b.Width() * b.Height()
}

// Intersect is the largest box inside both; Empty where they do not overlap.
func (b Box) Intersect(o Box) Box {
	return Box{max(b.X1, o.X1), max(b.Y1, o.Y1), min(b.X2, o.X2), min(b.Y2, o.Y2)}
}

// IoU is the intersection over union of two boxes of the same frame, in 0..1;
// 0 when either is empty.
func (b Box) IoU(o Box) float64 {
	inter := b.Intersect(o).Area()
	if inter == 0 {
		return 0
	}
	return inter / (b.Area() + o.Area() - inter)
}

// Clamp moves every edge into a w x h picture. NaN becomes 0, so the result is
// always finite, though it may be empty.
func (b Box) Clamp(w, h int) Box {
	fw, fh := float64(w), float64(h)
	return Box{clamp(b.X1, fw), clamp(b.Y1, fh), clamp(b.X2, fw), clamp(b.Y2, fh)}
}

// Pad grows the box by fraction of its width at the left and the right and by
// fraction of its height above and below; a negative fraction shrinks it.
func (b Box) Pad(fraction float64) Box {
	dx, dy := b.Width()*fraction, b.Height()*fraction
	return Box{b.X1 - dx, b.Y1 - dy, b.X2 + dx, b.Y2 + dy}
}

// Scale multiplies the x coordinates by sx and the y coordinates by sy: by 1/w
// and 1/h it gives the normalised 0..1 form, by w and h the way back.
func (b Box) Scale(sx, sy float64) Box {
	return Box{b.X1 * sx, b.Y1 * sy, b.X2 * sx, b.Y2 * sy}
}

// Shift moves the box by dx, dy: from the frame of a crop into the frame that
// the crop was taken from.
func (b Box) Shift(dx, dy float64) Box {
	return Box{b.X1 + dx, b.Y1 + dy, b.X2 + dx, b.Y2 + dy}
}

// edgeNoise is how far an edge may lie beyond a whole pixel through rounding
// of floating-point arithmetic alone; such an edge claims no further pixel.
const edgeNoise = 1e-6

// Pixels gives the whole pixels of a w x h picture that the box touches:
// rounded outward, clamped, and at least 1x1 even for an empty, inverted or
// NaN box or one beside the picture. w and h must be at least 1.
func (b Box) Pixels(w, h int) image.Rectangle {
	x1, x2 := pixelSpan(b.X1, b.X2, w)
	y1, y2 := pixelSpan(b.Y1, b.Y2, h)
	return image.Rect(x1, y1, x2, y2)
}

func pixelSpan(lo, hi float64, size int) (first, end int) {
	first = int(math.Floor(clamp(lo+edgeNoise, float64(size))))
	first = min(first, size-1)
	end = int(math.Ceil(clamp(hi-edgeNoise, float64(size))))
	return first, max(end, first+1)
}

// clamp is v moved into 0..hi; NaN gives 0.
func clamp(v, hi float64) float64 {
	if !(v > 0) {
		return 0
	}
	return min(v, hi)
}
