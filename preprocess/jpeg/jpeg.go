// Package jpeg decodes JPEG pictures to 8-bit RGB, at a reduced size or only a
// part of them where that saves work, and encodes them.
//
// With cgo it is libjpeg-turbo. Without, it is Go's image/jpeg with the same
// interface: slower, without arithmetic coding and a few odd files, and equal
// within the tolerance that the tests state.
package jpeg

import (
	"errors"
	"image"
)

// What a decoding can end in. Errors wrap one of them.
var (
	// ErrCorrupt is a stream that cannot be followed.
	ErrCorrupt = errors.New("corrupt JPEG")
	// ErrDamaged is a stream with pixels missing or wrong, as a cut-off upload.
	ErrDamaged = errors.New("damaged JPEG")
	// ErrUnsupported is a legal kind of JPEG that this decoder does not know.
	ErrUnsupported = errors.New("unsupported JPEG")
	// ErrTooManyScans is a progressive picture of more than MaxScans scans, each
	// of which may cost a pass over all of the picture for a few bytes.
	ErrTooManyScans = errors.New("JPEG with too many scans")
	// ErrMemory is no fault of the stream: libjpeg got no memory.
	ErrMemory = errors.New("no memory for a JPEG")
)

// MaxScans is far above what encoders write (about 10 for a progressive JPEG).
const MaxScans = 100

// Scale is a reduction in eighths of the original size.
type Scale int

// The reductions that cost less than decoding at full size.
const (
	Eighth  Scale = 1
	Quarter Scale = 2
	Half    Scale = 4
	Full    Scale = 8
)

// Size is that of a w x h picture decoded at the scale. It is rounded up: the
// last pixel of a row or column may cover less of the original than the rest,
// so original coordinates map by Ratio and not by the quotient of the sizes.
func (s Scale) Size(w, h int) (int, int) {
	return (w*int(s) + 7) / 8, (h*int(s) + 7) / 8
}

// Ratio is scaled pixels per original pixel.
func (s Scale) Ratio() float64 { return float64(s) / 8 }

// ScaleFor is the strongest reduction that leaves at least minWidth x minHeight
// of a w x h picture, Full if the picture is smaller itself.
func ScaleFor(w, h, minWidth, minHeight int) Scale {
	for _, s := range []Scale{Eighth, Quarter, Half} {
		if w*int(s) >= minWidth*8 && h*int(s) >= minHeight*8 {
			return s
		}
	}
	return Full
}

// Window is what Decode shall give.
type Window struct {
	// Width and Height are those of the whole picture as its header has them.
	Width, Height int
	Scale         Scale
	// Rect is the part wanted, in pixels of the scaled picture.
	Rect image.Rectangle
}

// Whole is the window of a whole picture.
func Whole(width, height int, s Scale) Window {
	w, h := s.Size(width, height)
	return Window{Width: width, Height: height, Scale: s, Rect: image.Rect(0, 0, w, h)}
}

// check guards the memory that the C side writes to.
func (w Window) check(dst []byte, stride int) error {
	switch w.Scale {
	case Eighth, Quarter, Half, Full:
	default:
		return errors.New("jpeg: no such scale")
	}
	if w.Width <= 0 || w.Height <= 0 || w.Width > 65535 || w.Height > 65535 {
		return errors.New("jpeg: no such size")
	}
	width, height := w.Scale.Size(w.Width, w.Height)
	if w.Rect.Empty() || !w.Rect.In(image.Rect(0, 0, width, height)) {
		return errors.New("jpeg: window outside the picture")
	}
	if stride < 3*w.Rect.Dx() || len(dst) < (w.Rect.Dy()-1)*stride+3*w.Rect.Dx() {
		return errors.New("jpeg: destination too small")
	}
	return nil
}

func checkEncode(pix []byte, stride, width, height int) error {
	if width <= 0 || height <= 0 || width > 65500 || height > 65500 ||
		stride < 3*width || len(pix) < (height-1)*stride+3*width {
		return errors.New("jpeg: no such picture to encode")
	}
	return nil
}
