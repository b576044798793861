package index

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheckVector(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, c := range []struct {
		vector []float32
		want   Kind
	}{
		{nil, WrongDimension},
		{[]float32{1}, WrongDimension},
		{[]float32{1, 2, 3}, WrongDimension},
		{[]float32{0, 0}, BadVector},
		{[]float32{0, float32(math.Copysign(0, -1))}, BadVector},
		{[]float32{1, nan}, BadVector},
		{[]float32{inf, 1}, BadVector},
	} {
		if err := CheckVector(c.vector, 2); err == nil || KindOf(err) != c.want {
			t.Errorf("%v: %v", c.vector, err)
		}
	}
	for _, v := range [][]float32{{0, math.SmallestNonzeroFloat32}, {-math.MaxFloat32, math.MaxFloat32}, {1, 0}} {
		if err := CheckVector(v, 2); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// FuzzMetadata: what JSON can say of a work is kept as it is, or refused.
func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"a":[1,2.50,1e400,"x",null,true,{"b":{}}]}`, `{"a":"\u0000"}`, `{"\ud800":"<&>\u2028"}`, `[]`, `{"a":1}x`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Metadata
		if err := json.Unmarshal(data, &m); err != nil {
			return
		}
		e, err := Prepare(Space{Dimension: 1}, Space{Dimension: 1}, []Entry{{Work: Work{ID: "w", Metadata: m}}})
		if err != nil {
			if KindOf(err) != Invalid {
				t.Fatal(err)
			}
			return
		}
		if got := e[0].Work.Metadata; len(m) > 0 || len(got) > 0 {
			if diff := cmp.Diff(m, got); diff != "" {
				t.Fatalf("(-read +kept):\n%s", diff)
			}
		}
	})
}
