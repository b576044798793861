package icc

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestProfilesThatAreSRGBNeedNoTransform(t *testing.T) {
	transform, err := New(readFile(t, "testdata/srgb.icc"), 3)
	if transform != nil || err != nil {
		t.Errorf("got %v, %v; want neither", transform, err)
	}
	pix := []byte{1, 2, 3}
	transform.Apply(pix)
	if !slices.Equal(pix, []byte{1, 2, 3}) {
		t.Errorf("a nil Transform made %v of 1, 2, 3", pix)
	}
}

func TestProfilesThatDifferAreNotTakenForSRGB(t *testing.T) {
	for _, name := range []string{"display-p3", "adobe-rgb", "prophoto", "linear", "channels-swapped", "srgb-table"} {
		transform, err := New(readFile(t, "testdata/"+name+".icc"), 3)
		if transform == nil || err != nil {
			t.Errorf("%s: got %v, %v; want a transform", name, transform, err)
		}
	}
}

func TestUnusableProfilesAreNamed(t *testing.T) {
	valid := readFile(t, "testdata/display-p3.icc")
	with := func(offset int, patch string) []byte {
		p := slices.Clone(valid)
		copy(p[offset:], patch)
		return p
	}
	tag := func(signature string) int { return 132 + strings.Index(string(valid[132:]), signature) }
	data := func(signature string) int { return int(binary.BigEndian.Uint32(valid[tag(signature)+4:])) }
	cases := []struct {
		name       string
		profile    []byte
		components int
		want       error
	}{
		{"nothing", nil, 3, ErrMalformed},
		{"a text", []byte(strings.Repeat("no profile ", 40)), 3, ErrMalformed},
		{"cut off", valid[:len(valid)-1], 3, ErrMalformed},
		{"more tags than bytes", with(128, "\x00\x00\x00\xc8"), 3, ErrMalformed},
		{"absurdly many tags", with(128, "\xff\xff\xff\xff"), 3, ErrMalformed},
		{"a tag outside", with(tag("rXYZ")+4, "\xff\xff\xff\xf0"), 3, ErrMalformed},
		{"a tag that ends outside", with(tag("rXYZ")+8, "\xff\xff\xff\xf0"), 3, ErrMalformed},
		{"a tag too short", with(tag("rTRC")+8, "\x00\x00\x00\x04"), 3, ErrMalformed},
		{"a colorant of another type", with(data("rXYZ"), "text"), 3, ErrMalformed},
		{"a curve cut off", with(tag("rTRC")+8, "\x00\x00\x00\x0b"), 3, ErrMalformed},
		{"a curve with too few numbers", with(tag("rTRC")+8, "\x00\x00\x00\x10"), 3, ErrMalformed},
		{"a curve of another type", with(data("rTRC"), "mABx"), 3, ErrUnsupported},
		{"a parametric curve of the future", with(data("rTRC")+8, "\x00\x05"), 3, ErrUnsupported},
		{"samples beyond the tag", with(data("rTRC"), "curv\x00\x00\x00\x00\xff\xff\xff\xff"), 3, ErrMalformed},
		{"colorants out of range", with(data("rXYZ")+8, "\x7f\xff\xff\xff"), 3, ErrUnsupported},
		{"no colorants", with(tag("gXYZ"), "A2B0"), 3, ErrUnsupported},
		{"version 5", with(8, "\x05"), 3, ErrUnsupported},
		{"a device link", with(12, "link"), 3, ErrUnsupported},
		{"connected by Lab", with(20, "Lab "), 3, ErrUnsupported},
		{"CMYK", with(16, "CMYK"), 3, ErrUnsupported},
		{"RGB for a CMYK picture", valid, 4, ErrUnsupported},
		{"RGB for a grey picture", valid, 1, ErrUnsupported},
		{"grey for an RGB picture", readFile(t, "testdata/grey-gamma.icc"), 3, ErrUnsupported},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			transform, err := New(c.profile, c.components)
			if transform != nil || !errors.Is(err, c.want) {
				t.Errorf("got %v, %v; want %v", transform, err, c.want)
			}
		})
	}
}

func TestBytesBehindAProfileAreTolerated(t *testing.T) {
	padded := append(readFile(t, "testdata/display-p3.icc"), 0, 0, 0)
	if transform, err := New(padded, 3); transform == nil || err != nil {
		t.Errorf("got %v, %v; want a transform", transform, err)
	}
}

func TestAllocations(t *testing.T) {
	srgb, p3 := readFile(t, "testdata/srgb.icc"), readFile(t, "testdata/display-p3.icc")
	transform, err := New(p3, 3)
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 3*1000)
	for _, c := range []struct {
		name string
		most float64
		do   func()
	}{
		{"reading sRGB", 0, func() { _, _ = New(srgb, 3) }},
		{"reading Display P3", 1, func() { _, _ = New(p3, 3) }},
		{"applying", 0, func() { transform.Apply(pix) }},
	} {
		if got := testing.AllocsPerRun(10, c.do); got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.most)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.icc")
	if err != nil || len(files) == 0 {
		f.Fatalf("no profiles in testdata: %v", err)
	}
	for _, file := range files {
		f.Add(readFile(f, file))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, profile []byte) {
		for _, components := range []int{1, 3, 4} {
			transform, err := New(profile, components)
			if err != nil {
				if transform != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
					t.Fatalf("%v together with %v", transform, err)
				}
				continue
			}
			for v := range 256 {
				transform.Apply([]byte{byte(v), byte(255 - v), 77, byte(v), byte(v), byte(v), 1, 2})
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for _, name := range []string{"srgb", "display-p3", "srgb-table", "adobe-rgb"} {
		b.Run(name, func(b *testing.B) {
			profile := readFile(b, "testdata/"+name+".icc")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := New(profile, 3); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply converts a letterboxed picture of the detector.
func BenchmarkApply(b *testing.B) {
	transform, err := New(readFile(b, "testdata/display-p3.icc"), 3)
	if err != nil {
		b.Fatal(err)
	}
	original := make([]byte, 3*213*320)
	for i := range original {
		original[i] = byte(i * 7)
	}
	pix := slices.Clone(original)
	b.SetBytes(int64(len(pix)))
	b.ReportAllocs()
	for b.Loop() {
		copy(pix, original)
		transform.Apply(pix)
	}
}
