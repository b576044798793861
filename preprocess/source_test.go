package preprocess

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lexicam/lexicrop/preprocess/heif"
	"github.com/lexicam/lexicrop/preprocess/jpeg"
)

func TestLimits(t *testing.T) {
	data := readFile(t, "jpeg-exif-6.jpg") // upright 93 x 62
	size := int64(len(data))
	for _, c := range []struct {
		name string
		lim  Limits
		want Kind // 0: taken
	}{
		{"defaults", Limits{}, 0},
		{"exact", Limits{MaxBytes: size, MaxPixels: 93 * 62, MaxSide: 93}, 0},
		{"bytes", Limits{MaxBytes: size - 1}, TooManyBytes},
		{"pixels", Limits{MaxPixels: 93*62 - 1}, TooManyPixels},
		{"side", Limits{MaxSide: 92}, TooManyPixels},
	} {
		_, err := Open(data, c.lim)
		var refused *Error
		switch {
		case c.want == 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != 0 && (!errors.As(err, &refused) || refused.Kind != c.want):
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestRefusalAllocatesLittle: what is refused by its header costs nothing,
// whatever size it claims.
func TestRefusalAllocatesLittle(t *testing.T) {
	for _, name := range []string{"huge.png", "huge.jpg", "html.jpg", "svg.svg", "no-height.jpg"} {
		data := readFile(t, name)
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := Open(data, Limits{}); err == nil {
				t.Fatalf("%s: no error", name)
			}
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / runs; each > 2000 {
			t.Errorf("%s: refusing it allocates %d bytes", name, each)
		}
	}
}

// TestTooShortForItsSize: within the limits, but a file of that few bytes can
// have no such picture, so nothing is allocated for it.
func TestTooShortForItsSize(t *testing.T) {
	for name, frame := range map[string]string{
		"jpeg-progressive.jpg": "\xff\xc2", "jpeg-420.jpg": "\xff\xc0", "png-grey.png": "IHDR", "bmp.bmp": "BM",
		"tiff.tiff": "II*", "tiff-lzw.tiff": "II*", "tiff-deflate.tiff": "II*",
	} {
		var lim Limits
		data := bytes.Clone(readFile(t, name))
		size := data[bytes.Index(data, []byte(frame)):]
		switch frame {
		case "IHDR":
			binary.BigEndian.PutUint32(size[4:], 8000)
			binary.BigEndian.PutUint32(size[8:], 8000)
		case "II*":
			for _, tag := range []uint16{256, 257} {
				entry := binary.LittleEndian.AppendUint16(nil, tag)
				at := bytes.Index(data[4:], append(entry, 3, 0, 1, 0, 0, 0)) // one SHORT
				if at < 0 {
					at = bytes.Index(data[4:], append(entry, 4, 0, 1, 0, 0, 0)) // one LONG
				}
				binary.LittleEndian.PutUint16(data[4+at+8:], 16000)
			}
			lim.MaxPixels = 1 << 30
		case "BM":
			binary.LittleEndian.PutUint32(size[18:], 8000)
			binary.LittleEndian.PutUint32(size[22:], 8000)
		default:
			binary.BigEndian.PutUint16(size[5:], 8000)
			binary.BigEndian.PutUint16(size[7:], 8000)
		}
		_, err := Open(data, lim)
		var refused *Error
		if !errors.As(err, &refused) || refused.Kind != Corrupt {
			t.Errorf("%s of 8000 x 8000: %v, want corrupt", name, err)
		}
	}
}

// TestCutOffAnywhere: a file cut anywhere is refused as broken, or is whole but
// for its end marks; never a panic, never half a picture.
func TestCutOffAnywhere(t *testing.T) {
	for _, name := range decodable(t) {
		t.Run(name, func(t *testing.T) {
			data := readFile(t, name)
			p, _, err := decodeAll(data)
			if err != nil {
				t.Fatal(err)
			}
			want := look(p)
			p.Release()
			step := 1 + len(data)/60
			for n := 0; n < len(data); n += step {
				p, _, err := decodeAll(data[:n])
				var refused *Error
				if err != nil {
					if !errors.As(err, &refused) || refused.Err == nil {
						t.Fatalf("cut at %d: untyped error %v", n, err)
					}
					continue
				}
				got := look(p)
				p.Release()
				if lenient(name) {
					continue
				}
				for where := range want {
					compareLook(t, "cut at "+strconv.Itoa(n)+": "+where, got[where], want[where], 0)
				}
			}
		})
	}
}

// lenient names the files of which a cut changes more than the pixels: metadata
// that stand behind them, or pixels of which a decoder makes something.
func lenient(name string) bool {
	return strings.HasPrefix(name, "webp-exif") || strings.HasPrefix(name, "tiff")
}

// TestDamageIsTyped changes bytes everywhere in every kind of file.
func TestDamageIsTyped(t *testing.T) {
	for _, name := range decodable(t) {
		t.Run(name, func(t *testing.T) {
			data := readFile(t, name)
			step := 1 + len(data)/40
			for i := 0; i < len(data); i += step {
				for _, v := range []byte{0, 0xff, data[i] ^ 0x10} {
					broken := bytes.Clone(data)
					broken[i] = v
					p, _, err := decodeAll(broken)
					if err == nil {
						p.Release()
						continue
					}
					if _, ok := errors.AsType[*Error](err); !ok {
						t.Fatalf("byte %d set to %d: untyped error %v", i, v, err)
					}
				}
			}
		})
	}
}

// TestHEIFThatLies: the item claims a small size, the coded picture has its own.
func TestHEIFThatLies(t *testing.T) {
	for _, name := range []string{"heic.heic", "avif.avif"} {
		if name == "heic.heic" && !heif.Available() {
			continue
		}
		lie := bytes.Clone(readFile(t, name))
		i := bytes.Index(lie, []byte("ispe"))
		binary.BigEndian.PutUint32(lie[i+8:], 40)
		binary.BigEndian.PutUint32(lie[i+12:], 30)
		p, _, err := decodeAll(lie)
		if err == nil {
			if b := p.Bounds(); b.Dx() > 40 || b.Dy() > 30 {
				t.Errorf("%s: decoded as %v", name, b)
			}
			p.Release()
			continue
		}
		var refused *Error
		if !errors.As(err, &refused) || refused.Kind != Corrupt {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
	}
}

// TestMemoryIsNotTheFilesFault: it is no *Error, which would be answered as one.
func TestMemoryIsNotTheFilesFault(t *testing.T) {
	var refused *Error
	if err := decodeError("jpeg", jpeg.ErrMemory); errors.As(err, &refused) || !errors.Is(err, jpeg.ErrMemory) {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	for name, want := range map[string]string{
		"jpeg-broken-exif.jpg":    "orientation",
		"jpeg-broken-profile.jpg": "ICC profile",
		"jpeg-420.jpg":            "",
		"jpeg-trailing.jpg":       "",
		"jpeg-two-pictures.jpg":   "",
	} {
		p, _, err := decodeAll(readFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(p.Warnings(), "; ")
		p.Release()
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: warnings %q, want %q", name, got, want)
		}
	}
}

// TestConcurrentUse decodes all kinds of files at once, one Source for several
// goroutines, and compares with what each gives alone.
func TestConcurrentUse(t *testing.T) {
	var group sync.WaitGroup
	for _, name := range decodable(t) {
		s := open(t, readFile(t, name))
		p, err := s.Decode(0, 0)
		want, _ := pixels(t, p, err)
		for range 3 {
			group.Go(func() {
				for range 3 {
					p, err := s.Decode(0, 0)
					if err != nil {
						t.Error(err)
						return
					}
					got := make([]byte, len(want))
					w, h := p.Size()
					p.Letterbox(got, NewLetterbox(w, h, w, h, FitStretch), 0)
					p.Release()
					if !bytes.Equal(got, want) {
						t.Errorf("%s: other pixels than alone", name)
					}
				}
			})
		}
	}
	group.Wait()
}

// TestNoMemoryIsLost runs 2,000 decodes, of whole files and of halves, and looks
// at the process: memory of C libraries shows nowhere else.
func TestNoMemoryIsLost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	names := decodable(t)
	files := make([][]byte, 0, 2*len(names)+1)
	for _, name := range names {
		data := readFile(t, name)
		files = append(files, data, data[:len(data)/2])
	}
	// One that is large beside the noise: 1 MB of coefficients, 1.5 MB of pixels.
	files = append(files, photo(800, 640, 60, 85))
	decode := func(rounds int) {
		for range rounds {
			for _, data := range files {
				if p, _, err := decodeAll(data); err == nil {
					p.Release()
				}
			}
		}
	}
	rounds := 2000/len(files) + 1
	decode(rounds / 4)
	before := resident(t)
	decode(rounds)
	grown := resident(t) - before
	t.Logf("%d decodes, resident memory grew by %d KiB", rounds*len(files), grown>>10)
	// Each file lost once a round, at 17 KB of pixels, would be 30 MB.
	if grown > 16<<20 {
		t.Errorf("resident memory grew by %d MiB", grown>>20)
	}
}

func resident(t *testing.T) int64 {
	t.Helper()
	runtime.GC()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// FuzzDecode takes whole files through all of it.
func FuzzDecode(f *testing.F) {
	for _, name := range decodable(f) {
		f.Add(readFile(f, name))
	}
	tensor := make([]byte, 3*32*32)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Open(data, Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 16})
		if err == nil {
			var p *Picture
			if p, err = s.Decode(40, 40); err == nil {
				info := s.Info()
				p.Letterbox(tensor, NewLetterbox(info.Width, info.Height, 32, 32, FitLetterbox), 0)
				p.Release()
				return
			}
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Fatalf("untyped error %v", err)
		}
	})
}
