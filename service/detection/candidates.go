package detection

import (
	"fmt"

	"github.com/lexicam/lexicrop/preprocess"
)

// DecodeCandidates appends to dst what a network with the decoder `candidates` answers for one
// picture: boxes [N,4] as x1, y1, x2, y2 in pixels of its input, probs [N,1+classes] with the
// background first, and salience [N], nil where the network does not judge it. A candidate's label
// is its likeliest class. Values that are no numbers come through as they are; Select drops them.
func DecodeCandidates(dst []Candidate, boxes, probs, salience []float32, classes int) ([]Candidate, error) {
	n := len(boxes) / 4
	if len(boxes) != 4*n || len(probs) != n*(1+classes) || (salience != nil && len(salience) != n) {
		return dst, fmt.Errorf("%d box edges, %d probabilities of %d classes and background, %d saliences do not fit together",
			len(boxes), len(probs), classes, len(salience))
	}
	for i := range n {
		b, p := boxes[4*i:4*i+4], probs[(1+classes)*i:(1+classes)*(i+1)]
		c := Candidate{
			Box:   preprocess.Box{X1: float64(b[0]), Y1: float64(b[1]), X2: float64(b[2]), Y2: float64(b[3])},
			Label: likeliest(p[1:]),
			Score: 1 - float64(p[0]),
		}
		c.Salience = c.Score
		if salience != nil {
			c.Salience = float64(salience[i])
		}
		dst = append(dst, c)
	}
	return dst, nil
}

func likeliest(p []float32) int {
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	return best
}
