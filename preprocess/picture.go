package preprocess

import (
	"fmt"
	"image"
	"sync/atomic"

	"github.com/lexicam/lexicrop/preprocess/resample"
)

// Picture is decoded pixels: 8-bit sRGB (unless KeepProfile), as stored, that
// is turned upright only on the way out of it. It holds pooled memory until
// Release, after which nothing but Release and Warnings may be called. Its
// methods other than Release are safe for concurrent use.
type Picture struct {
	rgb         resample.RGB
	orientation resample.Orientation
	// What the picture shows, in upright original pixels.
	width, height int
	origin        image.Point
	// ratio is decoded pixels per original pixel.
	ratio    float64
	profile  []byte
	warnings []string
	memory   atomic.Pointer[[]byte]
}

// Bounds is the part of the original that the picture shows, in upright
// original pixels.
func (p *Picture) Bounds() image.Rectangle {
	return image.Rectangle{Min: p.origin, Max: p.origin.Add(image.Pt(p.width, p.height))}
}

// Size is the size of the decoded pixels as they would be upright; smaller than
// that of Bounds if the codec reduced the picture.
func (p *Picture) Size() (width, height int) {
	return p.orientation.Size(p.rgb.Width, p.rgb.Height)
}

// Warnings tells what was odd about the file but did no harm to the pixels.
func (p *Picture) Warnings() []string { return p.warnings }

func (p *Picture) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// Release gives the memory back. Releasing twice does nothing.
func (p *Picture) Release() {
	if m := p.memory.Swap(nil); m != nil {
		putBuffer(m)
	}
}

// allocate takes memory for decoded pixels without clearing it.
func (p *Picture) allocate(width, height int) {
	m := getBuffer(3 * width * height)
	p.memory.Store(m)
	p.rgb = resample.RGB{Pix: *m, Stride: 3 * width, Width: width, Height: height}
}

// Letterbox writes the picture into the tensor dst: DstH*DstW*3 bytes, RGB,
// NHWC, upright, the padding filled with pad. The letterbox's source is what
// Bounds covers; for the whole picture that is its upright original size.
func (p *Picture) Letterbox(dst []byte, l Letterbox, pad byte) {
	b := p.Bounds()
	p.LetterboxRegion(dst, l, Box{float64(b.Min.X), float64(b.Min.Y), float64(b.Max.X), float64(b.Max.Y)}, pad)
}

// LetterboxRegion writes the part b of the picture (upright original pixels,
// inside Bounds) as Letterbox writes the whole. The letterbox's source is b.
func (p *Picture) LetterboxRegion(dst []byte, l Letterbox, b Box, pad byte) {
	l.FillPadding(dst, pad)
	inner := resample.RGB{Pix: dst, Stride: 3 * l.DstW, Width: l.DstW, Height: l.DstH}.
		Sub(l.Inner.Min.X, l.Inner.Min.Y, l.Inner.Dx(), l.Inner.Dy())
	p.resize(inner, b.Shift(-float64(p.origin.X), -float64(p.origin.Y)))
}

// ResizeRegion writes the part b (upright original pixels, clamped to Bounds)
// as w x h RGB pixels to dst: h*w*3 bytes, NHWC, upright, stretched to fit. A
// box that is empty there gives the nearest pixel.
func (p *Picture) ResizeRegion(dst []byte, w, h int, b Box) {
	b = b.Shift(-float64(p.origin.X), -float64(p.origin.Y))
	if clamped := b.Clamp(p.width, p.height); !clamped.Empty() {
		b = clamped
	} else {
		r := b.Pixels(p.width, p.height)
		b = Box{float64(r.Min.X), float64(r.Min.Y), float64(r.Max.X), float64(r.Max.Y)}
	}
	p.resize(resample.RGB{Pix: dst, Stride: 3 * w, Width: w, Height: h}, b)
}

// resize takes a box relative to the picture's origin.
func (p *Picture) resize(dst resample.RGB, b Box) {
	r := p.orientation.ToStored(resample.Region(b), float64(p.width), float64(p.height))
	r = resample.Region(Box(r).Scale(p.ratio, p.ratio))
	resample.Resize(dst, p.rgb, r, p.orientation)
}
