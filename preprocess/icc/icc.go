// Package icc converts pictures with an embedded matrix/TRC profile (Display
// P3, Adobe RGB and the like) to sRGB.
package icc

import "errors"

var (
	// ErrUnsupported is a profile that is not of the matrix/TRC kind or belongs
	// to another number of components.
	ErrUnsupported = errors.New("unsupported ICC profile")
	// ErrMalformed is a block that is not a readable profile.
	ErrMalformed = errors.New("malformed ICC profile")
)

// Transform converts the 8-bit colours of one profile to sRGB. A nil Transform
// leaves colours as they are. It is immutable and safe for concurrent use.
type Transform struct{}

// New reads a profile. components is the number of components that the picture
// is coded with: 3 for RGB and YCbCr, 1 for grey (Apply then still takes RGB
// pixels, all three equal). A profile that is sRGB in effect gives nil and no
// error. Errors wrap ErrUnsupported or ErrMalformed; the picture is usable
// without its profile, so either is worth a warning and no more.
func New(profile []byte, components int) (*Transform, error) {
	return nil, ErrUnsupported
}

// Apply converts interleaved RGB pixels in place.
func (t *Transform) Apply(pix []byte) {}
