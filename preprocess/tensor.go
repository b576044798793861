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
type Scale struct{ A, B [3]float32 }

// The scales that networks want.
var (
	// Scale255 leaves values as 0..255.
	Scale255 = Scale{A: [3]float32{1, 1, 1}}
	// Scale1 makes them 0..1.
	Scale1 = Scale{A: [3]float32{1. / 255, 1. / 255, 1. / 255}}
	// ScaleImageNet makes them 0..1 and then subtracts the mean and divides by the deviation of
	// ImageNet's channels, as torchvision's pretrained networks want it.
	ScaleImageNet = Scale{
		A: [3]float32{1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)},
		B: [3]float32{-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225},
	}
)

// Float32s writes the uint8 tensor src (NHWC, RGB) as little-endian float32 in the layout and scale
// given. dst has four times the bytes of src.
func Float32s(dst, src []byte, layout Layout, scale Scale) {
	var table [3][256]uint32
	for c := range table {
		for v := range table[c] {
			table[c][v] = math.Float32bits(scale.A[c]*float32(v) + scale.B[c])
		}
	}
	pixels := len(src) / 3
	// Where the next value of a channel goes, and how far it is to the one after it.
	start, step := [3]int{0, 4, 8}, 12
	if layout == NCHW {
		start, step = [3]int{0, 4 * pixels, 8 * pixels}, 4
	}
	for c := range 3 {
		out, values := dst[start[c]:], &table[c]
		for i := range pixels {
			binary.LittleEndian.PutUint32(out[step*i:], values[src[3*i+c]])
		}
	}
}
