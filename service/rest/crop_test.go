package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	_ "image/png"

	_ "github.com/gen2brain/webp"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// A photo of 640x320 fills the detector's 320x320 from row 80 to 240, at half its size.
var (
	main  = tritontest.Candidate{Box: [4]float32{50, 100, 150, 200}, Probs: []float32{0.05, 0.9, 0.05}, Salience: 0.9}
	other = tritontest.Candidate{Box: [4]float32{200, 100, 300, 200}, Probs: []float32{0.2, 0.1, 0.7}, Salience: 0.5}
)

// photo is a JPEG of w x h pixels, red in its left half and blue in its right.
func photo(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		c := color.RGBA{200, 30, 30, 255}
		if i%w >= w/2 {
			c = color.RGBA{30, 30, 200, 255}
		}
		m.SetRGBA(i%w, i/w, c)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCropAnswersWithBoxesOfTheOriginal(t *testing.T) {
	s, _ := onFake(t, config.Default(), main, other)
	a := s.post(t, "/v1/crop?detections=5", "image/jpeg", photo(t, 640, 320))
	got := decode[api.CropResult](t, a, http.StatusOK)
	want := api.CropResult{
		Image: api.Image{Width: 640, Height: 320, Format: "jpeg", Orientation: 1},
		Detections: []api.Detection{
			{Label: "painting", Score: 0.95, Salience: 0.9, Box: api.Box{100, 40, 300, 240}, BoxNormalized: api.Box{0.15625, 0.125, 0.46875, 0.75}},
			{Label: "object", Score: 0.8, Salience: 0.5, Box: api.Box{400, 40, 600, 240}, BoxNormalized: api.Box{0.625, 0.125, 0.9375, 0.75}},
		},
		Crop:     &[]int{100, 40, 300, 240},
		Model:    api.Model{Name: "detector", Version: "1"},
		Warnings: []string{},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(api.CropResult{}, "TimingsMs"), cmpopts.EquateApprox(0, 1e-6)); d != "" {
		t.Error(d)
	}
	for _, stage := range []string{"read", "queue", "decode", "letterbox", "infer", "total"} {
		if _, ok := got.TimingsMs[stage]; !ok {
			t.Errorf("no time of the stage %s in %v", stage, got.TimingsMs)
		}
		if !strings.Contains(a.Header.Get("Server-Timing"), stage+";dur=") {
			t.Errorf("no %s in Server-Timing: %s", stage, a.Header.Get("Server-Timing"))
		}
	}
	if model := a.Header.Get("Lexicrop-Model"); model != "detector/1" {
		t.Errorf("Lexicrop-Model is %q", model)
	}
}

func TestCropOptions(t *testing.T) {
	s, _ := onFake(t, config.Default(), main, other)
	tests := []struct {
		query  string
		labels []string
		crop   []int
	}{
		{"", []string{"painting"}, []int{100, 40, 300, 240}},
		{"?detections=2", []string{"painting", "object"}, []int{100, 40, 300, 240}},
		{"?detections=2&min_score=0.9", []string{"painting"}, []int{100, 40, 300, 240}},
		{"?min_score=0.96", nil, nil},
		{"?padding=0.1", []string{"painting"}, []int{80, 20, 320, 260}},
		{"?padding=0.4", []string{"painting"}, []int{20, 0, 380, 320}},
	}
	for _, test := range tests {
		got := decode[api.CropResult](t, s.post(t, "/v1/crop"+test.query, "", photo(t, 640, 320)), http.StatusOK)
		var labels []string
		for _, d := range got.Detections {
			labels = append(labels, d.Label)
		}
		var crop []int
		if got.Crop != nil {
			crop = *got.Crop
		}
		if !cmp.Equal(labels, test.labels) || !cmp.Equal(crop, test.crop) {
			t.Errorf("%s: %v, crop %v; want %v, crop %v", test.query, labels, crop, test.labels, test.crop)
		}
	}
}

func TestCropFindsNothing(t *testing.T) {
	cfg := config.Default()
	s, _ := onFake(t, cfg)
	a := s.post(t, "/v1/crop", "", photo(t, 640, 320))
	if got := decode[api.CropResult](t, a, http.StatusOK); got.Crop != nil || got.Detections == nil || len(got.Detections) != 0 {
		t.Errorf("the answer is %s", a.body)
	}
	wantProblem(t, s.post(t, "/v1/crop?output=image", "", photo(t, 640, 320)), http.StatusNotFound, service.CodeNoArtwork)

	cfg.Crop.Fallback = config.FallbackFull
	s, _ = onFake(t, cfg)
	got := decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 640, 320)), http.StatusOK)
	if got.Crop == nil || !cmp.Equal(*got.Crop, []int{0, 0, 640, 320}) || len(got.Detections) != 0 {
		t.Errorf("with the whole photo as fallback: %+v", got)
	}
}

func TestCropAnswersWithThePicture(t *testing.T) {
	s, _ := onFake(t, config.Default(), main)
	for _, test := range []struct{ query, format string }{
		{"", "jpeg"}, {"&format=jpeg&quality=80", "jpeg"}, {"&format=png", "png"}, {"&format=webp", "webp"},
	} {
		a := s.post(t, "/v1/crop?output=image"+test.query, "", photo(t, 640, 320))
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "image/"+test.format {
			t.Fatalf("%s: status %d, type %s: %.200s", test.query, a.StatusCode, a.Header.Get("Content-Type"), a.body)
		}
		picture, format, err := image.Decode(bytes.NewReader(a.body))
		if err != nil || format != test.format || picture.Bounds().Size() != image.Pt(200, 200) {
			t.Fatalf("%s: %v, %s, %v", test.query, err, format, picture.Bounds())
		}
		// The crop ends 20 pixels left of the middle of the photo: all of it is red.
		for _, p := range []image.Point{{5, 5}, {195, 195}} {
			if r, _, b, _ := picture.At(p.X, p.Y).RGBA(); r>>8 < 180 || b>>8 > 60 {
				t.Errorf("%s: the pixel %v is %v", test.query, p, picture.At(p.X, p.Y))
			}
		}
		if got := a.Header.Get("Lexicrop-Crop"); got != "100,40,300,240" {
			t.Errorf("Lexicrop-Crop is %q", got)
		}
	}
}

// The same scene, stored turned in every way, gives the same box and the same crop.
func TestCropTurnsAPhotoUpright(t *testing.T) {
	s, _ := onFake(t, config.Default(), tritontest.Candidate{Box: [4]float32{40, 60, 200, 220}, Probs: []float32{0, 1, 0}, Salience: 1})
	var first *api.CropResult
	for orientation := 1; orientation <= 8; orientation++ {
		data, err := os.ReadFile(filepath.Join("../../preprocess/testdata", "jpeg-exif-"+string(rune('0'+orientation))+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		got := decode[api.CropResult](t, s.post(t, "/v1/crop", "", data), http.StatusOK)
		if got.Image.Orientation != orientation {
			t.Errorf("orientation %d was read as %d", orientation, got.Image.Orientation)
		}
		got.Image.Orientation = 1
		if first == nil {
			first = &got
		}
		if d := cmp.Diff(*first, got, cmpopts.IgnoreFields(api.CropResult{}, "TimingsMs")); d != "" {
			t.Errorf("orientation %d: %s", orientation, d)
		}
	}
}

func TestCropTakesFormsAndJSON(t *testing.T) {
	s, _ := onFake(t, config.Default(), main, other)
	picture := photo(t, 640, 320)
	formType, formBody := form(formPart{name: "detections", content: "2"}, formPart{name: "image", file: "a.jpg", content: string(picture)})
	jsonBody, err := json.Marshal(map[string]any{"image": "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(picture), "detections": 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]answer{
		"form": s.post(t, "/v1/crop", formType, formBody),
		"JSON": s.post(t, "/v1/crop", "application/json", jsonBody),
	} {
		if got := decode[api.CropResult](t, a, http.StatusOK); len(got.Detections) != 2 {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	wantProblem(t, s.post(t, "/v1/crop?detections=1", formType, formBody), http.StatusBadRequest, service.CodeInvalid)
	wantProblem(t, s.post(t, "/v1/crop?colour=1", "", picture), http.StatusBadRequest, service.CodeInvalid)
}

func TestDetectAnswersAsTheOriginalService(t *testing.T) {
	picture := photo(t, 640, 320)
	formType, formBody := form(formPart{name: "image", file: "a.jpg", content: string(picture)})
	jsonBody := []byte(`{"base64":"data:image/jpg;base64,` + base64.StdEncoding.EncodeToString(picture) + `"}`)
	for _, test := range []struct {
		name       string
		candidates []tritontest.Candidate
		want       []float64
	}{
		{"found", []tritontest.Candidate{main, other}, []float64{0.15625, 0.125, 0.46875, 0.75}},
		{"nothing found", nil, []float64{0.25, 0.25, 0.75, 0.75}},
	} {
		s, _ := onFake(t, config.Default(), test.candidates...)
		for way, a := range map[string]answer{
			"form":   s.post(t, "/detect", formType, formBody),
			"base64": s.post(t, "/detect/base64", "application/json", jsonBody),
		} {
			got := decode[map[string][]float64](t, a, http.StatusOK)
			if d := cmp.Diff(map[string][]float64{"bbox": test.want}, got, cmpopts.EquateApprox(0, 1e-6)); d != "" {
				t.Errorf("%s, %s: %s", test.name, way, d)
			}
		}
	}
}

// Boxes that stick out of the photo, as networks answer them, end at its edges.
func TestCropKeepsBoxesInsideThePhoto(t *testing.T) {
	inf := float32(math.Inf(1))
	s, _ := onFake(t, config.Default(),
		tritontest.Candidate{Box: [4]float32{-20, -20, 340, 340}, Probs: []float32{0, 1, 0}, Salience: 0.9},
		tritontest.Candidate{Box: [4]float32{-inf, 80, inf, 240}, Probs: []float32{0, 1, 0}, Salience: 0.8},
		tritontest.Candidate{Box: [4]float32{10, 0, 20, 70}, Probs: []float32{0, 1, 0}, Salience: 0.7}, // in the padding
	)
	got := decode[api.CropResult](t, s.post(t, "/v1/crop?detections=5", "", photo(t, 640, 320)), http.StatusOK)
	if len(got.Detections) != 1 || !cmp.Equal(got.Detections[0].Box, api.Box{0, 0, 640, 320}) {
		t.Errorf("the detections are %+v", got.Detections)
	}
}
