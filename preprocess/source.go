// Package preprocess turns the bytes of an upload into what the networks take,
// and boxes back: it opens an image file (Open), decodes as much of it as is
// needed (Source.Decode, Source.DecodeRegion), writes it upright into a tensor
// (Picture.Letterbox, Picture.ResizeRegion), maps boxes between the tensor and
// the original (Letterbox), and encodes crops (Picture.Encode).
//
// Uploads are hostile until shown otherwise. What a header claims is checked
// against Limits and against the length of the file before anything is
// allocated by it, and a file that is broken gives an *Error, not half a picture.
package preprocess

import (
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/lexicam/lexicrop/preprocess/exif"
	"github.com/lexicam/lexicrop/preprocess/header"
	"github.com/lexicam/lexicrop/preprocess/heif"
	"github.com/lexicam/lexicrop/preprocess/icc"
	"github.com/lexicam/lexicrop/preprocess/jpeg"
	"github.com/lexicam/lexicrop/preprocess/resample"
)

// Limits bound what Open takes. They are checked against the header, before
// anything is allocated by it. A field of 0 means the one of DefaultLimits.
type Limits struct {
	MaxBytes  int64 // of the file
	MaxPixels int64 // width times height
	MaxSide   int   // of the longer side, in pixels
}

// DefaultLimits takes what phones make, up to 48 megapixels, and some more.
var DefaultLimits = Limits{MaxBytes: 32 << 20, MaxPixels: 64e6, MaxSide: 16384}

// Source is an image file whose header was read. It is immutable and safe for
// concurrent use.
type Source struct {
	data        []byte
	header      header.Header
	orientation resample.Orientation
	info        Info
	warning     string // of the header, "" for none
}

// Info is what the header says.
type Info struct {
	Format        string // one of Formats
	Width, Height int    // upright original pixels: as people see the picture
	// Orientation is how the stored pixels have to be turned, EXIF 1..8; of HEIC
	// and AVIF as the container says, which is where it stands there.
	Orientation int
	HasProfile  bool // an ICC profile is embedded
}

// Open reads the header of an image file and checks it against the limits. It
// decodes nothing and allocates nothing that grows with the picture. data must
// stay unchanged as long as the Source is used. Errors are of type *Error.
func Open(data []byte, lim Limits) (*Source, error) {
	lim = lim.orDefault()
	if int64(len(data)) > lim.MaxBytes {
		return nil, &Error{Kind: TooManyBytes, Err: fmt.Errorf("%d bytes, at most %d are taken", len(data), lim.MaxBytes)}
	}
	h, err := header.Read(data)
	if err != nil {
		return nil, headerError(h.Format, err)
	}
	if h.Width > lim.MaxSide || h.Height > lim.MaxSide || int64(h.Width)*int64(h.Height) > lim.MaxPixels {
		return nil, &Error{Kind: TooManyPixels, Format: h.Format, Err: fmt.Errorf(
			"%d x %d pixels, at most %d and %d a side are taken", h.Width, h.Height, lim.MaxPixels, lim.MaxSide)}
	}
	if int64(len(data)) < h.MinBytes {
		return nil, &Error{Kind: Corrupt, Format: h.Format, Err: fmt.Errorf(
			"%d bytes cannot hold %d x %d pixels", len(data), h.Width, h.Height)}
	}
	if h.Format == header.HEIC && !heif.Available() {
		return nil, &Error{Kind: Unsupported, Format: h.Format, Err: errors.New("HEIC is not taken without the system's libheif")}
	}
	s := &Source{data: data, header: h, orientation: max(h.Turn, resample.Upright)}
	if h.Turn == 0 && h.EXIF != nil {
		o, err := exif.Orientation(h.EXIF)
		if err != nil {
			s.warning = fmt.Sprintf("orientation taken as upright: %v", err)
		}
		s.orientation = resample.Orientation(o)
	}
	s.info = Info{Format: h.Format, Orientation: int(s.orientation), HasProfile: h.HasProfile()}
	s.info.Width, s.info.Height = s.orientation.Size(h.Width, h.Height)
	return s, nil
}

func (l Limits) orDefault() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultLimits.MaxBytes
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = DefaultLimits.MaxPixels
	}
	if l.MaxSide <= 0 {
		l.MaxSide = DefaultLimits.MaxSide
	}
	return l
}

// Info is what the header says.
func (s *Source) Info() Info { return s.info }

// Option changes how a picture is decoded.
type Option int

// KeepProfile leaves the colours of an RGB picture as they are stored, so that
// Picture.Encode can embed the profile that belongs to them, instead of
// converting them to sRGB. Grey and CMYK pictures become sRGB all the same.
const KeepProfile Option = 1

// Oversampling is how many decoded pixels a letterbox wants for each of its own,
// a side, to be within 50 dB (peak signal-to-noise ratio) of a resize of the
// full picture. The codec's reduction is a sharper filter than the triangle: on
// a phone's photo a factor of 2 gives 56 dB, on small sharp pictures 46 dB and a
// factor of 3 then 50 dB.
const Oversampling = 3

// Decode gives the whole picture in sRGB, alpha over white, in at least
// minWidth x minHeight upright pixels if it has so many. Where the codec can
// (JPEG), it is decoded at the strongest reduction (1/8, 1/4, 1/2) that leaves
// as much. For a letterbox ask for Oversampling times the sides of
// Letterbox.Inner. Minimums of 0 or less mean full size.
// Errors are of type *Error unless memory runs out.
func (s *Source) Decode(minWidth, minHeight int, opts ...Option) (*Picture, error) {
	if minWidth <= 0 || minHeight <= 0 {
		minWidth, minHeight = s.info.Width, s.info.Height
	}
	minWidth, minHeight = s.orientation.Size(minWidth, minHeight)
	scale := jpeg.Full
	// Ink is multiplied to light, which cannot be done after averaging.
	if s.header.Format == header.JPEG && s.header.Components != 4 {
		scale = jpeg.ScaleFor(s.header.Width, s.header.Height, minWidth, minHeight)
	}
	return s.decode(image.Rect(0, 0, s.info.Width, s.info.Height), scale, opts)
}

// DecodeRegion gives the part r (upright original pixels, clamped to the
// picture) at original resolution. Of a JPEG only the rows down to the region's
// end are read and only its columns are transformed. An empty region is an
// error, not of type *Error.
func (s *Source) DecodeRegion(r image.Rectangle, opts ...Option) (*Picture, error) {
	r = r.Intersect(image.Rect(0, 0, s.info.Width, s.info.Height))
	if r.Empty() {
		return nil, fmt.Errorf("decoding a region: it is empty in a picture of %d x %d", s.info.Width, s.info.Height)
	}
	return s.decode(r, jpeg.Full, opts)
}

// decode gives the part r; at another scale than Full only the whole.
func (s *Source) decode(r image.Rectangle, scale jpeg.Scale, opts []Option) (*Picture, error) {
	p := &Picture{
		orientation: s.orientation,
		width:       r.Dx(), height: r.Dy(), origin: r.Min,
		ratio: scale.Ratio(),
	}
	if s.warning != "" {
		p.warnings = append(p.warnings, s.warning)
	}
	var err error
	if s.header.Format == header.JPEG {
		err = s.decodeJPEG(p, r, scale)
	} else {
		err = s.decodeOther(p, r)
	}
	if err != nil {
		p.Release()
		return nil, decodeError(s.header.Format, err)
	}
	s.convert(p, slices.Contains(opts, KeepProfile))
	return p, nil
}

// stored maps whole upright pixels to those of pixels with orientation o.
func (s *Source) stored(r image.Rectangle, o resample.Orientation) image.Rectangle {
	t := o.ToStored(
		resample.Region{X1: float64(r.Min.X), Y1: float64(r.Min.Y), X2: float64(r.Max.X), Y2: float64(r.Max.Y)},
		float64(s.info.Width), float64(s.info.Height))
	return image.Rect(int(t.X1), int(t.Y1), int(t.X2), int(t.Y2))
}

func (s *Source) decodeJPEG(p *Picture, r image.Rectangle, scale jpeg.Scale) error {
	window := jpeg.Whole(s.header.Width, s.header.Height, scale)
	if scale == jpeg.Full {
		window.Rect = s.stored(r, s.orientation)
	}
	p.allocate(window.Rect.Dx(), window.Rect.Dy())
	warnings, err := jpeg.Decode(p.rgb.Pix, p.rgb.Stride, s.data, window)
	p.warnings = append(p.warnings, warnings...)
	return err
}

// convert brings the colours to sRGB. A profile that cannot be used never fails
// a picture.
func (s *Source) convert(p *Picture, keep bool) {
	if !s.header.HasProfile() {
		return
	}
	if s.header.Components == 4 {
		p.warn("ICC profile ignored: CMYK is converted without it")
		return
	}
	profile, err := s.header.Profile()
	if err != nil {
		p.warn("ICC profile ignored: %v", err)
		return
	}
	if keep && isRGBProfile(profile) {
		p.profile = profile
		return
	}
	transform, err := icc.New(profile, s.header.Components)
	if err != nil {
		p.warn("ICC profile ignored: %v", err)
		return
	}
	if transform == nil {
		return
	}
	for y := range p.rgb.Height {
		row := p.rgb.Pix[y*p.rgb.Stride:]
		transform.Apply(row[:3*p.rgb.Width])
	}
}

// isRGBProfile looks at the colour space and the signature in a profile's
// header (ICC.1:2010 section 7.2).
func isRGBProfile(profile []byte) bool {
	return len(profile) >= 128 && string(profile[16:20]) == "RGB " && string(profile[36:40]) == "acsp"
}
