package rest

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
)

var testDefaults = cropOptions{
	CropOptions: service.CropOptions{Detections: 1, MinScore: 0.3}, output: api.OutputJSON, format: api.CropFormatJPEG, quality: 90,
}

func TestParseCropOptions(t *testing.T) {
	got, err := parseCropOptions(url.Values{
		"detections": {"5"}, "min_score": {"0.25"}, "padding": {"1"}, "output": {"image"}, "format": {"webp"}, "quality": {"1"},
	}, testDefaults, 8)
	if err != nil {
		t.Fatal(err)
	}
	want := cropOptions{
		CropOptions: service.CropOptions{Detections: 5, MinScore: 0.25, Padding: 1}, output: api.OutputImage, format: api.CropFormatWebP, quality: 1,
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(cropOptions{})); d != "" {
		t.Error(d)
	}
	got, err = parseCropOptions(nil, testDefaults, 8)
	if d := cmp.Diff(testDefaults, got, cmp.AllowUnexported(cropOptions{})); d != "" || err != nil {
		t.Errorf("no options: %v %s", err, d)
	}
}

func TestParseCropOptionsRefuses(t *testing.T) {
	for _, query := range []string{
		"detections=0", "detections=9", "detections=-1", "detections=1.5", "detections=", "detections=NaN", "detections=99999999999999999999",
		"min_score=-0.1", "min_score=1.1", "min_score=NaN", "min_score=Inf", "min_score=", "min_score=half",
		"padding=-1", "padding=NaN", "padding=1e300",
		"output=xml", "output=", "format=gif&output=image", "quality=0&output=image", "quality=101&output=image",
		"format=png", "quality=80", "output=json&quality=80",
		"colour=red", "Detections=1", "detections=1&detections=2",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseCropOptions(values, testDefaults, 8)
		if err == nil {
			t.Errorf("%s was taken", query)
		} else if code := service.AsError(err).Code; code != service.CodeInvalid {
			t.Errorf("%s: code %s", query, code)
		}
	}
}
