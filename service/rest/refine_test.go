package rest

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// A small work is looked at again: the second box counts, mapped back from the part of the photo
// that was shown, unless it is another work.
func TestASmallWorkIsLookedAtAgain(t *testing.T) {
	// In a photo of 640x320 this is the box 100,120..200,220; with a margin of a quarter the second
	// look shows 75,95..225,245, magnified 320/150 times.
	first := tritontest.Candidate{Box: [4]float32{50, 140, 100, 190}, Probs: []float32{0, 1, 0}, Salience: 1}
	closer := func(x1, y1, x2, y2 float32) tritontest.Candidate {
		const zoom = 320. / 150
		return tritontest.Candidate{Box: [4]float32{(x1 - 75) * zoom, (y1 - 95) * zoom, (x2 - 75) * zoom, (y2 - 95) * zoom}, Probs: []float32{0, 1, 0}, Salience: 1}
	}
	tests := []struct {
		name    string
		below   float64
		second  []tritontest.Candidate
		want    api.Box
		lookups int
	}{
		{"it is sharper", 0.2, []tritontest.Candidate{closer(104, 124, 196, 216)}, api.Box{104, 124, 196, 216}, 2},
		{"it is another work", 0.2, []tritontest.Candidate{closer(80, 100, 120, 140)}, api.Box{100, 120, 200, 220}, 2},
		{"it finds nothing", 0.2, nil, api.Box{100, 120, 200, 220}, 2},
		{"the work is not small", 0.04, nil, api.Box{100, 120, 200, 220}, 1},
		{"it is turned off", 0, nil, api.Box{100, 120, 200, 220}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			looks := 0
			fake := tritontest.New(t, tritontest.DetectorFunc("detector", func([]byte) []tritontest.Candidate {
				if looks++; looks == 1 {
					return []tritontest.Candidate{first}
				}
				return test.second
			}))
			cfg := config.Default()
			cfg.Crop.RefineBelow = test.below
			s := newTestServer(t, cfg, triton.Options{Address: fake.Address()})
			looks = 0 // the model was tried
			got := decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 640, 320)), http.StatusOK)
			if len(got.Detections) != 1 || !cmp.Equal(got.Detections[0].Box, test.want, cmpopts.EquateApprox(0, 0.02)) {
				t.Errorf("the detections are %+v, want the box %v", got.Detections, test.want)
			}
			if looks != test.lookups {
				t.Errorf("the network was asked %d times, want %d", looks, test.lookups)
			}
		})
	}
}
