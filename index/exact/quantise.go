package exact

import "math"

// How far a similarity in 8 bits can be off.
//
// Let u be a photo's vector and q the query's, both of length 1; û and q̂ what
// their codes stand for; e = u-û and d = q-q̂ what the codes miss. Then
//
//	q·u - q̂·û = d·û + q·e
//
// and by Cauchy and Schwarz, with |û| <= 1+|e|,
//
//	|q·u - q̂·û| <= |d|(1+|e|) + |e|.
//
// Both lengths are computed when the codes are made. q̂·û is a sum of integers
// times two scales, so nothing else is lost but the rounding of a few float32
// operations on values of about 1, for which slack is more than enough.
const slack = 4e-6

// maxCode bounds the codes of a photo's vector.
const maxCode = 127

// maxQueryCode bounds the codes of a query so that a dot product fits an int32
// whatever the codes are. Up to 4095 being finer costs nothing; |d| is then
// about a thirtieth of |e|.
func maxQueryCode(codes int) float64 {
	return float64(min(4095, math.MaxInt32/(maxCode*codes)))
}

// quantise writes the codes of vector, of length norm, to row and returns the
// scale of a code and at least |e|.
func quantise(row []int8, vector []float32, norm float64) (scale, missed float32) {
	step := maxAbs(vector) / norm / maxCode
	inverse := 1 / (norm * step)
	var sum float64 // of squares, in steps
	for i, x := range vector {
		value := float64(x) * inverse
		code := math.RoundToEven(value)
		row[i] = int8(code)
		sum += (value - code) * (value - code)
	}
	return float32(step), float32(math.Sqrt(sum) * step)
}

// quantiseQuery is quantise for a query; codes beyond the vector stay as they
// are.
func quantiseQuery(codes []int16, vector []float32) (scale, missed float32) {
	length := norm(vector)
	step := maxAbs(vector) / length / maxQueryCode(len(codes))
	inverse := 1 / (length * step)
	var sum float64
	for i, x := range vector {
		value := float64(x) * inverse
		code := math.RoundToEven(value)
		codes[i] = int16(code)
		sum += (value - code) * (value - code)
	}
	return float32(step), float32(math.Sqrt(sum) * step)
}

func maxAbs(v []float32) float64 {
	var m uint32
	for _, x := range v {
		m = max(m, math.Float32bits(x)&^(1<<31)) // without the sign, floats order as their bits do
	}
	return float64(math.Float32frombits(m))
}

func norm(v []float32) float64 { return math.Sqrt(dot(v, v)) }

// dot is the dot product, as exact as float64 adds. Its products are exact (two
// times 24 bits) and the order of its additions is fixed, so that equal vectors
// give equal sums on every machine, fused multiply-add or not.
func dot(a, b []float32) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		s0 += float64(x[0]) * float64(y[0])
		s1 += float64(x[1]) * float64(y[1])
		s2 += float64(x[2]) * float64(y[2])
		s3 += float64(x[3]) * float64(y[3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1 + s2 + s3
}
