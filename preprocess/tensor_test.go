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

func BenchmarkFloat32s(b *testing.B) {
	src, dst := make([]byte, 3*320*480), make([]byte, 12*320*480)
	for _, layout := range []Layout{NHWC, NCHW} {
		b.Run(map[Layout]string{NHWC: "NHWC", NCHW: "NCHW"}[layout], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Float32s(dst, src, layout, ScaleImageNet)
			}
		})
	}
}
