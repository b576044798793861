package detection

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDecodeTorchvision(t *testing.T) {
	got, err := DecodeTorchvision(nil, []float32{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 1, 0, 0, 1, 1}, []int64{2, 1, 0, 3}, []float32{0.75, 0.5, 0.9, 0.9}, 2)
	want := []Candidate{{box(1, 2, 3, 4), 1, 0.75, 0.75}, {box(5, 6, 7, 8), 0, 0.5, 0.5}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if got, err := DecodeTorchvision(nil, nil, nil, nil, 2); err != nil || len(got) != 0 {
		t.Errorf("zero detections: %v, %v", got, err)
	}
	for name, err := range map[string]error{
		"a cut box":       second(DecodeTorchvision(nil, make([]float32, 7), make([]int64, 2), make([]float32, 2), 2)),
		"a missing label": second(DecodeTorchvision(nil, make([]float32, 8), make([]int64, 1), make([]float32, 2), 2)),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestDecodeDETR(t *testing.T) {
	ln := func(x float64) float32 { return float32(math.Log(x)) }
	// Logits are logarithms of shares up to a constant: 2:1:1 and 1:3:4.
	got, err := DecodeDETR(nil, []float32{50, 150, 150, 250, 40, 0, 60, 400}, []float32{ln(2), ln(1), ln(1), ln(1) + 80, ln(3) + 80, ln(4) + 80}, 2)
	want := []Candidate{{box(50, 150, 150, 250), 0, 0.75, 0.75}, {box(40, 0, 60, 400), 1, 0.5, 0.5}}
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-4)); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if _, err := DecodeDETR(nil, make([]float32, 8), make([]float32, 5), 2); err == nil {
		t.Error("a missing logit was taken")
	}
}
