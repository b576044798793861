package detection

import (
	"fmt"
	"math"

	"github.com/lexicam/lexicrop/preprocess"
)

// DecodeDETR appends to dst what DETR and its kin answer for one picture: boxes [N,4] as x1, y1, x2,
// y2 in pixels of its input, and logits [N,classes+1] with "no object" last.
func DecodeDETR(dst []Candidate, boxes, logits []float32, classes int) ([]Candidate, error) {
	n := len(boxes) / 4
	if len(boxes) != 4*n || len(logits) != n*(classes+1) {
		return dst, fmt.Errorf("%d box edges and %d logits of %d classes do not fit together", len(boxes), len(logits), classes)
	}
	for i := range n {
		b, l := boxes[4*i:4*i+4], logits[(classes+1)*i:(classes+1)*(i+1)]
		score := 1 - lastShare(l)
		dst = append(dst, Candidate{
			Box:   preprocess.Box{X1: float64(b[0]), Y1: float64(b[1]), X2: float64(b[2]), Y2: float64(b[3])},
			Label: likeliest(l[:classes]), Score: score, Salience: score,
		})
	}
	return dst, nil
}

// lastShare is the softmax of the last logit. The largest is subtracted first, so that no power
// overflows.
func lastShare(logits []float32) float64 {
	largest := logits[likeliest(logits)]
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l - largest))
	}
	return math.Exp(float64(logits[len(logits)-1]-largest)) / sum
}
