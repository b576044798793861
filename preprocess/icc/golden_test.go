package icc

import (
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tolerance is in 8-bit levels; Little CMS rounds the white of D65 otherwise
// than IEC 61966-2-1, which alone moves a dark colour by one level.
const (
	tolerance    = 1
	maxDiffering = 0.1
)

// TestAgreesWithLittleCMS compares with what testdata/golden.py had Little CMS
// make of a grid of colours, for every kind of curve and for wide gamuts.
func TestAgreesWithLittleCMS(t *testing.T) {
	files, err := filepath.Glob("testdata/*.icc")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles in testdata: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".icc")
		t.Run(name, func(t *testing.T) {
			source, components := "colours", 3
			if strings.HasPrefix(name, "grey") {
				source, components = "greys", 1
			}
			transform, err := New(readFile(t, file), components)
			if err != nil {
				t.Fatal(err)
			}
			before, got, want := readPNG(t, source), readPNG(t, source), readPNG(t, name)
			transform.Apply(got)

			differing := 0
			for i := range want {
				d := int(got[i]) - int(want[i])
				if d > tolerance || d < -tolerance {
					p := i / 3 * 3
					t.Errorf("%v became %v, want %v", before[p:p+3], got[p:p+3], want[p:p+3])
				}
				if d != 0 {
					differing++
				}
			}
			share := float64(differing) / float64(len(want))
			t.Logf("%.1f %% of the values differ", 100*share)
			if share > maxDiffering {
				t.Errorf("%.1f %% of the values differ, want at most %.0f %%", 100*share, 100*maxDiffering)
			}
		})
	}
}

// readPNG gives the pixels as interleaved 8-bit RGB.
func readPNG(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	var pix []byte
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			r, g, b, _ := m.At(x, y).RGBA()
			pix = append(pix, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return pix
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
