package preprocess

import (
	"bytes"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lexicam/lexicrop/preprocess/jpeg"
)

const tensorSide = 320

// photo encodes something like a photo: soft shapes with grain, which decides
// how many bytes the JPEG has.
func photo(width, height int, grain float64, quality int) []byte {
	pix := make([]byte, 3*width*height)
	r := rand.New(rand.NewPCG(1, 2))
	for y := range height {
		for x := range width {
			u, v := float64(x)/float64(width), float64(y)/float64(height)
			noise := grain * (r.Float64() - 0.5)
			for c := range 3 {
				shape := 128 + 90*math.Sin(9*u+float64(c)+5*v*v)*math.Cos(7*v-float64(c)*u)
				pix[3*(y*width+x)+c] = byte(min(max(shape+noise, 0), 255))
			}
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, pix, 3*width, width, height, quality, nil); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// BenchmarkUpload is what one upload costs on one core: open, decode as far as
// the letterbox needs, letterbox into a 320 x 320 tensor.
func BenchmarkUpload(b *testing.B) {
	for _, c := range []struct {
		width, height int
		grain         float64
		quality       int
	}{
		{320, 480, 62, 85},   // what the app sends
		{4032, 3024, 38, 80}, // an original photo
	} {
		data := photo(c.width, c.height, c.grain, c.quality)
		name := fmt.Sprintf("%dx%d-%dkB", c.width, c.height, len(data)/1000)
		b.Run(name, func(b *testing.B) { benchmarkUpload(b, data) })
		b.Run(name+"-turned", func(b *testing.B) { benchmarkUpload(b, withOrientation(data, 6)) })
	}
}

func benchmarkUpload(b *testing.B, data []byte) {
	tensor := make([]byte, 3*tensorSide*tensorSide)
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(data, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		info := s.Info()
		l := NewLetterbox(info.Width, info.Height, tensorSide, tensorSide, FitLetterbox)
		p, err := s.Decode(Oversampling*l.Inner.Dx(), Oversampling*l.Inner.Dy())
		if err != nil {
			b.Fatal(err)
		}
		p.Letterbox(tensor, l, 114)
		p.Release()
	}
}

// BenchmarkFormats decodes the small drawn pictures, which shows what each kind
// of file costs before its first pixel.
func BenchmarkFormats(b *testing.B) {
	for _, name := range []string{
		"jpeg-420.jpg", "jpeg-display-p3.jpg", "jpeg-progressive.jpg", "jpeg-cmyk.jpg", "png-rgb.png",
		"webp-lossy.webp", "gif.gif", "bmp.bmp", "tiff-lzw.tiff", "heic.heic", "avif.avif",
	} {
		data := readFile(b, name)
		if _, err := Open(data, Limits{}); err != nil {
			continue // HEIC without libheif
		}
		b.Run(name, func(b *testing.B) { benchmarkUpload(b, data) })
	}
}

// withOrientation puts an EXIF segment behind a JPEG's start marker.
func withOrientation(data []byte, o byte) []byte {
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	exif[29] = o
	return bytes.Join([][]byte{data[:2], exif, data[2:]}, nil)
}

// BenchmarkCrop is the crop of an original photo given back at full resolution.
func BenchmarkCrop(b *testing.B) {
	data := photo(4032, 3024, 45, 80)
	s, err := Open(data, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	region := image.Rect(1200, 900, 1200+1536, 900+1200)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := s.DecodeRegion(region)
			if err != nil {
				b.Fatal(err)
			}
			p.Release()
		}
	})
	b.Run("encode", func(b *testing.B) {
		p, err := s.DecodeRegion(region)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Release()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Encode(io.Discard, "jpeg", 90); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen reads headers only.
func BenchmarkOpen(b *testing.B) {
	data := withOrientation(photo(320, 480, 70, 85), 6)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(data, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
