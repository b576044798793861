package jpeg

// What builds without cgo decode and encode with. It is compiled always, so
// that it can be compared with libjpeg-turbo.

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
)

// plainDecode does what Decode does, by image/jpeg.
func plainDecode(dst []byte, stride int, data []byte, window Window) (warnings []string, err error) {
	if err := window.check(dst, stride); err != nil {
		return nil, err
	}
	if scans := bytes.Count(data, []byte{0xff, 0xda}); scans > MaxScans {
		return nil, fmt.Errorf("%w: more than %d", ErrTooManyScans, MaxScans)
	}
	m, err := jpeg.Decode(bytes.NewReader(data))
	var unsupported jpeg.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case m.Bounds() != image.Rect(0, 0, window.Width, window.Height):
		return nil, fmt.Errorf("%w: two different sizes", ErrCorrupt)
	}
	reduce(dst, stride, m, window)
	return nil, nil
}

// reduce averages squares of pixels, which is what decoding fewer DCT
// coefficients amounts to within a level or so.
func reduce(dst []byte, stride int, m image.Image, window Window) {
	side := 8 / int(window.Scale)
	at := reader(m)
	for y := range window.Rect.Dy() {
		row := dst[y*stride:]
		for x := range window.Rect.Dx() {
			x0, y0 := (window.Rect.Min.X+x)*side, (window.Rect.Min.Y+y)*side
			x1, y1 := min(x0+side, window.Width), min(y0+side, window.Height)
			var sum [3]int
			for v := y0; v < y1; v++ {
				for u := x0; u < x1; u++ {
					r, g, b := at(u, v)
					sum[0], sum[1], sum[2] = sum[0]+int(r), sum[1]+int(g), sum[2]+int(b)
				}
			}
			n := (x1 - x0) * (y1 - y0)
			for c := range sum {
				row[3*x+c] = byte((sum[c] + n/2) / n)
			}
		}
	}
}

func reader(m image.Image) func(x, y int) (r, g, b uint8) {
	switch m := m.(type) {
	case *image.YCbCr:
		return func(x, y int) (r, g, b uint8) {
			i, j := m.YOffset(x, y), m.COffset(x, y)
			return color.YCbCrToRGB(m.Y[i], m.Cb[j], m.Cr[j])
		}
	case *image.Gray:
		return func(x, y int) (r, g, b uint8) {
			v := m.Pix[m.PixOffset(x, y)]
			return v, v, v
		}
	case *image.CMYK:
		return func(x, y int) (r, g, b uint8) {
			c := m.CMYKAt(x, y)
			return color.CMYKToRGB(c.C, c.M, c.Y, c.K)
		}
	default:
		return func(x, y int) (r, g, b uint8) {
			cr, cg, cb, _ := m.At(x, y).RGBA()
			return uint8(cr >> 8), uint8(cg >> 8), uint8(cb >> 8)
		}
	}
}

// plainEncode does what Encode does, by image/jpeg.
func plainEncode(w io.Writer, pix []byte, stride, width, height, quality int, profile []byte) error {
	if err := checkEncode(pix, stride, width, height); err != nil {
		return err
	}
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		from, to := pix[y*stride:y*stride+3*width], m.Pix[y*m.Stride:]
		for x := range width {
			copy(to[4*x:4*x+3], from[3*x:3*x+3])
			to[4*x+3] = 255
		}
	}
	out := &afterStart{w: w, insert: iccSegments(profile)}
	if err := jpeg.Encode(out, m, &jpeg.Options{Quality: quality}); err != nil {
		return fmt.Errorf("writing JPEG: %w", err)
	}
	return nil
}

// afterStart inserts bytes behind the start marker, the first two bytes written.
type afterStart struct {
	w       io.Writer
	insert  []byte
	written int
}

func (a *afterStart) Write(p []byte) (int, error) {
	n := 0
	if a.written < 2 {
		head := min(2-a.written, len(p))
		k, err := a.w.Write(p[:head])
		n, a.written = k, a.written+k
		if err != nil || a.written < 2 {
			return n, err
		}
		if _, err := a.w.Write(a.insert); err != nil {
			return n, err
		}
	}
	k, err := a.w.Write(p[n:])
	a.written += k
	return n + k, err
}

// iccSegments splits a profile over APP2 segments as ICC.1:2010 annex B.4 says.
func iccSegments(profile []byte) []byte {
	const most = 65535 - 2 - 14
	count := (len(profile) + most - 1) / most
	var out []byte
	for i := 1; len(profile) > 0; i++ {
		part := profile[:min(most, len(profile))]
		profile = profile[len(part):]
		size := len(part) + 2 + 14
		out = append(out, 0xff, 0xe2, byte(size>>8), byte(size))
		out = append(out, "ICC_PROFILE\x00"...)
		out = append(out, byte(i), byte(count))
		out = append(out, part...)
	}
	return out
}
