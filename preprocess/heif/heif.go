// Package heif decodes HEIC and AVIF pictures.
//
// It uses the system's libheif if there is one. AVIF without it, and what it
// cannot do of AVIF (sequences, in older versions), goes to a WebAssembly build
// of libavif, which takes many times as long. HEIC without it is not taken: the
// WebAssembly build of libheif that there is (gen2brain/heic 0.4.5) fails on
// pictures that libheif itself has written, loses alpha, and gives wrong colours
// without an error where a clean aperture is cut out.
package heif

import (
	"bytes"
	"errors"
	"fmt"
	"image"

	"github.com/gen2brain/avif"
)

var (
	// ErrCorrupt is a file that the decoder could not read.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnsupported is a file of a kind that the decoder does not know.
	ErrUnsupported = errors.New("unsupported")
)

// Picture is a decoded picture. Its Image is valid until Release.
type Picture struct {
	// Image is an *RGB, *image.RGBA, *image.RGBA64 or *image.NRGBA at (0, 0).
	image.Image
	// Turned tells that the transformations in the file (irot, imir, clap) are
	// applied; otherwise the picture is as coded.
	Turned  bool
	release func()
}

// Release gives back memory of the library.
func (p Picture) Release() {
	if p.release != nil {
		p.release()
	}
}

// Decode decodes the primary picture of a file whose header has been checked:
// no side is longer than maxSide.
func Decode(data []byte, isAVIF bool, maxSide int) (Picture, error) {
	p, err := decodeSystem(data, maxSide)
	if err == nil || errors.Is(err, ErrCorrupt) {
		return p, err
	}
	if isAVIF {
		return decodeAVIF(data)
	}
	return Picture{}, err
}

// errNoLibrary says that this machine or build has no libheif.
var errNoLibrary = fmt.Errorf("%w: there is no libheif here", ErrUnsupported)

func decodeAVIF(data []byte) (Picture, error) {
	m, err := avif.Decode(bytes.NewReader(data))
	if err != nil {
		return Picture{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if blank(m) {
		return Picture{}, fmt.Errorf("%w: AVIF frame did not decode", ErrCorrupt)
	}
	return Picture{Image: m}, nil
}

// blank tells a picture of zeros, transparent ones: what the decoder leaves,
// without an error, of a frame that it could not decode.
func blank(m image.Image) bool {
	var pix []byte
	switch m := m.(type) {
	case *image.RGBA:
		pix = m.Pix
	case *image.RGBA64:
		pix = m.Pix
	}
	for _, v := range pix {
		if v != 0 {
			return false
		}
	}
	return true
}
