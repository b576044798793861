package jpeg

import (
	"fmt"
	"testing"
)

// BenchmarkDecode is decoding alone, at each reduction.
func BenchmarkDecode(b *testing.B) {
	data := noisyJPEG(b, 2016, 1512)
	for _, s := range []Scale{Full, Half, Quarter, Eighth} {
		w := whole(b, data, s)
		dst := make([]byte, 3*w.Rect.Dx()*w.Rect.Dy())
		b.Run(fmt.Sprintf("2016x1512-%dkB/scale-%d-8", len(data)/1000, s), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(dst, 3*w.Rect.Dx(), data, w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
