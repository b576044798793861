package preprocess

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/preprocess/heif"
	"github.com/lexicam/lexicrop/preprocess/jpeg"
)

// uploads is the folder of awkward files that a photo upload meets, with what
// reference decoders make of them. It is not part of the repository.
func uploads(t testing.TB) string {
	t.Helper()
	root := os.Getenv("LEXICROP_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "uploads")
	if _, err := os.Stat(filepath.Join(dir, "expected.json")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the corpus of uploads is missing: %v", err)
		}
		t.Skipf("no corpus of uploads, set LEXICROP_TEST_DATA: %v", err)
	}
	return dir
}

// upload is one file and what is right for it.
type upload struct {
	Name     string
	Kind     string
	Expected struct {
		Verdict       string // decode, refuse or either
		Prefer        string
		RefuseAs      string `json:"refuse_as"`
		Format        string
		Width, Height int
		StoredAs      string `json:"stored_as"`
		appearance
		SRGB      *appearance `json:"srgb"`
		IfDecoded *struct{}   `json:"if_decoded"`
		Tol       struct{ Mean, Quadrant float64 }
	}
}

type appearance struct {
	Mean      []float64
	Quadrants map[string][]float64
}

func readExpected(t testing.TB, dir string) []upload {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []upload
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 60 {
		t.Fatalf("expected.json has %d files, want at least 60", len(all))
	}
	return all
}

var refusals = map[string]Kind{
	"empty": Empty, "not-an-image": NotAnImage, "unsupported": Unsupported,
	"too-many-pixels": TooManyPixels, "corrupt": Corrupt,
}

// gaps are the files that do not come out as they should, and why. kind is how
// they are refused; 0 is a picture of other colours with a warning.
var gaps = []gap{
	{"icc-xyb.jpg", 0, always, "its profile is a table (A2B0), only matrix profiles are read"},
	{"rle8.bmp", Unsupported, always, "x/image/bmp reads no RLE"},
	{"cmyk-subsampled.jpg", Unsupported, withoutTurbo, "image/jpeg wants CMYK sampled alike"},
	{"arithmetic-coded.jpg", Unsupported, withoutTurbo, "image/jpeg has no arithmetic coding"},
	{"mjpeg-no-huffman-tables.jpg", Corrupt, withoutTurbo, "image/jpeg assumes no standard tables"},
	{"non-interleaved-short-scan.jpg", Corrupt, withoutTurbo, "image/jpeg wants the last bits"},
}

type gap struct {
	name    string
	kind    Kind
	applies func() bool
	why     string
}

func always() bool       { return true }
func withoutTurbo() bool { return jpeg.Decoder != "libjpeg-turbo" }

func gapOf(u upload) *gap {
	if strings.HasSuffix(u.Name, ".heic") && !heif.Available() {
		return &gap{kind: Unsupported, why: "HEIC wants libheif"}
	}
	for _, g := range gaps {
		if g.name == u.Name && g.applies() {
			return &g
		}
	}
	return nil
}

// TestUploads tries files from the wild.
func TestUploads(t *testing.T) { checkFolder(t, uploads(t)) }

// TestKinds tries a drawn picture in each kind of file (testdata/generate.py).
func TestKinds(t *testing.T) { checkFolder(t, "testdata") }

func checkFolder(t *testing.T, dir string) {
	for _, u := range readExpected(t, dir) {
		t.Run(u.Name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, u.Name))
			if err != nil {
				t.Fatal(err)
			}
			p, info, err := decodeAll(data)
			if err != nil {
				checkRefusal(t, u, err)
				return
			}
			defer p.Release()
			if len(p.Warnings()) > 0 {
				t.Logf("warnings: %q", p.Warnings())
			}
			checkPicture(t, u, info, p)
		})
	}
}

func decodeAll(data []byte) (*Picture, Info, error) {
	s, err := Open(data, Limits{})
	if err != nil {
		return nil, Info{}, err
	}
	p, err := s.Decode(0, 0)
	return p, s.Info(), err
}

func checkRefusal(t *testing.T, u upload, err error) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("refused by an untyped error: %v", err)
	}
	t.Logf("refused: %v", err)
	e := u.Expected
	if g := gapOf(u); g != nil {
		if refused.Kind != g.kind {
			t.Errorf("known gap (%s), but refused as %q, want %q", g.why, refused.Kind, g.kind)
		}
		return
	}
	if e.Verdict == "decode" || e.Prefer == "decode" {
		t.Fatalf("should decode, but: %v", err)
	}
	if want := refusals[e.RefuseAs]; refused.Kind != want {
		t.Errorf("refused as %q, want %q", refused.Kind, want)
	}
}

func checkPicture(t *testing.T, u upload, info Info, p *Picture) {
	t.Helper()
	e := u.Expected
	g := gapOf(u)
	if g != nil && g.kind != 0 {
		t.Errorf("decodes, so this is no gap any more: %s", g.why)
	}
	if e.Verdict == "refuse" || e.IfDecoded != nil {
		t.Errorf("decoded, should be refused as %s", e.RefuseAs)
		return
	}
	if info.Format != e.Format && (e.Format != "heif" || info.Format != "heic") {
		t.Errorf("format %q, want %q", info.Format, e.Format)
	}
	if info.Width != e.Width || info.Height != e.Height {
		t.Errorf("%d x %d, want %d x %d", info.Width, info.Height, e.Width, e.Height)
		return
	}
	if g != nil {
		if len(p.Warnings()) == 0 {
			t.Errorf("no warning of the known gap: %s", g.why)
		}
		return
	}
	want := e.appearance
	// Of CMYK the profile is not used, which is what the plain means are.
	if e.SRGB != nil && e.StoredAs != "CMYK" {
		want = *e.SRGB
	}
	got := look(p)
	// One level beyond the reference's tolerance is allowed for another
	// resampling of chroma.
	compareLook(t, "mean", got["mean"], want.Mean, e.Tol.Mean+1)
	for _, q := range []string{"tl", "tr", "bl", "br"} {
		if want.Quadrants[q] != nil {
			compareLook(t, q, got[q], want.Quadrants[q], e.Tol.Quadrant+1)
		}
	}
}

func compareLook(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	for c := range want {
		if d := got[c] - want[c]; d > tol || d < -tol {
			t.Errorf("%s is %.1f, want %.1f within %.1f", what, got, want, tol)
			return
		}
	}
}

// look gives the mean colour of the upright picture and of its quadrants.
func look(p *Picture) map[string][]float64 {
	w, h := p.Bounds().Dx(), p.Bounds().Dy()
	pix := make([]byte, 3*w*h)
	p.Letterbox(pix, NewLetterbox(w, h, w, h, FitStretch), 0)
	mean := func(x0, y0, x1, y1 int) []float64 {
		if x1 <= x0 || y1 <= y0 {
			return nil
		}
		var sum [3]float64
		for y := y0; y < y1; y++ {
			row := pix[3*(y*w+x0) : 3*(y*w+x1)]
			for i, v := range row {
				sum[i%3] += float64(v)
			}
		}
		n := float64((x1 - x0) * (y1 - y0))
		return slices.Collect(func(yield func(float64) bool) {
			for _, s := range sum {
				if !yield(s / n) {
					return
				}
			}
		})
	}
	return map[string][]float64{
		"mean": mean(0, 0, w, h),
		"tl":   mean(0, 0, w/2, h/2), "tr": mean(w/2, 0, w, h/2),
		"bl": mean(0, h/2, w/2, h), "br": mean(w/2, h/2, w, h),
	}
}

// TestReducedUploads: the JPEGs of the corpus decoded at a reduction give the
// letterbox that the whole picture gives, within minFidelity.
func TestReducedUploads(t *testing.T) {
	dir := uploads(t)
	reduced := 0
	for _, u := range readExpected(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, u.Name))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(data, Limits{})
		if err != nil || s.Info().Format != "jpeg" {
			continue
		}
		const side = 48
		l := NewLetterbox(s.Info().Width, s.Info().Height, side, side, FitLetterbox)
		var tensors [2][]byte
		for i, factor := range []int{0, Oversampling} {
			p, err := s.Decode(factor*l.Inner.Dx(), factor*l.Inner.Dy())
			if err != nil {
				break
			}
			if w, _ := p.Size(); w < s.Info().Width {
				reduced++
			}
			tensors[i] = make([]byte, 3*side*side)
			p.Letterbox(tensors[i], l, 114)
			p.Release()
		}
		if (tensors[0] == nil) != (tensors[1] == nil) {
			t.Errorf("%s decodes at one size only", u.Name)
		} else if tensors[0] != nil {
			db := psnr(tensors[0], tensors[1])
			t.Logf("%s: %.1f dB", u.Name, db)
			if db < minFidelity {
				t.Errorf("%s: %.1f dB, want at least %d", u.Name, db, minFidelity)
			}
		}
	}
	if reduced < 10 {
		t.Errorf("only %d pictures were decoded at a reduction", reduced)
	}
}
