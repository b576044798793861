package preprocess

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFloat32s(t *testing.T) {
	src := []byte{0, 128, 255, 51, 102, 204}
	tests := []struct {
		name   string
		layout Layout
		scale  Scale
		want   []float32
	}{
		{"0..255 by pixel", NHWC, Scale255, []float32{0, 128, 255, 51, 102, 204}},
		{"0..255 by plane", NCHW, Scale255, []float32{0, 51, 128, 102, 255, 204}},
		{"0..1 by plane", NCHW, Scale1, []float32{0, 0.2, 128. / 255, 0.4, 1, 0.8}},
		{
			"ImageNet by pixel", NHWC, ScaleImageNet,
			[]float32{-0.485 / 0.229, (128./255 - 0.456) / 0.224, (1 - 0.406) / 0.225, (0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.8 - 0.406) / 0.225},
		},
	}
	for _, test := range tests {
		dst := make([]byte, 4*len(src))
		Float32s(dst, src, test.layout, test.scale)
		got := make([]float32, len(src))
		for i := range got {
			got[i] = math.Float32frombits(binary.LittleEndian.Uint32(dst[4*i:]))
		}
		if d := cmp.Diff(test.want, got, cmpopts.EquateApprox(0, 1e-5)); d != "" {
			t.Errorf("%s: %s", test.name, d)
		}
	}
}

func TestPlanes(t *testing.T) {
	dst := make([]byte, 6)
	Planes(dst, []byte{1, 2, 3, 4, 5, 6})
	if d := cmp.Diff([]byte{1, 4, 2, 5, 3, 6}, dst); d != "" {
		t.Error(d)
	}
}

// half is the value of a half precision number, by the definition of IEEE 754.
func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)/1024
	sign := 1 - 2*float64(bits>>15)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -14)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	default:
		return sign * math.Ldexp(1+fraction, exponent-15)
	}
}

// Every value of every scale is the number of half precision nearest to it.
func TestFloat16sAreTheNearest(t *testing.T) {
	src := make([]byte, 3*256)
	for i := range src {
		src[i] = byte(i / 3)
	}
	for name, scale := range map[string]Scale{"0..255": Scale255, "0..1": Scale1, "ImageNet": ScaleImageNet} {
		for _, layout := range []Layout{NHWC, NCHW} {
			dst := make([]byte, 2*len(src))
			Float16s(dst, src, layout, scale)
			for v := range 256 {
				for c := range 3 {
					at := 3*v + c
					if layout == NCHW {
						at = 256*c + v
					}
					got := binary.LittleEndian.Uint16(dst[2*at:])
					want := scale.A[c]*float64(v) + scale.B[c]
					off := math.Abs(half(got) - want)
					if !(off <= math.Abs(half(got+1)-want)) || got != 0 && !(off <= math.Abs(half(got-1)-want)) {
						t.Errorf("%s, layout %d, channel %d: %d is %v, %v is wanted, to which a neighbour is nearer", name, layout, c, v, half(got), want)
					}
				}
			}
		}
	}
}

func TestFloat16bits(t *testing.T) {
	// Every number there is, and what lies halfway to the next.
	for bits := range uint16(0x7c00) {
		for _, sign := range []uint16{0, 1 << 15} {
			x := half(sign | bits)
			if got := float16bits(x); got != sign|bits {
				t.Fatalf("%v is %#04x, want %#04x", x, got, sign|bits)
			}
			next := half(sign | (bits + 1))
			if bits == 0x7bff {
				next = math.Copysign(65536, x)
			}
			even := sign | (bits + bits&1)
			for _, test := range []struct {
				x    float64
				want uint16
			}{
				{(x + next) / 2, even},
				{math.Nextafter((x+next)/2, x), sign | bits},
				{math.Nextafter((x+next)/2, next), sign | (bits + 1)},
			} {
				if got := float16bits(test.x); got != test.want {
					t.Fatalf("%v is %#04x, want %#04x", test.x, got, test.want)
				}
			}
		}
	}
	for x, want := range map[float64]uint16{math.Inf(1): 0x7c00, math.Inf(-1): 0xfc00, 1e300: 0x7c00, 1e-300: 0} {
		if got := float16bits(x); got != want {
			t.Errorf("%v is %#04x, want %#04x", x, got, want)
		}
	}
	if got := half(float16bits(math.NaN())); !math.IsNaN(got) {
		t.Errorf("NaN is %v", got)
	}
}

func BenchmarkTensor(b *testing.B) {
	src, dst := make([]byte, 3*320*480), make([]byte, 12*320*480)
	for name, convert := range map[string]func(dst, src []byte, layout Layout, scale Scale){"float32": Float32s, "float16": Float16s} {
		for _, layout := range []Layout{NHWC, NCHW} {
			b.Run(name+"/"+map[Layout]string{NHWC: "NHWC", NCHW: "NCHW"}[layout], func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					convert(dst, src, layout, ScaleImageNet)
				}
			})
		}
	}
}
