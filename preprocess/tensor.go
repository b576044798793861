package preprocess

import (
	"encoding/binary"
	"math"
)

// Layout is the order of the dimensions of a picture tensor.
type Layout int

// The layouts.
const (
	NHWC Layout = iota // pixel by pixel: R, G, B
	NCHW               // plane by plane: all of R, then G, then B
)

// Scale maps a channel's 8-bit value v to a*v + b, for R, G and B.
type Scale struct{ A, B [3]float64 }

// The scales that networks want.
var (
	// Scale255 leaves values as 0..255.
	Scale255 = Scale{A: [3]float64{1, 1, 1}}
	// Scale1 makes them 0..1.
	Scale1 = Scale{A: [3]float64{1. / 255, 1. / 255, 1. / 255}}
	// ScaleImageNet makes them 0..1 and then subtracts the mean and divides by the deviation of
	// ImageNet's channels, as torchvision's pretrained networks want it.
	ScaleImageNet = Scale{
		A: [3]float64{1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)},
		B: [3]float64{-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225},
	}
)

func (s *Scale) of(channel, value int) float64 {
	return s.A[channel]*float64(value) + s.B[channel]
}

// Float32s writes the uint8 tensor src (NHWC, RGB) as little-endian float32 in the layout and scale
// given, each value rounded once. dst has four times the bytes of src.
func Float32s(dst, src []byte, layout Layout, scale Scale) {
	var table [3][256]uint32
	for c := range table {
		for v := range table[c] {
			table[c][v] = math.Float32bits(float32(scale.of(c, v)))
		}
	}
	pixels := len(src) / 3
	start, step := layout.places(pixels, 4)
	for c := range 3 {
		out, values := dst[start[c]:], &table[c]
		for i := range pixels {
			binary.LittleEndian.PutUint32(out[step*i:], values[src[3*i+c]])
		}
	}
}

// Float16s is Float32s in IEEE 754's half precision; dst has twice the bytes of src.
func Float16s(dst, src []byte, layout Layout, scale Scale) {
	var table [3][256]uint16
	for c := range table {
		for v := range table[c] {
			table[c][v] = float16bits(scale.of(c, v))
		}
	}
	pixels := len(src) / 3
	start, step := layout.places(pixels, 2)
	for c := range 3 {
		out, values := dst[start[c]:], &table[c]
		for i := range pixels {
			binary.LittleEndian.PutUint16(out[step*i:], values[src[3*i+c]])
		}
	}
}

// Planes writes the uint8 tensor src (NHWC, RGB) as NCHW. dst has as many bytes.
func Planes(dst, src []byte) {
	pixels := len(src) / 3
	for c := range 3 {
		out := dst[c*pixels : (c+1)*pixels]
		for i := range out {
			out[i] = src[3*i+c]
		}
	}
}

// places returns where in a tensor of values of size bytes each channel begins, and how far it is
// from a value of a channel to the next.
func (l Layout) places(pixels, size int) (start [3]int, step int) {
	if l == NCHW {
		return [3]int{0, size * pixels, 2 * size * pixels}, size
	}
	return [3]int{0, size, 2 * size}, 3 * size
}

// float16bits is the half precision number nearest to x, of two the even one. A significand that
// is rounded up to a power of two carries into the exponent by itself.
func float16bits(x float64) uint16 {
	const bias, significandBits = 15, 10
	var sign uint16
	if math.Signbit(x) {
		sign, x = 1<<15, -x
	}
	switch {
	case math.IsNaN(x):
		return 0x7e00
	case x >= 65520: // halfway between the largest number and the power of two after it
		return sign | 0x7c00
	case x < 0x1p-14: // subnormal: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(x*0x1p24))
	}
	fraction, exponent := math.Frexp(x) // 0.5 <= fraction < 1
	significand := uint16(math.RoundToEven(math.Ldexp(fraction, significandBits+1)))
	return sign | (uint16(exponent-1+bias)<<significandBits + significand - 1<<significandBits)
}
