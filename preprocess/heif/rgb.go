package heif

import (
	"image"
	"image/color"
)

// RGB is an image of interleaved 8-bit RGB.
type RGB struct {
	Pix    []byte
	Stride int
	Rect   image.Rectangle
}

// ColorModel is RGBA, always opaque.
func (m *RGB) ColorModel() color.Model { return color.RGBAModel }

// Bounds is where the pixels lie.
func (m *RGB) Bounds() image.Rectangle { return m.Rect }

// At gives a pixel, black outside the bounds.
func (m *RGB) At(x, y int) color.Color {
	if !(image.Pt(x, y).In(m.Rect)) {
		return color.RGBA{A: 255}
	}
	p := m.Row(x, y)
	return color.RGBA{p[0], p[1], p[2], 255}
}

// Row gives the pixels from (x, y) on.
func (m *RGB) Row(x, y int) []byte {
	return m.Pix[(y-m.Rect.Min.Y)*m.Stride+3*(x-m.Rect.Min.X):]
}
