package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/preprocess/header"
	"github.com/lexicam/lexicrop/preprocess/resample"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, data []byte) *Source {
	t.Helper()
	s, err := Open(data, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pixels gives what the picture shows, upright.
func pixels(t testing.TB, p *Picture, err error) ([]byte, image.Rectangle) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	w, h := p.Size()
	pix := make([]byte, 3*w*h)
	p.Letterbox(pix, NewLetterbox(p.Bounds().Dx(), p.Bounds().Dy(), w, h, FitStretch), 0)
	return pix, p.Bounds()
}

// decodable are the names of the drawn pictures that decode here.
func decodable(t testing.TB) []string {
	var names []string
	for _, u := range readExpected(t, "testdata") {
		if u.Expected.Verdict == "decode" && gapOf(u) == nil {
			names = append(names, u.Name)
		}
	}
	return names
}

// TestRegionIsPartOfTheWhole: of every kind of file and every orientation a
// region has the pixels that it has in the whole picture.
func TestRegionIsPartOfTheWhole(t *testing.T) {
	for _, name := range decodable(t) {
		t.Run(name, func(t *testing.T) {
			s := open(t, readFile(t, name))
			w, h := s.Info().Width, s.Info().Height
			p, err := s.Decode(0, 0)
			whole, _ := pixels(t, p, err)
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			for range 10 {
				want := image.Rect(r.IntN(w), r.IntN(h), r.IntN(w+1), r.IntN(h+1))
				if want.Empty() {
					continue
				}
				p, err := s.DecodeRegion(want)
				part, bounds := pixels(t, p, err)
				if bounds != want {
					t.Fatalf("asked for %v, got %v", want, bounds)
				}
				for y := range want.Dy() {
					got := part[3*want.Dx()*y:][:3*want.Dx()]
					if !bytes.Equal(got, whole[3*((want.Min.Y+y)*w+want.Min.X):][:3*want.Dx()]) {
						t.Fatalf("row %d of %v differs from the whole picture", y, want)
					}
				}
			}
		})
	}
}

func TestRegionIsClampedOrRefused(t *testing.T) {
	s := open(t, readFile(t, "jpeg-exif-6.jpg"))
	p, err := s.DecodeRegion(image.Rect(-50, -50, 5000, 20))
	if _, bounds := pixels(t, p, err); bounds != image.Rect(0, 0, 93, 20) {
		t.Errorf("bounds %v", bounds)
	}
	for _, r := range []image.Rectangle{{}, image.Rect(100, 0, 200, 50), image.Rect(5, 5, 5, 9)} {
		if _, err := s.DecodeRegion(r); err == nil {
			t.Errorf("%v: no error", r)
		}
	}
}

// minFidelity is the least peak signal-to-noise ratio, in dB, between a
// letterbox of the picture decoded at a reduction and of the whole of it.
const minFidelity = 50

func TestReducedDecodingIsFaithful(t *testing.T) {
	data := photo(2000, 1504, 20, 90)
	for _, o := range []byte{1, 3, 6, 8} {
		s := open(t, withOrientation(data, o))
		l := NewLetterbox(s.Info().Width, s.Info().Height, 224, 224, FitLetterbox)
		reduced, err := s.Decode(Oversampling*l.Inner.Dx(), Oversampling*l.Inner.Dy())
		if err != nil {
			t.Fatal(err)
		}
		if w, _ := reduced.Size(); w >= s.Info().Width {
			t.Fatalf("decoded %d wide, want a reduction of %d", w, s.Info().Width)
		}
		full, err := s.Decode(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		a, b := make([]byte, 3*224*224), make([]byte, 3*224*224)
		reduced.Letterbox(a, l, 114)
		full.Letterbox(b, l, 114)
		reduced.Release()
		full.Release()
		if got := psnr(a, b); got < minFidelity {
			t.Errorf("orientation %d: %.1f dB, want at least %d", o, got, minFidelity)
		}
	}
}

func psnr(a, b []byte) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return 10 * math.Log10(255*255*float64(len(a))/sum)
}

// TestDecodeGivesTheMinimum: at least the pixels asked for, if there are so many.
func TestDecodeGivesTheMinimum(t *testing.T) {
	for _, name := range []string{"jpeg-420.jpg", "jpeg-exif-6.jpg", "png-rgb.png"} {
		s := open(t, readFile(t, name))
		rapid.Check(t, func(t *rapid.T) {
			minW := rapid.IntRange(-1, 200).Draw(t, "w")
			minH := rapid.IntRange(-1, 200).Draw(t, "h")
			p, err := s.Decode(minW, minH)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Release()
			w, h := p.Size()
			if w < min(minW, 93) || h < min(minH, 62) {
				t.Fatalf("%d x %d", w, h)
			}
		})
	}
}

// TestResizeRegion: a part out of the whole equals the same part decoded alone,
// but for the filter's reach beyond it.
func TestResizeRegion(t *testing.T) {
	s := open(t, readFile(t, "jpeg-exif-5.jpg"))
	whole, err := s.Decode(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Release()
	r := image.Rect(20, 10, 70, 50)
	part, err := s.DecodeRegion(r)
	if err != nil {
		t.Fatal(err)
	}
	defer part.Release()
	box := Box{20, 10, 70, 50}
	a, b := make([]byte, 3*25*20), make([]byte, 3*25*20)
	whole.ResizeRegion(a, 25, 20, box)
	part.ResizeRegion(b, 25, 20, box)
	for y := 1; y < 19; y++ {
		for i := 3 * (25*y + 1); i < 3*(25*y+24); i++ {
			if a[i] != b[i] {
				t.Fatalf("byte %d: %d from the whole, %d from the part", i, a[i], b[i])
			}
		}
	}
}

// TestResizeRegionOfOddBoxes: none of them may fail.
func TestResizeRegionOfOddBoxes(t *testing.T) {
	p, err := open(t, readFile(t, "jpeg-420.jpg")).Decode(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	dst := make([]byte, 3*8*8)
	for _, b := range []Box{
		{}, {-100, -100, -50, -50}, {500, 500, 600, 600}, {50, 40, 10, 5},
		{math.NaN(), 0, 10, 10}, {math.Inf(-1), math.Inf(-1), math.Inf(1), math.Inf(1)}, {92.5, 61.5, 93, 62},
	} {
		p.ResizeRegion(dst, 8, 8, b)
	}
}

func TestReleaseTwice(t *testing.T) {
	p, err := open(t, readFile(t, "jpeg-420.jpg")).Decode(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
	p.Release()
	a, b := getBuffer(1000), getBuffer(1000)
	defer putBuffer(a)
	defer putBuffer(b)
	if &(*a)[0] == &(*b)[0] {
		t.Error("the same memory was given out twice")
	}
}

func TestBuffersHaveTheSizeAskedFor(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 1023, 1024, 1025, 1 << 20} {
		b := getBuffer(n)
		if len(*b) != n {
			t.Errorf("asked for %d bytes, got %d", n, len(*b))
		}
		putBuffer(b)
	}
}

// TestEncode: upright, without metadata, near the decoded pixels.
func TestEncode(t *testing.T) {
	for _, name := range []string{
		"jpeg-exif-1.jpg", "jpeg-exif-2.jpg", "jpeg-exif-3.jpg", "jpeg-exif-4.jpg",
		"jpeg-exif-5.jpg", "jpeg-exif-6.jpg", "jpeg-exif-7.jpg", "jpeg-exif-8.jpg",
		"png-rgba.png", "webp-exif-8.webp", "jpeg-display-p3.jpg",
	} {
		for format, tolerance := range map[string]float64{"jpeg": 4, "png": 0, "webp": 4} {
			t.Run(name+" as "+format, func(t *testing.T) {
				p, err := open(t, readFile(t, name)).Decode(0, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Release()
				var out bytes.Buffer
				if err := p.Encode(&out, format, 95); err != nil {
					t.Fatal(err)
				}
				h, err := header.Read(out.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				if h.Format != format || h.Width != 93 || h.Height != 62 || h.EXIF != nil || h.HasProfile() {
					t.Errorf("%s of %d x %d, EXIF %d bytes, profile %v", h.Format, h.Width, h.Height, len(h.EXIF), h.HasProfile())
				}
				again, err := open(t, out.Bytes()).Decode(0, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Release()
				want := look(p)
				for where, got := range look(again) {
					compareLook(t, where, got, want[where], tolerance)
				}
			})
		}
	}
	p, err := open(t, readFile(t, "png-rgb.png")).Decode(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	if err := p.Encode(new(bytes.Buffer), "gif", 90); err == nil {
		t.Error("encoding as gif: no error")
	}
}

// TestKeepProfile: the colours stay as stored and the profile goes along, so that
// the result looks the same.
func TestKeepProfile(t *testing.T) {
	for _, name := range []string{"jpeg-display-p3.jpg", "png-adobe-rgb.png", "webp-display-p3.webp"} {
		s := open(t, readFile(t, name))
		converted, err := s.Decode(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := s.DecodeRegion(image.Rect(0, 0, 93, 62), KeepProfile)
		if err != nil {
			t.Fatal(err)
		}
		want := look(converted)
		if slices.Equal(look(kept)["mean"], want["mean"]) {
			t.Errorf("%s: colours were converted", name)
		}
		for _, format := range []string{"jpeg", "png", "webp"} {
			var out bytes.Buffer
			if err := kept.Encode(&out, format, 95); err != nil {
				t.Fatal(err)
			}
			again, err := open(t, out.Bytes()).Decode(0, 0)
			if err != nil {
				t.Fatalf("%s as %s: %v", name, format, err)
			}
			if len(again.Warnings()) > 0 {
				t.Errorf("%s as %s: warnings %q", name, format, again.Warnings())
			}
			compareLook(t, name+" as "+format, look(again)["mean"], want["mean"], 2)
			again.Release()
		}
		converted.Release()
		kept.Release()
	}
}

// TestKeepProfileOfGreyAndInk: there is no RGB profile to keep.
func TestKeepProfileOfGreyAndInk(t *testing.T) {
	for _, name := range []string{"jpeg-grey.jpg", "jpeg-cmyk.jpg", "jpeg-420.jpg", "jpeg-broken-profile.jpg"} {
		p, err := open(t, readFile(t, name)).Decode(0, 0, KeepProfile)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := p.Encode(&out, "jpeg", 90); err != nil {
			t.Fatal(err)
		}
		p.Release()
		if h, err := header.Read(out.Bytes()); err != nil || h.HasProfile() {
			t.Errorf("%s: profile %v, %v", name, h.HasProfile(), err)
		}
	}
}

// TestOverWhite compares the quick ways through the image types with the plain
// one, image.Image.At.
func TestOverWhite(t *testing.T) {
	bounds := image.Rect(2, 1, 19, 12)
	r := rand.New(rand.NewPCG(5, 6))
	random := func(pix []byte) {
		for i := range pix {
			pix[i] = byte(r.Uint32())
		}
	}
	nrgba, gray, deep := image.NewNRGBA(bounds), image.NewGray(bounds), image.NewNRGBA64(bounds)
	random(nrgba.Pix)
	random(gray.Pix)
	random(deep.Pix)
	rgba, rgba64 := image.NewRGBA(bounds), image.NewRGBA64(bounds)
	palette := color.Palette{color.NRGBA{10, 200, 30, 99}, color.RGBA{1, 2, 3, 255}, color.NRGBA64{60000, 1, 2, 3}}
	paletted := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			rgba.Set(x, y, nrgba.At(x, y))
			rgba64.Set(x, y, deep.At(x, y))
			paletted.SetColorIndex(x, y, uint8(r.IntN(len(palette))))
		}
	}
	window := image.Rect(0, 3, 25, 20)
	for _, m := range []image.Image{nrgba, gray, deep, rgba, rgba64, paletted, image.NewUniform(color.White)} {
		if u, ok := m.(*image.Uniform); ok {
			m = cropped{u, bounds}
		}
		dst := resample.RGB{Pix: make([]byte, 3*25*17), Stride: 3 * 25, Width: 25, Height: 17}
		overWhite(dst, window, m)
		for y := range 17 {
			for x := range 25 {
				want := [3]uint8{255, 255, 255}
				if at := window.Min.Add(image.Pt(x, y)); at.In(bounds) {
					want[0], want[1], want[2] = colourOverWhite(m.At(at.X, at.Y))
				}
				got := dst.Pix[y*dst.Stride+3*x:][:3]
				for c := range 3 {
					if d := int(got[c]) - int(want[c]); d < -1 || d > 1 {
						t.Fatalf("%T at %d, %d: %v, want %v", m, x, y, got, want)
					}
				}
			}
		}
	}
}

type cropped struct {
	image.Image
	bounds image.Rectangle
}

func (c cropped) Bounds() image.Rectangle { return c.bounds }

// TestLetterboxRegion: a part out of the whole picture equals the same part
// decoded alone, but for the filter's reach beyond it.
func TestLetterboxRegion(t *testing.T) {
	s := open(t, readFile(t, "jpeg-exif-8.jpg"))
	whole, err := s.Decode(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Release()
	r := image.Rect(10, 20, 70, 60)
	part, err := s.DecodeRegion(r)
	if err != nil {
		t.Fatal(err)
	}
	defer part.Release()
	l := NewLetterbox(r.Dx(), r.Dy(), 32, 32, FitLetterbox)
	a, b := make([]byte, 3*32*32), make([]byte, 3*32*32)
	whole.LetterboxRegion(a, l, Box{10, 20, 70, 60}, 7)
	part.LetterboxRegion(b, l, Box{10, 20, 70, 60}, 7)
	inside := l.Inner.Inset(1)
	for i := range a {
		at := image.Pt(i/3%32, i/3/32)
		if (at.In(inside) || !at.In(l.Inner)) && a[i] != b[i] {
			t.Fatalf("at %v: %d from the whole, %d from the part", at, a[i], b[i])
		}
	}
}
