package jpeg

import (
	"bytes"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/preprocess/header"
)

const testdata = "../testdata"

// kinds are JPEGs of every sampling and process, each 93 x 62 stored pixels.
var kinds = []string{
	"jpeg-444.jpg", "jpeg-422.jpg", "jpeg-420.jpg", "jpeg-411.jpg", "jpeg-grey.jpg",
	"jpeg-cmyk.jpg", "jpeg-progressive.jpg", "jpeg-restarts.jpg",
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func whole(t testing.TB, data []byte, s Scale) Window {
	t.Helper()
	h, err := header.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return Whole(h.Width, h.Height, s)
}

type decoder func(dst []byte, stride int, data []byte, w Window) ([]string, error)

func decode(t testing.TB, by decoder, data []byte, w Window) []byte {
	t.Helper()
	dst := make([]byte, 3*w.Rect.Dx()*w.Rect.Dy())
	if _, err := by(dst, 3*w.Rect.Dx(), data, w); err != nil {
		t.Fatal(err)
	}
	return dst
}

// TestRegionEqualsCrop: a part decoded alone has the pixels it has in the whole.
func TestRegionEqualsCrop(t *testing.T) {
	if Decoder != "libjpeg-turbo" {
		t.Skip("image/jpeg decodes no parts")
	}
	large := noisyJPEG(t, 411, 333)
	for _, s := range []Scale{Eighth, Quarter, Half, Full} {
		for _, name := range append(slices.Clone(kinds), "large") {
			t.Run(name, func(t *testing.T) {
				data := large
				if name != "large" {
					data = read(t, name)
				}
				full := whole(t, data, s)
				pix := decode(t, Decode, data, full)
				width, height := full.Rect.Dx(), full.Rect.Dy()
				rapid.Check(t, func(t *rapid.T) {
					x := rapid.IntRange(0, width-1).Draw(t, "x")
					y := rapid.IntRange(0, height-1).Draw(t, "y")
					w := rapid.IntRange(1, width-x).Draw(t, "w")
					h := rapid.IntRange(1, height-y).Draw(t, "h")
					part := full
					part.Rect = image.Rect(x, y, x+w, y+h)
					got := make([]byte, 3*w*h)
					if _, err := Decode(got, 3*w, data, part); err != nil {
						t.Fatal(err)
					}
					for row := range h {
						want := pix[3*((y+row)*width+x):][:3*w]
						if !bytes.Equal(got[3*w*row:][:3*w], want) {
							t.Fatalf("row %d of %v differs from the whole picture", row, part.Rect)
						}
					}
				})
			})
		}
	}
}

// TestStrideLeavesTheRestAlone: nothing is written beside the window's rows.
func TestStrideLeavesTheRestAlone(t *testing.T) {
	for _, name := range kinds {
		data := read(t, name)
		w := whole(t, data, Full)
		w.Rect = image.Rect(5, 7, 40, 50)
		const stride = 3*35 + 11
		dst := bytes.Repeat([]byte{0xa5}, 43*stride+100)
		if _, err := Decode(dst, stride, data, w); err != nil {
			t.Fatal(err)
		}
		for i, v := range dst {
			if beside := i%stride >= 3*35 || i/stride >= 43; beside && v != 0xa5 {
				t.Fatalf("%s: byte %d was written", name, i)
			}
		}
	}
}

// How far image/jpeg may be from libjpeg-turbo, in levels of 0..255: luminance by
// the root of the mean squared difference, colour by the difference of means.
// Colour of single pixels differs more at sharp edges, since libjpeg-turbo
// interpolates chroma where image/jpeg repeats it.
const (
	luminanceTolerance = 2.5
	colourTolerance    = 1.0
)

// TestPlainAgrees compares what builds without cgo give.
func TestPlainAgrees(t *testing.T) {
	for _, name := range kinds {
		data := read(t, name)
		for _, s := range []Scale{Eighth, Quarter, Half, Full} {
			w := whole(t, data, s)
			got, want := decode(t, plainDecode, data, w), decode(t, Decode, data, w)
			luminance, colour := difference(got, want)
			t.Logf("%s at %d/8: luminance %.2f, mean colour %.2f", name, s, luminance, colour)
			if luminance > luminanceTolerance || colour > colourTolerance {
				t.Errorf("%s at %d/8: luminance differs by %.2f and mean colour by %.2f", name, s, luminance, colour)
			}
		}
	}
}

func difference(a, b []byte) (luminance, colour float64) {
	var sum [3]float64
	n := float64(len(a) / 3)
	for i := 0; i < len(a); i += 3 {
		y := 0.0
		for c, weight := range []float64{0.299, 0.587, 0.114} {
			d := float64(a[i+c]) - float64(b[i+c])
			sum[c] += d / n
			y += weight * d
		}
		luminance += y * y / n
	}
	for _, d := range sum {
		colour = max(colour, math.Abs(d))
	}
	return math.Sqrt(luminance), colour
}

func TestScaleFor(t *testing.T) {
	for _, c := range []struct {
		w, h, minWidth, minHeight int
		want                      Scale
	}{
		{4032, 3024, 640, 480, Quarter},
		{4032, 3024, 504, 378, Eighth},
		{4032, 3024, 505, 378, Quarter},
		{4032, 3024, 2016, 1, Half},
		{4032, 3024, 2017, 1, Full},
		{320, 480, 640, 640, Full},
		{1, 1, 1, 1, Full},
		{8, 8, 1, 1, Eighth},
	} {
		if got := ScaleFor(c.w, c.h, c.minWidth, c.minHeight); got != c.want {
			t.Errorf("ScaleFor(%d, %d, %d, %d) = %d, want %d", c.w, c.h, c.minWidth, c.minHeight, got, c.want)
		}
	}
}

func TestDamageIsAnError(t *testing.T) {
	noisy := noisyJPEG(t, 200, 150)
	for name, data := range map[string][]byte{
		"baseline": noisy, "progressive": read(t, "jpeg-progressive.jpg"), "restarts": read(t, "jpeg-restarts.jpg"),
	} {
		w := whole(t, data, Full)
		dst := make([]byte, 3*w.Rect.Dx()*w.Rect.Dy())
		start := bytes.Index(data, []byte{0xff, 0xda}) + 14
		for cut := start; cut < len(data)-64; cut += 1 + len(data)/50 {
			for by, decode := range map[string]decoder{"": Decode, "plain ": plainDecode} {
				if _, err := decode(dst, 3*w.Rect.Dx(), data[:cut], w); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s%s cut at %d of %d: %v, want damage", by, name, cut, len(data), err)
				}
			}
		}
	}
}

// TestMissingEndMarkerIsTolerated: all pixels are there.
func TestMissingEndMarkerIsTolerated(t *testing.T) {
	if Decoder != "libjpeg-turbo" {
		t.Skip("image/jpeg refuses it")
	}
	data := read(t, "jpeg-420.jpg")
	w := whole(t, data, Full)
	want := decode(t, Decode, data, w)
	got := make([]byte, len(want))
	warnings, err := Decode(got, 3*w.Rect.Dx(), data[:len(data)-2], w)
	if err != nil || len(warnings) != 1 {
		t.Fatalf("warnings %q, error %v; want one warning", warnings, err)
	}
	if !bytes.Equal(got, want) {
		t.Error("pixels differ")
	}
}

// TestScansAreBounded repeats a progressive picture's first scan, which costs a
// pass over the picture each time.
func TestScansAreBounded(t *testing.T) {
	data := read(t, "jpeg-progressive.jpg")
	sos := []byte{0xff, 0xda}
	first := bytes.Index(data, sos)
	second := first + 2 + bytes.Index(data[first+2:], []byte{0xff, 0xc4}) // the next tables
	bomb := slices.Clone(data[:first])
	bomb = append(bomb, bytes.Repeat(data[first:second], MaxScans+1)...)
	bomb = append(bomb, data[second:]...)
	w := whole(t, bomb, Full)
	dst := make([]byte, 3*w.Rect.Dx()*w.Rect.Dy())
	for by, decode := range map[string]decoder{"": Decode, "plain ": plainDecode} {
		if _, err := decode(dst, 3*w.Rect.Dx(), bomb, w); !errors.Is(err, ErrTooManyScans) {
			t.Errorf("%sgot %v, want %v", by, err, ErrTooManyScans)
		}
	}
}

// TestHeaderMustAgree: the caller's size decides how much memory there is.
func TestHeaderMustAgree(t *testing.T) {
	data := read(t, "jpeg-420.jpg")
	for _, w := range []Window{Whole(92, 62, Full), Whole(93, 61, Full), Whole(200, 200, Full)} {
		dst := make([]byte, 3*200*200)
		for by, decode := range map[string]decoder{"": Decode, "plain ": plainDecode} {
			if _, err := decode(dst, 3*w.Rect.Dx(), data, w); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s%d x %d: %v, want %v", by, w.Width, w.Height, err, ErrCorrupt)
			}
		}
	}
}

func TestBadArgumentsAreErrors(t *testing.T) {
	data := read(t, "jpeg-420.jpg")
	good := Whole(93, 62, Full)
	dst := make([]byte, 3*93*62)
	for name, c := range map[string]struct {
		window Window
		stride int
		dst    []byte
	}{
		"scale":       {Window{93, 62, 3, good.Rect}, 279, dst},
		"empty":       {Window{93, 62, Full, image.Rectangle{}}, 279, dst},
		"outside":     {Window{93, 62, Full, image.Rect(0, 0, 94, 62)}, 282, make([]byte, 282*62)},
		"negative":    {Window{93, 62, Full, image.Rect(-1, 0, 9, 9)}, 279, dst},
		"stride":      {good, 278, dst},
		"destination": {good, 279, dst[1:]},
	} {
		if _, err := Decode(c.dst, c.stride, data, c.window); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Encode(new(bytes.Buffer), dst, 279, 93, 63, 80, nil); err == nil {
		t.Error("encoding more rows than there are: no error")
	}
}

func TestEncodeKeepsPixelsAndProfile(t *testing.T) {
	data := noisyJPEG(t, 130, 70)
	w := whole(t, data, Full)
	pix := decode(t, Decode, data, w)
	profile := bytes.Repeat([]byte("not a real profile "), 5000) // more than one segment
	type encoder func(w *bytes.Buffer) error
	for name, encode := range map[string]encoder{
		"":      func(b *bytes.Buffer) error { return Encode(b, pix, 3*130, 130, 70, 95, profile) },
		"plain": func(b *bytes.Buffer) error { return plainEncode(b, pix, 3*130, 130, 70, 95, profile) },
	} {
		var out bytes.Buffer
		if err := encode(&out); err != nil {
			t.Fatal(err)
		}
		h, err := header.Read(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.Profile(); err != nil || !bytes.Equal(got, profile) {
			t.Errorf("%s: profile of %d bytes (%v), want %d", name, len(got), err, len(profile))
		}
		again := decode(t, Decode, out.Bytes(), w)
		sum := 0.0
		for i := range pix {
			d := float64(pix[i]) - float64(again[i])
			sum += d * d
		}
		if rms := math.Sqrt(sum / float64(len(pix))); rms > 12 {
			t.Errorf("%s: differs by %.1f levels after encoding", name, rms)
		}
	}
}

func TestEncodeReportsTheWriter(t *testing.T) {
	broken := errors.New("broken pipe")
	if err := Encode(failing{broken}, make([]byte, 300), 30, 10, 10, 80, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestConcurrentDecodes runs good and damaged files side by side.
func TestConcurrentDecodes(t *testing.T) {
	var group sync.WaitGroup
	for _, name := range kinds {
		data := read(t, name)
		w := whole(t, data, Full)
		want := decode(t, Decode, data, w)
		for range 4 {
			group.Go(func() {
				dst := make([]byte, len(want))
				for range 20 {
					if _, err := Decode(dst, 3*w.Rect.Dx(), data, w); err != nil || !bytes.Equal(dst, want) {
						t.Errorf("%s: other pixels than alone (%v)", name, err)
					}
					if _, err := Decode(dst, 3*w.Rect.Dx(), data[:len(data)/2], w); err == nil {
						t.Errorf("%s: half of it decodes", name)
					}
				}
			})
		}
	}
	group.Wait()
}

// TestNoMemoryIsLost decodes and encodes, also with errors, and looks at the
// process: C memory shows nowhere else.
func TestNoMemoryIsLost(t *testing.T) {
	if runtime.GOOS != "linux" || Decoder != "libjpeg-turbo" {
		t.Skip("reads /proc, looks for C memory")
	}
	data := noisyJPEG(t, 400, 320)
	progressive := read(t, "jpeg-progressive.jpg")
	w := whole(t, data, Full)
	dst := make([]byte, 3*400*320)
	damaged := slices.Clone(data)
	for i := len(data) / 2; i < len(data)/2+40; i++ {
		damaged[i] = 0xff
	}
	small := whole(t, progressive, Full)
	work := func(n int) {
		for range n {
			_, _ = Decode(dst, 1200, data, w)
			_, _ = Decode(dst, 1200, data[:len(data)*9/10], w)
			_, _ = Decode(dst, 1200, damaged, w)
			_, _ = Decode(dst, 1200, progressive, small)
			_, _ = Decode(dst, 1200, progressive[:len(progressive)*3/4], small)
			_ = Encode(failing{errors.New("broken")}, dst[:3*200*200], 600, 200, 200, 80, nil)
		}
	}
	work(20)
	before := resident(t)
	work(400)
	// What libjpeg allocates for one of these, lost each time, is more than 40 MB.
	if grown := resident(t) - before; grown > 20<<20 {
		t.Errorf("the process grew by %d MiB over 400 rounds", grown>>20)
	}
}

func resident(t *testing.T) int64 {
	t.Helper()
	runtime.GC()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages int64
	for _, c := range strings.Fields(string(data))[1] {
		pages = 10*pages + int64(c-'0')
	}
	return pages * int64(os.Getpagesize())
}

func noisyJPEG(t testing.TB, width, height int) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	pix := make([]byte, 3*width*height)
	for i := range pix {
		pix[i] = byte(128 + 60*math.Sin(float64(i)/500) + 60*(r.Float64()-0.5))
	}
	var out bytes.Buffer
	if err := Encode(&out, pix, 3*width, width, height, 90, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzDecode gives streams with errors to the C side.
func FuzzDecode(f *testing.F) {
	for _, name := range kinds {
		f.Add(read(f, name), uint8(8), uint8(0), uint8(0))
		f.Add(read(f, name), uint8(2), uint8(3), uint8(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, scale, x, y uint8) {
		h, err := header.Read(data)
		if err != nil || h.Format != header.JPEG || h.Width*h.Height > 1<<20 {
			return
		}
		w := Whole(h.Width, h.Height, Scale(scale))
		if w.Scale != Eighth && w.Scale != Quarter && w.Scale != Half {
			w = Whole(h.Width, h.Height, Full)
		}
		if at := image.Pt(int(x), int(y)); at.In(w.Rect) {
			w.Rect.Min = at
		}
		dst := make([]byte, 3*w.Rect.Dx()*w.Rect.Dy())
		if _, err := Decode(dst, 3*w.Rect.Dx(), data, w); err != nil &&
			!errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrDamaged) &&
			!errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooManyScans) {
			t.Fatal(err)
		}
	})
}
