// Package icc converts pictures with an embedded matrix/TRC profile (Display
// P3, Adobe RGB, camera and monitor profiles) to sRGB.
//
// The conversion is relative colorimetric with black point compensation, which
// is what Little CMS makes of such profiles for the perceptual intent: curve of
// each channel, 3x3 matrix over XYZ (D50), curve of sRGB.
package icc

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

var (
	// ErrUnsupported is a profile that is not of the matrix/TRC kind (lookup
	// tables, CMYK, XYB) or that belongs to another number of components.
	ErrUnsupported = errors.New("unsupported ICC profile")
	// ErrMalformed is a block that is not a readable profile.
	ErrMalformed = errors.New("malformed ICC profile")
)

// Transform converts the 8-bit colours of one profile to sRGB. A nil Transform
// leaves colours as they are. It is immutable and safe for concurrent use.
type Transform struct {
	// contribution[c][v] is what value v of channel c adds to the linear red,
	// green and blue of sRGB, in lanes; biases is in channel 0.
	contribution [3][256]uint64
	encode       *[1 << encodeBits]byte
}

// A word carries linear red, green and blue in three lanes of 21 bits, so that
// three additions do a whole pixel. A lane is bias + light*unit. Inside the sRGB
// gamut the bits from unitBits up are then those of bias, which one comparison
// tells for all lanes, and the upper encodeBits of those below index the curve.
const (
	laneBits   = 21
	unitBits   = 16
	unit       = 1<<unitBits - 4 // keeps white inside in spite of rounding
	maxGain    = 15
	bias       = maxGain << unitBits
	encodeBits = 14 // one step is at most a fifth of an 8-bit level

	lanes      = 1 | 1<<laneBits | 1<<(2*laneBits)
	biases     = lanes * bias
	gamutMask  = lanes * (1<<laneBits - 1<<unitBits)
	encodeMask = 1<<encodeBits - 1
)

// New reads a profile. components is the number of components that the picture
// is coded with: 3 for RGB and YCbCr, 1 for grey (Apply then still takes RGB
// pixels, all three equal). A profile that is sRGB in effect gives nil and no
// error. Errors wrap ErrUnsupported or ErrMalformed; the picture is usable
// without its profile, so either is worth a warning and no more.
func New(profile []byte, components int) (*Transform, error) {
	p, err := parse(profile)
	if err != nil {
		return nil, err
	}
	t := Transform{encode: encodeTable()}
	switch space := string(p.space); {
	case space == "RGB " && components == 3:
		err = t.setRGB(p)
	case space == "GRAY" && components == 1:
		err = t.setGrey(p)
	default:
		err = fmt.Errorf("%w: colour space %q for a picture of %d components", ErrUnsupported, p.space, components)
	}
	if err != nil {
		return nil, err
	}
	if t.neutral(components) {
		return nil, nil
	}
	kept := t // on the heap only where there is something to do
	return &kept, nil
}

// Apply converts interleaved 8-bit RGB pixels in place; bytes behind the last
// whole pixel are left alone.
func (t *Transform) Apply(pix []byte) {
	if t == nil {
		return
	}
	red, green, blue, encode := &t.contribution[0], &t.contribution[1], &t.contribution[2], t.encode
	const spare = unitBits - encodeBits
	for i := 0; i+2 < len(pix); i += 3 {
		p := (*[3]byte)(pix[i:])
		sum := red[p[0]] + green[p[1]] + blue[p[2]]
		if (sum^biases)&gamutMask != 0 {
			sum = clip(sum)
		}
		p[0] = encode[sum>>spare&encodeMask]
		p[1] = encode[sum>>(laneBits+spare)&encodeMask]
		p[2] = encode[sum>>(2*laneBits+spare)&encodeMask]
	}
}

// clip takes lanes outside the gamut to the nearest end of it.
func clip(sum uint64) uint64 {
	var clipped uint64
	for shift := 0; shift < 3*laneBits; shift += laneBits {
		light := int(sum>>shift&(1<<laneBits-1)) - bias
		clipped |= uint64(min(max(light, 0), 1<<unitBits-1)) << shift
	}
	return clipped
}

// fromPCS is linear sRGB from XYZ under D50: the inverse of the sRGB primaries
// of IEC 61966-2-1 after Bradford adaptation from D65.
var fromPCS = [3][3]float64{
	{3.1338561, -1.6168667, -0.4906146},
	{-0.9787684, 1.9161415, 0.0334540},
	{0.0719453, -0.2289914, 1.4052427},
}

func (t *Transform) setRGB(p profile) error {
	// The tags of the matrix model: a colorant and a curve for each channel.
	tags := [3][2]string{{"rXYZ", "rTRC"}, {"gXYZ", "gTRC"}, {"bXYZ", "bTRC"}}
	var gains [3][3]float64 // [channel][linear sRGB]
	var curves [3]curve
	var black float64 // luminance of 0, 0, 0
	for c, tag := range tags {
		xyz, err := p.xyz(tag[0])
		if err != nil {
			return err
		}
		for row := range 3 {
			gains[c][row] = fromPCS[row][0]*xyz[0] + fromPCS[row][1]*xyz[1] + fromPCS[row][2]*xyz[2]
		}
		if c > 0 && p.sameTag(tags[c-1][1], tag[1]) {
			curves[c] = curves[c-1] // as in most profiles; powers take time
		} else if err := curves[c].read(p, tag[1]); err != nil {
			return err
		}
		black += xyz[1] * curves[c][0]
	}
	for row := range 3 {
		if math.Abs(gains[0][row])+math.Abs(gains[1][row])+math.Abs(gains[2][row]) >= maxGain/2 {
			return fmt.Errorf("%w: colorants far out of range", ErrUnsupported)
		}
	}
	for c := range curves {
		t.setChannel(c, &curves[c], gains[c], black)
	}
	return nil
}

func (t *Transform) setGrey(p profile) error {
	var linear curve
	if err := linear.read(p, "kTRC"); err != nil {
		return err
	}
	t.setChannel(0, &linear, [3]float64{1, 1, 1}, linear[0])
	return nil
}

// setChannel sets what the values of a channel contribute. Where the profile
// says that its black has a luminance, light is stretched so that it comes out
// as black (black point compensation).
//
// Wrapping arithmetic: a negative contribution borrows from the lane above, and
// the bias gives it back because every full sum is positive.
func (t *Transform) setChannel(c int, linear *curve, gain [3]float64, black float64) {
	// Little CMS believes no black above L* = 50 either.
	black = min(max(black, 0), 0.18)
	scale := unit / (1 - black)
	offset := 0.0
	if c == 0 {
		offset = bias - black*scale
	}
	for v, y := range linear {
		word := uint64(0)
		for lane := range 3 {
			part := int64(math.Round(y*gain[lane]*scale + offset))
			word += uint64(part) << (lane * laneBits)
		}
		t.contribution[c][v] = word
	}
}

// neutral tells whether the transform moves no colour by more than two levels,
// as for the many variants of sRGB itself: then it is not worth its time, nor
// the rounding. Ramps of grey and of each primary tell.
func (t *Transform) neutral(components int) bool {
	const tolerance = 2
	ramps := [][3]int{{1, 1, 1}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}}
	if components == 1 {
		ramps = ramps[:1]
	}
	for v := range 256 {
		for _, ramp := range ramps {
			want := [3]byte{byte(v * ramp[0]), byte(v * ramp[1]), byte(v * ramp[2])}
			got := want
			t.Apply(got[:])
			for c := range got {
				if d := int(got[c]) - int(want[c]); d > tolerance || d < -tolerance {
					return false
				}
			}
		}
	}
	return true
}

// encodeTable is the sRGB curve from linear light, whose steps are the cells
// [i, i+1)>>encodeBits, to 8 bits. It never changes.
var encodeTable = sync.OnceValue(func() *[1 << encodeBits]byte {
	table := new([1 << encodeBits]byte)
	level := 0
	for i := range table {
		centre := (float64(i) + 0.5) / (1 << encodeBits)
		for level < 255 && centre >= srgbLinear((float64(level)+0.5)/255) {
			level++
		}
		table[i] = byte(level)
	}
	return table
})

// srgbLinear is the curve of IEC 61966-2-1 from a coded value to linear light.
func srgbLinear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}
