package index

import "math"

// DirectionOf is v with length 1, so that the inner product of two is the cosine
// of their angle. The products of the sum are exact in float64, and none is
// beyond its range: every machine gives the same.
func DirectionOf(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	length := math.Sqrt(sum)
	d := make([]float32, len(v))
	for i, x := range v {
		d[i] = float32(float64(x) / length)
	}
	return d
}
