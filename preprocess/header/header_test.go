package header

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/preprocess/resample"
)

const testdata = "../testdata"

// files gives the drawn pictures by name.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(testdata)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || ext == ".py" || ext == ".json" {
			continue
		}
		if all[e.Name()], err = os.ReadFile(filepath.Join(testdata, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 60 {
		t.Fatalf("%d files, want at least 60", len(all))
	}
	return all
}

func TestFormatsByContent(t *testing.T) {
	for _, c := range []struct {
		name, data, format string
		err                error
	}{
		{"nothing", "", "", ErrEmpty},
		{"one byte", "\xff", "", ErrUnknown},
		{"HTML", "<!DOCTYPE html><html><body><svg></svg>", "", ErrUnknown},
		{"text like BMP", "BM is not a picture, it is the beginning of a text", "", ErrUnknown},
		{"JSON", `{"image": "…"}`, "", ErrUnknown},
		{"SVG", `<svg xmlns="http://www.w3.org/2000/svg"/>`, "svg", ErrUnsupported},
		{"SVG behind a prolog", "\xef\xbb\xbf\n<?xml version='1.0'?><!DOCTYPE svg><!-- > --><svg>", "svg", ErrUnsupported},
		{"JPEG XL", "\xff\x0a\x00\x00", "jxl", ErrUnsupported},
		{"JPEG XL in a container", "\x00\x00\x00\x0cJXL \r\n\x87\n", "jxl", ErrUnsupported},
		{"Photoshop", "8BPS\x00\x01", "psd", ErrUnsupported},
		{"PDF", "%PDF-1.7", "pdf", ErrUnsupported},
		{"film", "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2", "mp4", ErrUnsupported},
		{"camera raw", "\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "raw", ErrUnsupported},
		{"PNM", "P6\n3 3\n255\n", "pnm", ErrUnsupported},
		{"JPEG of its mark alone", "\xff\xd8\xff", JPEG, ErrCorrupt},
		{"PNG of its mark alone", "\x89PNG\r\n\x1a\n", PNG, ErrCorrupt},
		{"WebP of its mark alone", "RIFF\x04\x00\x00\x00WEBP", WebP, ErrCorrupt},
		{"GIF of its mark alone", "GIF89a", GIF, ErrCorrupt},
		{"TIFF of its mark alone", "II*\x00", TIFF, ErrCorrupt},
		{"HEIC of its brand alone", "\x00\x00\x00\x10ftypheic\x00\x00\x00\x00", HEIC, ErrCorrupt},
	} {
		h, err := Read([]byte(c.data))
		if !errors.Is(err, c.err) || h.Format != c.format {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, h.Format, err, c.format, c.err)
		}
	}
}

// TestCutOffAnywhere: a header is read or refused, wherever the file ends.
func TestCutOffAnywhere(t *testing.T) {
	for name, data := range files(t) {
		for n := range min(len(data), 3000) {
			h, err := Read(data[:n])
			if err == nil && (h.Width <= 0 || h.Height <= 0) {
				t.Errorf("%s cut at %d: %d x %d without an error", name, n, h.Width, h.Height)
			}
			_, _ = h.Profile() // must not panic
		}
	}
}

// TestProfileBombIsNotInflated: a profile of 1 GB in 1 MB.
func TestProfileBombIsNotInflated(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(testdata, "png-adobe-rgb.png"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := h.Profile(); err != nil || len(p) < 128 {
		t.Fatalf("profile of %d bytes, %v", len(p), err)
	}
	bomb := append([]byte("icc\x00\x00"), zeros(t, maxProfile+1)...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(bomb)))
	body := append([]byte("iCCP"), bomb...)
	chunk = append(chunk, body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(body))
	const ihdrEnd = 33
	data = bytes.Join([][]byte{data[:ihdrEnd], chunk, data[ihdrEnd:]}, nil)
	if h, err = Read(data); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Profile(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a profile of more than %d bytes: %v, want %v", maxProfile, err, ErrCorrupt)
	}
}

// TestTurnOfHEIF composes irot and imir in the order in which they are listed.
func TestTurnOfHEIF(t *testing.T) {
	irot := func(quarters byte) box { return box{name: "irot", payload: []byte{quarters}} }
	imir := func(axis byte) box { return box{name: "imir", payload: []byte{axis}} }
	for _, c := range []struct {
		boxes []box
		want  resample.Orientation
	}{
		{nil, resample.Upright},
		{[]box{irot(1)}, resample.Rotate270},
		{[]box{irot(2)}, resample.Rotate180},
		{[]box{irot(3)}, resample.Rotate90},
		{[]box{imir(0)}, resample.MirrorY},
		{[]box{imir(1)}, resample.MirrorX},
		{[]box{irot(3), imir(0)}, resample.Transverse},
		{[]box{imir(0), irot(3)}, resample.Transpose},
		{[]box{irot(1), irot(1), irot(2)}, resample.Upright},
	} {
		var p heifPicture
		for _, b := range c.boxes {
			if err := p.readProperty(b); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.orientation(); got != c.want {
			t.Errorf("%v: orientation %d, want %d", c.boxes, got, c.want)
		}
	}
}

func TestCleanAperture(t *testing.T) {
	clap := func(v ...int32) []byte {
		var b []byte
		for _, n := range v {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
		return b
	}
	for _, c := range []struct {
		clap          []byte
		width, height int
		want          image.Rectangle // empty: refused
	}{
		{clap(180, 1, 100, 1, -30, 1, -10, 1), 320, 280, image.Rect(40, 80, 220, 180)},
		{clap(451, 1, 461, 1, -1, 2, -1, 2), 452, 462, image.Rect(0, 0, 451, 461)},
		{clap(16, 1, 16, 1, -48, 2, -48, 2), 64, 64, image.Rect(0, 0, 16, 16)},
		{clap(320, 1, 280, 1, 0, 1, 0, 1), 320, 280, image.Rect(0, 0, 320, 280)},
		{clap(322, 1, 280, 1, 0, 1, 0, 1), 320, 280, image.Rectangle{}},
		{clap(100, 1, 100, 1, 200, 1, 0, 1), 320, 280, image.Rectangle{}},
		{clap(100, 0, 100, 1, 0, 1, 0, 1), 320, 280, image.Rectangle{}},
		{clap(100, 1, 100, 1, 0, 0, 0, 1), 320, 280, image.Rectangle{}},
		{clap(-5, 1, 100, 1, 0, 1, 0, 1), 320, 280, image.Rectangle{}},
		{clap(5, 1), 320, 280, image.Rectangle{}},
	} {
		got, ok := cleanAperture(c.clap, c.width, c.height)
		if ok != !c.want.Empty() || ok && got != c.want {
			t.Errorf("%v of %d x %d: %v %v, want %v", c.clap, c.width, c.height, got, ok, c.want)
		}
	}
}

// TestCodedSizes: decoders allocate by the size in the coded stream, which must
// not be larger than what the item claims.
func TestCodedSizes(t *testing.T) {
	for name, data := range files(t) {
		if !strings.HasPrefix(name, "avif") && !strings.HasPrefix(name, "heic") {
			continue
		}
		m, err := readMeta(data)
		if err != nil {
			t.Fatal(err)
		}
		budget := uint64(1 << 30)
		p := heifPicture{meta: &m, budget: &budget}
		if err := p.read(m.primary()); err != nil {
			t.Fatal(err)
		}
		// What is read of the stream is the true size: one pixel less than it,
		// beyond the slack, is refused.
		p.width, p.height = p.width-slack-3, p.height-slack-3
		if err := p.checkCoded(m.primary()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: a stream too large for its item: %v, want %v", name, err, ErrCorrupt)
		}
	}
}

// TestListsOfItemsAreBounded: they are scanned once for each tile.
func TestListsOfItemsAreBounded(t *testing.T) {
	data := files(t)["heic.heic"]
	meta := bytes.Index(data, []byte("meta"))
	size := binary.BigEndian.Uint32(data[meta-4:])
	for _, list := range []string{"iinf", "iref", "iloc", "ipma", "pitm"} {
		extra := binary.BigEndian.AppendUint32(nil, maxList+100)
		extra = append(extra, list...)
		extra = append(extra, make([]byte, maxList+92)...)
		if list == "ipma" { // it stands one level deeper
			extra = append(append(binary.BigEndian.AppendUint32(nil, uint32(len(extra)+8)), "iprp"...), extra...)
		}
		long := bytes.Clone(data[:meta-4+int(size)])
		long = append(long, extra...)
		binary.BigEndian.PutUint32(long[meta-4:], size+uint32(len(extra)))
		if _, err := Read(long); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s of %d bytes: %v, want %v", list, maxList+92, err, ErrCorrupt)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, data := range files(b) {
		switch name {
		case "jpeg-exif-6.jpg", "png-exif-6.png", "webp-exif-8.webp", "heic-turned.heic", "avif-turned.avif":
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Read(data); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, data := range files(f) {
		if len(data) < 20000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := Read(data)
		if err != nil {
			for _, known := range []error{ErrEmpty, ErrUnknown, ErrUnsupported, ErrCorrupt} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("untyped error %v", err)
		}
		if h.Width <= 0 || h.Height <= 0 || h.Format == "" {
			t.Fatalf("%q of %d x %d without an error", h.Format, h.Width, h.Height)
		}
		if !h.Still.Rect.In(image.Rect(0, 0, h.Width, h.Height)) {
			t.Fatalf("frame %v outside %d x %d", h.Still.Rect, h.Width, h.Height)
		}
		if _, err := h.Profile(); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("untyped error %v", err)
		}
	})
}

// zeros is n deflated zeros.
func zeros(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	if _, err := z.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
