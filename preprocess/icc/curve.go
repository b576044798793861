package icc

import (
	"encoding/binary"
	"fmt"
	"math"
)

// curve is the light, 0..1, of the 256 coded values of a channel.
type curve [256]float64

// read evaluates a tone reproduction curve (TRC) tag.
func (c *curve) read(p profile, signature string) error {
	block, err := p.tag(signature)
	if err != nil {
		return err
	}
	switch string(block[:4]) {
	case "curv":
		err = c.sampled(block[8:])
	case "para":
		err = c.parametric(block[8:])
	default:
		err = fmt.Errorf("%w: curve of type %q", ErrUnsupported, block[:4])
	}
	if err != nil {
		return fmt.Errorf("%s: %w", signature, err)
	}
	return nil
}

// sampled evaluates a curveType (10.5): nothing for the identity, one number
// for a power, more for samples between which to interpolate.
func (c *curve) sampled(block []byte) error {
	if len(block) < 4 {
		return fmt.Errorf("%w: curve cut off", ErrMalformed)
	}
	count, samples := uint64(binary.BigEndian.Uint32(block)), block[4:]
	if 2*count > uint64(len(samples)) {
		return fmt.Errorf("%w: curve of %d samples in %d bytes", ErrMalformed, count, len(samples))
	}
	switch count {
	case 0:
		for v := range c {
			c[v] = float64(v) / 255
		}
	case 1:
		gamma := float64(binary.BigEndian.Uint16(samples)) / 256
		for v := range c {
			c[v] = math.Pow(float64(v)/255, gamma)
		}
	default:
		last := int(count) - 1
		sample := func(i int) float64 { return float64(binary.BigEndian.Uint16(samples[2*i:])) / math.MaxUint16 }
		for v := range c {
			at := float64(v) / 255 * float64(last)
			i := min(int(at), last-1)
			rest := at - float64(i)
			c[v] = sample(i)*(1-rest) + sample(i+1)*rest
		}
	}
	return nil
}

// parametric evaluates a parametricCurveType (10.15). Its five forms are one:
// (slope*x + shift)^power + lift from corner on, below*x + liftBelow before.
func (c *curve) parametric(block []byte) error {
	if len(block) < 4 {
		return fmt.Errorf("%w: curve cut off", ErrMalformed)
	}
	form, numbers := binary.BigEndian.Uint16(block), block[4:]
	counts := [...]int{1, 3, 4, 5, 7}
	if int(form) >= len(counts) {
		return fmt.Errorf("%w: parametric curve of form %d", ErrUnsupported, form)
	}
	if len(numbers) < 4*counts[form] {
		return fmt.Errorf("%w: parametric curve cut off", ErrMalformed)
	}
	var n [7]float64
	for i := range counts[form] {
		n[i] = fixed(numbers[4*i:])
	}
	power, slope, shift, below, corner, lift, liftBelow := n[0], n[1], n[2], n[3], n[4], n[5], n[6]
	switch form {
	case 0:
		slope = 1
	case 1, 2:
		if slope == 0 {
			return fmt.Errorf("%w: parametric curve without a slope", ErrMalformed)
		}
		lift, liftBelow = n[3], n[3]
		below, corner = 0, -shift/slope
	}
	for v := range c {
		x := float64(v) / 255
		y := below*x + liftBelow
		if x >= corner {
			y = math.Pow(max(slope*x+shift, 0), power) + lift
		}
		c[v] = min(max(y, 0), 1)
	}
	return nil
}
