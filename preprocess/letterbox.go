package preprocess

import (
	"image"
	"math"
)

// Fit says how a picture is placed in a tensor of another shape.
type Fit int

const (
	// FitLetterbox keeps the aspect ratio and centres the picture; an odd
	// padding leaves the larger half at the right or at the bottom.
	FitLetterbox Fit = iota
	// FitLetterboxTopLeft keeps the aspect ratio; all padding is at the right
	// or at the bottom.
	FitLetterboxTopLeft
	// FitStretch fills the tensor; the aspect ratio is lost.
	FitStretch
)

// Letterbox is the placement of an upright SrcW x SrcH picture (original
// resolution) in a DstW x DstH tensor. It maps boxes between the two frames by
// the whole pixels that the picture really occupies, never by the ideal scale,
// so that the way there and back is exact.
type Letterbox struct {
	SrcW, SrcH int
	DstW, DstH int
	// Inner is where the picture lies, in tensor pixels; around it is padding.
	Inner image.Rectangle
}

// NewLetterbox places a srcW x srcH picture in a dstW x dstH tensor. Sides
// outside 1..1<<31-1 count as the nearest of these; Inner is at least 1x1,
// however long and thin the picture.
func NewLetterbox(srcW, srcH, dstW, dstH int, fit Fit) Letterbox {
	l := Letterbox{SrcW: side(srcW), SrcH: side(srcH), DstW: side(dstW), DstH: side(dstH)}
	w, h := l.DstW, l.DstH
	if fit != FitStretch {
		w, h = l.fitted()
	}
	var left, top int
	if fit == FitLetterbox {
		left, top = (l.DstW-w)/2, (l.DstH-h)/2
	}
	l.Inner = image.Rect(left, top, left+w, top+h)
	return l
}

// fitted is the largest size of the source's aspect ratio inside the tensor.
// Whole-number arithmetic: the limiting side is filled exactly and the other
// is rounded to the nearest pixel.
func (l Letterbox) fitted() (w, h int) {
	sw, sh, dw, dh := int64(l.SrcW), int64(l.SrcH), int64(l.DstW), int64(l.DstH)
	if sw*dh >= sh*dw {
		return l.DstW, max(1, int((sh*dw+sw/2)/sw))
	}
	return max(1, int((sw*dh+sh/2)/sh)), l.DstH
}

// side keeps the product of two sides inside an int64.
func side(n int) int { return min(max(n, 1), math.MaxInt32) }

// ToSource maps a box from tensor pixels to upright original pixels. It does
// not clamp: a box that reaches into the padding lies partly outside.
func (l Letterbox) ToSource(b Box) Box {
	sx, sy := l.scale()
	return b.Shift(-float64(l.Inner.Min.X), -float64(l.Inner.Min.Y)).Scale(1/sx, 1/sy)
}

// ToTensor maps a box from upright original pixels to tensor pixels.
func (l Letterbox) ToTensor(b Box) Box {
	sx, sy := l.scale()
	return b.Scale(sx, sy).Shift(float64(l.Inner.Min.X), float64(l.Inner.Min.Y))
}

// scale is tensor pixels per source pixel, one for each axis because each is
// rounded to whole pixels on its own.
func (l Letterbox) scale() (sx, sy float64) {
	return float64(l.Inner.Dx()) / float64(l.SrcW), float64(l.Inner.Dy()) / float64(l.SrcH)
}

// FillPadding sets every byte outside Inner to pad and leaves Inner alone. dst
// is the tensor: DstH*DstW*3 bytes, RGB, row by row (NHWC).
func (l Letterbox) FillPadding(dst []byte, pad byte) {
	stride := 3 * l.DstW
	dst = dst[:stride*l.DstH]
	fill(dst[:stride*l.Inner.Min.Y], pad)
	fill(dst[stride*l.Inner.Max.Y:], pad)
	left, right := 3*l.Inner.Min.X, 3*l.Inner.Max.X
	first := dst[stride*l.Inner.Min.Y:][:stride]
	fill(first[:left], pad)
	fill(first[right:], pad)
	for y := l.Inner.Min.Y + 1; y < l.Inner.Max.Y; y++ {
		row := dst[stride*y:][:stride]
		copy(row[:left], first[:left])
		copy(row[right:], first[right:])
	}
}

// fill doubles the part already written, which copies at memory speed.
func fill(b []byte, v byte) {
	if len(b) == 0 {
		return
	}
	b[0] = v
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
