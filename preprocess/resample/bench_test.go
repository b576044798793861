package resample

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkResize is the work of one letterbox or embedder crop, on one core.
func BenchmarkResize(b *testing.B) {
	cases := []struct{ srcW, srcH, dstW, dstH int }{
		{320, 480, 213, 320},   // the app's reduced photo into the detector
		{1008, 756, 320, 240},  // 12 MP decoded at 1/4 into the detector
		{4032, 3024, 320, 240}, // 12 MP decoded in full
		{150, 150, 224, 224},   // a small crop into the embedder
		{600, 800, 224, 224},   // a large crop into the embedder
	}
	for _, c := range cases {
		for _, o := range []Orientation{Upright, Rotate180, Rotate90} {
			b.Run(fmt.Sprintf("%dx%d-to-%dx%d/orientation-%d", c.srcW, c.srcH, c.dstW, c.dstH, o), func(b *testing.B) {
				src := noise(c.srcW, c.srcH)
				w, h := o.Size(c.dstW, c.dstH)
				dst := blank(w, h)
				b.ReportAllocs()
				for b.Loop() {
					Resize(dst, src, Region{0, 0, float64(c.srcW), float64(c.srcH)}, o)
				}
			})
		}
	}
}

func BenchmarkOrient(b *testing.B) {
	src := noise(1008, 756)
	for o := Upright; o <= Rotate270; o++ {
		b.Run(fmt.Sprintf("1008x756/orientation-%d", o), func(b *testing.B) {
			dst := blank(o.Size(src.Width, src.Height))
			b.SetBytes(int64(len(src.Pix)))
			b.ReportAllocs()
			for b.Loop() {
				Orient(dst, src, o)
			}
		})
	}
}

func blank(w, h int) RGB { return RGB{Pix: make([]byte, 3*w*h), Stride: 3 * w, Width: w, Height: h} }

func noise(w, h int) RGB {
	m, r := blank(w, h), rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	return m
}
