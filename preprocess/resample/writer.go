package resample

// writer puts rows of the stored frame where they belong in the upright
// picture: a row becomes a row or a column, forward or backward.
type writer struct {
	dst           RGB
	width, height int // of the stored frame
	origin        int // offset in dst.Pix of stored pixel (0, 0)
	dx, dy        int // bytes in dst.Pix from a stored pixel to the next one right, and down
}

func newWriter(dst RGB, o Orientation) writer {
	t := o.turn()
	w := writer{dst: dst}
	right, down := 3, dst.Stride
	if t.mirrorX {
		w.origin += 3 * (dst.Width - 1)
		right = -right
	}
	if t.mirrorY {
		w.origin += dst.Stride * (dst.Height - 1)
		down = -down
	}
	w.width, w.height = dst.Width, dst.Height
	w.dx, w.dy = right, down
	if t.swap {
		w.width, w.height = w.height, w.width
		w.dx, w.dy = w.dy, w.dx
	}
	return w
}

// write rounds the lanes of stored row y down to bytes and puts them in place.
func (w writer) write(y int, line []uint64) {
	pix, offset := w.dst.Pix, w.origin+y*w.dy
	for _, v := range line {
		v >>= weightBits
		p := pix[offset : offset+3]
		p[0], p[1], p[2] = byte(v), byte(v>>laneBits), byte(v>>(2*laneBits))
		offset += w.dx
	}
}

// Orient copies src into dst turned upright by o, pixel by pixel. dst must have
// the upright size and must not overlap src; it panics when the sizes differ.
func Orient(dst, src RGB, o Orientation) {
	w := newWriter(dst, o)
	if w.width != src.Width || w.height != src.Height {
		panic("resample: Orient between different sizes")
	}
	for y := range src.Height {
		row := src.Pix[y*src.Stride:][:3*src.Width]
		offset := w.origin + y*w.dy
		if w.dx == 3 {
			copy(dst.Pix[offset:], row)
			continue
		}
		for ; len(row) >= 3; row = row[3:] {
			p := dst.Pix[offset : offset+3]
			p[0], p[1], p[2] = row[0], row[1], row[2]
			offset += w.dx
		}
	}
}
