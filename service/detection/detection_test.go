package detection

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lexicam/lexicrop/preprocess"
)

var nan = math.NaN()

func box(x1, y1, x2, y2 float64) preprocess.Box {
	return preprocess.Box{X1: x1, Y1: y1, X2: x2, Y2: y2}
}

func TestSelect(t *testing.T) {
	all := Selection{Max: 10, NMS: 0.5}
	tests := []struct {
		name string
		in   []Candidate
		s    Selection
		want []Candidate
	}{
		{name: "nothing", s: all},
		{
			name: "the most salient first, not the surest",
			in:   []Candidate{{Box: box(0, 0, 10, 10), Score: 0.9, Salience: 0.2}, {Box: box(50, 50, 90, 90), Label: 1, Score: 0.8, Salience: 0.9}},
			s:    all,
			want: []Candidate{{Box: box(50, 50, 90, 90), Label: 1, Score: 0.8, Salience: 0.9}, {Box: box(0, 0, 10, 10), Score: 0.9, Salience: 0.2}},
		},
		{
			// Weights 0.8*sqrt(1) and 0.4*sqrt(0.25): the edges move a fifth of the way.
			name: "boxes that agree are averaged by weight",
			in:   []Candidate{{Box: box(0, 0, 100, 100), Score: 1, Salience: 0.8}, {Box: box(0, 0, 110, 100), Score: 0.25, Salience: 0.4}},
			s:    all,
			want: []Candidate{{Box: box(0, 0, 102, 100), Score: 1, Salience: 0.8}},
		},
		{
			name: "boxes that only overlap are dropped, not averaged",
			in:   []Candidate{{Box: box(0, 0, 100, 100), Score: 1, Salience: 0.8}, {Box: box(0, 0, 60, 100), Score: 1, Salience: 0.7}},
			s:    all,
			want: []Candidate{{Box: box(0, 0, 100, 100), Score: 1, Salience: 0.8}},
		},
		{
			name: "neighbours stay",
			in:   []Candidate{{Box: box(0, 0, 100, 100), Score: 1, Salience: 0.8}, {Box: box(80, 0, 180, 100), Score: 1, Salience: 0.7}},
			s:    all,
			want: []Candidate{{Box: box(0, 0, 100, 100), Score: 1, Salience: 0.8}, {Box: box(80, 0, 180, 100), Score: 1, Salience: 0.7}},
		},
		{
			name: "low scores are left out, the limit kept",
			in:   []Candidate{{Box: box(0, 0, 10, 10), Score: 0.4, Salience: 0.9}, {Box: box(20, 0, 30, 10), Score: 0.5, Salience: 0.3}, {Box: box(40, 0, 50, 10), Score: 0.9, Salience: 0.1}},
			s:    Selection{Max: 1, MinScore: 0.5, NMS: 0.5},
			want: []Candidate{{Box: box(20, 0, 30, 10), Score: 0.5, Salience: 0.3}},
		},
		{
			name: "what is no number is no detection",
			in: []Candidate{
				{Box: box(nan, 0, 10, 10), Score: 1, Salience: 1}, {Box: box(0, 0, 10, 10), Score: nan, Salience: 1},
				{Box: box(0, 0, 10, 10), Score: 1, Salience: nan}, {Box: box(10, 10, 0, 0), Score: 1, Salience: 1},
				{Box: box(0, 0, 10, 10), Score: 1, Salience: -1}, {Box: box(0, 0, math.Inf(1), 10), Score: 1, Salience: 1},
			},
			s: all,
		},
		{
			name: "weights however small average, boxes too small to see are none",
			in: []Candidate{
				{Box: box(0, 0, 10, 10), Score: 1e-300, Salience: 1e-170}, {Box: box(0, 0, 10, 10), Score: 1e-300, Salience: 1e-170},
				{Box: box(1, 0, 1.5, 1e-183), Score: 1, Salience: 1},
			},
			s:    all,
			want: []Candidate{{Box: box(0, 0, 10, 10), Score: 1e-300, Salience: 1e-170}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Select(test.in, test.s)
			if d := cmp.Diff(test.want, got, cmpopts.EquateApprox(0, 1e-9)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSelectKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Custom(func(t *rapid.T) float64 {
			return rapid.OneOf(rapid.Float64Range(-10, 330), rapid.SampledFrom([]float64{nan, math.Inf(1), math.Inf(-1), 0})).Draw(t, "x")
		})
		share := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Just(nan))
		candidates := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Candidate {
			return Candidate{
				Box:   box(number.Draw(t, "x1"), number.Draw(t, "y1"), number.Draw(t, "x2"), number.Draw(t, "y2")),
				Score: share.Draw(t, "score"), Salience: share.Draw(t, "salience"),
			}
		}), 0, 40).Draw(t, "candidates")
		s := Selection{Max: rapid.IntRange(1, 5).Draw(t, "max"), MinScore: rapid.Float64Range(0, 1).Draw(t, "min"), NMS: rapid.Float64Range(0.3, 0.7).Draw(t, "nms")}
		got := Select(candidates, s)
		if len(got) > s.Max {
			t.Fatalf("%d detections of at most %d", len(got), s.Max)
		}
		for i, c := range got {
			if !(c.Score >= s.MinScore) || !(c.Box.Area() > 0) || math.IsInf(c.Box.Area(), 0) {
				t.Errorf("detection %d is %+v", i, c)
			}
			if i > 0 && c.weight() > got[i-1].weight() {
				t.Errorf("detection %d is more salient than the one before", i)
			}
		}
	})
}

func TestDecodeCandidates(t *testing.T) {
	got, err := DecodeCandidates(nil, []float32{1, 2, 3, 4, 5, 6, 7, 8}, []float32{0.25, 0.5, 0.25, 0.5, 0.125, 0.375}, []float32{0.75, 0.5}, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []Candidate{{box(1, 2, 3, 4), 0, 0.75, 0.75}, {box(5, 6, 7, 8), 1, 0.5, 0.5}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got, err = DecodeCandidates(got[:0], []float32{1, 2, 3, 4}, []float32{0.25, 0.75}, nil, 1)
	if d := cmp.Diff([]Candidate{{box(1, 2, 3, 4), 0, 0.75, 0.75}}, got); d != "" || err != nil {
		t.Errorf("without salience: %v %s", err, d)
	}
	for name, err := range map[string]error{
		"a cut box":          second(DecodeCandidates(nil, make([]float32, 7), make([]float32, 6), nil, 2)),
		"a missing class":    second(DecodeCandidates(nil, make([]float32, 8), make([]float32, 4), nil, 2)),
		"a missing salience": second(DecodeCandidates(nil, make([]float32, 8), make([]float32, 6), make([]float32, 1), 2)),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
