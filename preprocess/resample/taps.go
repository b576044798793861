package resample

import "math"

// taps are the filter weights of one axis: output i is the sum over k < n of
// weights[i*n+k] times input first[i]+k. The weights of an output add up to
// exactly one (1<<weightBits).
type taps struct {
	n       int
	first   []int32
	weights []uint64
}

// compute sets the weights that resize [lo, hi) of an axis of in pixels to out
// pixels. The formula is that of Pillow's precompute_coeffs for a triangle of
// half-width max(1, scale): weight 1-|d|/support for a pixel centre at distance
// d from the centre of the output pixel, normalised at the borders.
func (t *taps) compute(in, out int, lo, hi float64) {
	lo, hi = clampSpan(lo, hi, float64(in))
	scale := (hi - lo) / float64(out)
	support := max(scale, 1)
	// So many pixel centres at most lie within an open interval of 2*support.
	t.n = min(int(math.Ceil(2*support)), in)
	t.first = sized32(t.first, out)
	t.weights = sized(t.weights, out*t.n)
	for i := range t.first {
		centre := lo + (float64(i)+0.5)*scale
		first := int(math.Floor(centre - support + 0.5))
		first = min(max(first, 0), in-t.n)
		t.first[i] = int32(first)
		quantise(t.weights[i*t.n:(i+1)*t.n], float64(first)+0.5-centre, 1/support)
	}
}

// quantise sets fixed-point weights for pixel centres at distances d, d+1, ...
// It rounds the running sum instead of each weight: the total is then exact and
// the error of one is made good by its neighbour.
func quantise(weights []uint64, d, inverse float64) {
	total := 0.0
	for k := range weights {
		total += max(0, 1-math.Abs(d+float64(k))*inverse)
	}
	sum, before := 0.0, uint64(0)
	for k := range weights {
		sum += max(0, 1-math.Abs(d+float64(k))*inverse)
		now := uint64(sum/total*one + 0.5)
		weights[k] = now - before
		before = now
	}
}

// clampSpan cuts a span to 0..size. A span that is empty, inverted or not a
// number becomes one point, which reads as the pixels around it.
func clampSpan(lo, hi, size float64) (float64, float64) {
	if !(lo > 0) {
		lo = 0
	}
	lo = min(lo, size)
	if !(hi > lo) {
		hi = lo
	}
	return lo, min(hi, size)
}

// span is the range of inputs that the taps read.
func (t *taps) span() (first, end int) {
	return int(t.first[0]), int(t.first[len(t.first)-1]) + t.n
}

func sized32(b []int32, n int) []int32 {
	if cap(b) < n {
		return make([]int32, n)
	}
	return b[:n]
}
