package preprocess

import (
	"image"
	"image/color"

	"github.com/lexicam/lexicrop/preprocess/heif"
	"github.com/lexicam/lexicrop/preprocess/resample"
)

// overWhite fills dst with the window of a canvas on which m lies over white:
// dst's pixel (0, 0) is the canvas's window.Min. 16 bits become 8 by division
// by 257, rounded.
func overWhite(dst resample.RGB, window image.Rectangle, m image.Image) {
	covered := m.Bounds().Intersect(window)
	if covered != window {
		for i := range dst.Pix {
			dst.Pix[i] = 255
		}
	}
	row := rowReader(m)
	for y := covered.Min.Y; y < covered.Max.Y; y++ {
		at := (y-window.Min.Y)*dst.Stride + 3*(covered.Min.X-window.Min.X)
		row(dst.Pix[at:at+3*covered.Dx()], covered.Min.X, y)
	}
}

// rowReader gives a function that writes pixels of m from (x, y) on to the
// right, over white, as many as there is room for in dst.
func rowReader(m image.Image) func(dst []byte, x, y int) {
	switch m := m.(type) {
	case *image.RGBA: // colours are premultiplied
		return func(dst []byte, x, y int) {
			src := m.Pix[m.PixOffset(x, y):]
			for ; len(dst) >= 3; dst, src = dst[3:], src[4:] {
				white := 255 - src[3]
				dst[0], dst[1], dst[2] = addCapped(src[0], white), addCapped(src[1], white), addCapped(src[2], white)
			}
		}
	case *image.NRGBA:
		return func(dst []byte, x, y int) {
			src := m.Pix[m.PixOffset(x, y):]
			for ; len(dst) >= 3; dst, src = dst[3:], src[4:] {
				if a := uint32(src[3]); a == 255 {
					copy(dst[:3], src[:3])
				} else {
					dst[0], dst[1], dst[2] = blend(src[0], a), blend(src[1], a), blend(src[2], a)
				}
			}
		}
	case *heif.RGB:
		return func(dst []byte, x, y int) { copy(dst, m.Row(x, y)) }
	case *image.RGBA64:
		return func(dst []byte, x, y int) {
			src := m.Pix[m.PixOffset(x, y):]
			at := func(i int) uint32 { return uint32(src[i])<<8 | uint32(src[i+1]) }
			for ; len(dst) >= 3; dst, src = dst[3:], src[8:] {
				white := 0xffff - at(6)
				dst[0], dst[1], dst[2] = to8(at(0)+white), to8(at(2)+white), to8(at(4)+white)
			}
		}
	case *image.Gray:
		return func(dst []byte, x, y int) {
			src := m.Pix[m.PixOffset(x, y):]
			for ; len(dst) >= 3; dst, src = dst[3:], src[1:] {
				dst[0], dst[1], dst[2] = src[0], src[0], src[0]
			}
		}
	case *image.Paletted:
		var palette [256][3]byte
		for i, c := range m.Palette[:min(len(m.Palette), 256)] {
			r, g, b := colourOverWhite(c)
			palette[i] = [3]byte{r, g, b}
		}
		return func(dst []byte, x, y int) {
			src := m.Pix[m.PixOffset(x, y):]
			for ; len(dst) >= 3; dst, src = dst[3:], src[1:] {
				copy(dst[:3], palette[src[0]][:])
			}
		}
	default:
		return func(dst []byte, x, y int) {
			for ; len(dst) >= 3; dst, x = dst[3:], x+1 {
				dst[0], dst[1], dst[2] = colourOverWhite(m.At(x, y))
			}
		}
	}
}

func blend(v uint8, a uint32) uint8 {
	return uint8((uint32(v)*a + 255*(255-a) + 127) / 255)
}

// addCapped guards against premultiplied colours above their alpha.
func addCapped(a, b uint8) uint8 { return uint8(min(int(a)+int(b), 255)) }

func colourOverWhite(c color.Color) (r, g, b uint8) {
	cr, cg, cb, ca := c.RGBA() // premultiplied, 16 bits
	white := 0xffff - ca
	return to8(cr + white), to8(cg + white), to8(cb + white)
}

func to8(v uint32) uint8 { return uint8((min(v, 0xffff) + 128) / 257) }
