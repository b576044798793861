package triton_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/lexicam/lexicrop/triton"
)

// Every number of half precision that there is has the value that IEEE 754 gives it.
func TestFloat32sOfHalfPrecision(t *testing.T) {
	data := make([]byte, 0, 2<<16)
	for bits := range 1 << 16 {
		data = binary.LittleEndian.AppendUint16(data, uint16(bits))
	}
	values, err := triton.Tensor{Name: "half", DType: triton.FP16, Data: data}.Float32s(nil)
	if err != nil || len(values) != 1<<16 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	for bits, got := range values {
		exponent, fraction, sign := bits>>10&31, float64(bits&1023), 1-2*float64(bits>>15)
		var want float64
		switch {
		case exponent == 31 && fraction != 0:
			want = math.NaN()
		case exponent == 31:
			want = math.Inf(int(sign))
		case exponent == 0:
			want = math.Copysign(math.Ldexp(fraction, -24), sign)
		default:
			want = sign * math.Ldexp(1024+fraction, exponent-25)
		}
		if math.Float32bits(got) != math.Float32bits(float32(want)) && !(math.IsNaN(want) && got != got) {
			t.Fatalf("%#04x is %v, want %v", bits, got, want)
		}
	}
}
