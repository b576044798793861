// Package resample resizes 8-bit RGB pictures with the antialiasing triangle
// filter and turns them upright in the same pass.
//
// The filter is the one that Pillow calls BILINEAR: its support grows with the
// reduction, so that every source pixel counts. Rows are resized horizontally,
// rounded to 8 bits, then vertically, as Pillow does.
package resample

import (
	"encoding/binary"
	"sync"
)

// RGB is a view of interleaved 8-bit RGB pixels: pixel (x, y) begins at
// Pix[y*Stride+3*x]. The last row need not be padded to Stride.
type RGB struct {
	Pix           []byte
	Stride        int // bytes from one row to the next
	Width, Height int // pixels
}

// Sub is the part of the view of w x h pixels whose top left pixel is (x, y);
// it shares the pixels. Reading beyond the part is impossible for Resize, which
// otherwise lets the filter reach beyond a Region. It panics when the part is
// not inside the view.
func (m RGB) Sub(x, y, w, h int) RGB {
	if x < 0 || y < 0 || w < 0 || h < 0 || x+w > m.Width || y+h > m.Height {
		panic("resample: Sub outside the picture")
	}
	if w == 0 || h == 0 {
		return RGB{Stride: m.Stride}
	}
	first := y*m.Stride + 3*x
	return RGB{Pix: m.Pix[first : first+(h-1)*m.Stride+3*w], Stride: m.Stride, Width: w, Height: h}
}

// Region is a rectangle in continuous pixel coordinates: pixel i covers
// [i, i+1).
type Region struct{ X1, Y1, X2, Y2 float64 }

// Resize fills all of dst with the region of src, turned upright by o. The
// region is in STORED pixels of src (Orientation.ToStored maps an upright one)
// and may have fractional edges; what lies outside src is cut off, but the
// filter reaches beyond the region where src has pixels there, as Pillow's
// resize(box=...) does. dst has the upright shape and must not overlap src.
// An empty dst or src is left as it is; views whose Pix is too short for their
// size panic. Resize allocates nothing beyond pooled buffers and is safe for
// concurrent use.
func Resize(dst, src RGB, region Region, o Orientation) {
	if dst.Width <= 0 || dst.Height <= 0 || src.Width <= 0 || src.Height <= 0 {
		return
	}
	s := buffers.Get().(*scratch)
	s.resize(newWriter(dst, o), src, region)
	buffers.Put(s)
}

// buffers keeps scratch memory between calls, nothing else.
var buffers = sync.Pool{New: func() any { return new(scratch) }}

// scratch is the working memory of one Resize.
type scratch struct {
	columns, rows taps
	source        []uint64 // one source row, in lanes
	window        []uint64 // the horizontally resized rows that the vertical filter needs
	line          []uint64 // one finished row, in lanes
}

// A pixel is worked on as three lanes of 21 bits in one word: red in the low
// lane, then green, then blue. A lane holds the sum of 8-bit values times
// weights that add up to one in weightBits, with no carry into the next, so
// that one multiplication does a whole pixel.
const (
	laneBits   = 21
	weightBits = laneBits - 8
	one        = 1 << weightBits
	lanes      = 1 | 1<<laneBits | 1<<(2*laneBits)
	halves     = lanes * (one / 2) // rounds to nearest when shifted down
	bytesMask  = lanes * 0xff
)

func (s *scratch) resize(out writer, src RGB, region Region) {
	s.columns.compute(src.Width, out.width, region.X1, region.X2)
	s.rows.compute(src.Height, out.height, region.Y1, region.Y2)
	firstColumn, endColumn := s.columns.span()
	s.source = sized(s.source, endColumn-firstColumn)
	s.window = sized(s.window, s.rows.n*out.width)
	s.line = sized(s.line, out.width)

	n := s.rows.n
	next := 0 // the next source row that is not yet in the window
	for y := range out.height {
		first := int(s.rows.first[y])
		for next = max(next, first); next < first+n; next++ {
			pix := src.Pix[next*src.Stride:]
			unpack(s.source, pix[3*firstColumn:3*endColumn])
			slot := next % n * out.width
			horizontal(s.window[slot:slot+out.width], s.source, &s.columns, firstColumn)
		}
		vertical(s.line, s.window, &s.rows, y)
		out.write(y, s.line)
	}
}

// unpack turns bytes into lanes. len(src) is 3*len(dst).
func unpack(dst []uint64, src []byte) {
	for len(src) >= 12 && len(dst) >= 4 {
		lo, hi := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[4:])
		dst[0], dst[1], dst[2], dst[3] = spread(lo), spread(lo>>24), spread(hi>>16), spread(hi>>40)
		src, dst = src[12:], dst[4:]
	}
	for len(src) >= 3 && len(dst) >= 1 {
		dst[0] = uint64(src[0]) | uint64(src[1])<<laneBits | uint64(src[2])<<(2*laneBits)
		src, dst = src[3:], dst[1:]
	}
}

func spread(v uint64) uint64 {
	return v&0xff | v&0xff00<<(laneBits-8) | v&0xff0000<<(2*laneBits-16)
}

func sized(b []uint64, n int) []uint64 {
	if cap(b) < n {
		return make([]uint64, n)
	}
	return b[:n]
}
