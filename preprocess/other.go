package preprocess

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/png"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/lexicam/lexicrop/preprocess/header"
)

// decodeOther decodes whole what is not a JPEG and keeps the part in stored
// pixels that p shall show.
func (s *Source) decodeOther(p *Picture, stored image.Rectangle) error {
	m, err := s.decodeWhole()
	if err != nil {
		return err
	}
	// The header was checked against the limits, and the picture is placed by
	// it; a decoder that found another size read another picture.
	if canvas := image.Rect(0, 0, s.header.Width, s.header.Height); !m.Bounds().In(canvas) {
		return fmt.Errorf("%w: picture %v outside %v", errCorrupt, m.Bounds(), canvas)
	}
	p.allocate(stored.Dx(), stored.Dy())
	overWhite(p.rgb, stored, m)
	return nil
}

// decodeWhole gives the first frame, placed on the canvas by its bounds. A
// decoder's panic is the file's fault, not a reason to end the process.
func (s *Source) decodeWhole() (m image.Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fmt.Errorf("%w: decoder panicked: %v", errCorrupt, r)
		}
	}()
	r := bytes.NewReader(s.data)
	switch s.header.Format {
	case header.PNG:
		m, err = png.Decode(r)
	case header.GIF:
		m, err = gif.Decode(r)
	case header.BMP:
		m, err = bmp.Decode(r)
	case header.TIFF:
		m, err = tiff.Decode(r)
	case header.WebP:
		m, err = decodeWebP(s.header.Still)
	default:
		return nil, fmt.Errorf("%w: no decoder for %s", errUnsupported, s.header.Format)
	}
	if isUnsupported(err) {
		return nil, fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return m, err
}

func isUnsupported(err error) bool {
	var inPNG png.UnsupportedError
	var inTIFF tiff.UnsupportedError
	return errors.Is(err, bmp.ErrUnsupported) || errors.As(err, &inPNG) || errors.As(err, &inTIFF)
}
