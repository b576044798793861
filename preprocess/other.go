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
	"github.com/lexicam/lexicrop/preprocess/heif"
	"github.com/lexicam/lexicrop/preprocess/resample"
	"github.com/lexicam/lexicrop/preprocess/webp"
)

// still is a decoded first frame, placed by its bounds on the canvas whose part
// from (0, 0) on is shown.
type still struct {
	image.Image
	canvas image.Rectangle
	// partial formats have frames smaller than the canvas.
	partial     bool
	orientation resample.Orientation
	release     func()
}

// check compares with the canvas, which was checked against the limits: a
// decoder that found another size read another picture. One pixel is left to
// the rounding of HEIF's clean aperture.
func (m still) check() error {
	b := m.Bounds()
	missing := m.canvas.Size().Sub(b.Size())
	if !b.In(m.canvas) || !m.partial && max(missing.X, missing.Y) > 1 {
		return fmt.Errorf("%w: picture %v in a canvas %v", errCorrupt, b, m.canvas)
	}
	return nil
}

// decodeOther decodes whole what is not a JPEG and keeps the part r (upright
// pixels), which it places in p.
func (s *Source) decodeOther(p *Picture, r image.Rectangle) error {
	m, err := s.decodeWhole()
	if err != nil {
		return err
	}
	defer m.release()
	if err := m.check(); err != nil {
		return err
	}
	p.orientation = m.orientation
	stored := s.stored(r, m.orientation)
	p.allocate(stored.Dx(), stored.Dy())
	overWhite(p.rgb, stored, m.Image)
	return nil
}

// decodeWhole runs the format's decoder. A decoder's panic is the file's fault,
// not a reason to end the process.
func (s *Source) decodeWhole() (m still, err error) {
	defer func() {
		if r := recover(); r != nil {
			m, err = still{}, fmt.Errorf("%w: decoder panicked: %v", errCorrupt, r)
		}
	}()
	h := &s.header
	m = still{
		canvas:      image.Rect(0, 0, h.Width, h.Height),
		partial:     h.Format == header.GIF || h.Format == header.WebP,
		orientation: s.orientation,
		release:     func() {},
	}
	r := bytes.NewReader(s.data)
	switch h.Format {
	case header.PNG:
		m.Image, err = png.Decode(r)
	case header.GIF:
		m.Image, err = gif.Decode(r)
	case header.BMP:
		m.Image, err = bmp.Decode(r)
	case header.TIFF:
		m.Image, err = tiff.Decode(r)
	case header.WebP:
		return s.decodeWebP(m)
	case header.HEIC, header.AVIF:
		return s.decodeHEIF(m)
	default:
		return still{}, fmt.Errorf("%w: no decoder for %s", errUnsupported, h.Format)
	}
	if isUnsupported(err) {
		return still{}, fmt.Errorf("%w: %w", errUnsupported, err)
	}
	return m, err
}

func (s *Source) decodeWebP(m still) (still, error) {
	p, err := webp.Decode(s.header.Still)
	m.Image, m.release = p.Image, p.Release
	return m, err
}

func (s *Source) decodeHEIF(m still) (still, error) {
	coded := s.header.Coded.Canvas
	p, err := heif.Decode(s.data, s.header.Format == header.AVIF, max(coded.Dx(), coded.Dy())+128)
	if err != nil {
		return still{}, err
	}
	m.release = p.Release
	if p.Turned {
		m.Image, m.orientation = p.Image, resample.Upright
		m.canvas = image.Rect(0, 0, s.info.Width, s.info.Height)
		return m, nil
	}
	m.canvas = coded
	switch i := p.Image.(type) {
	case *image.RGBA:
		i.Rect = i.Rect.Add(coded.Min)
	case *image.RGBA64:
		i.Rect = i.Rect.Add(coded.Min)
	}
	m.Image = p.Image
	return m, nil
}

func isUnsupported(err error) bool {
	var inPNG png.UnsupportedError
	var inTIFF tiff.UnsupportedError
	return errors.Is(err, bmp.ErrUnsupported) || errors.As(err, &inPNG) || errors.As(err, &inTIFF)
}
