package detection

import (
	"fmt"

	"github.com/lexicam/lexicrop/preprocess"
)

// DecodeTorchvision appends to dst what torchvision's detectors answer for one picture: boxes [N,4]
// as x1, y1, x2, y2 in pixels of their input, labels [N] from 1 (0 is the background), scores [N].
// N may be 0. Labels that the model has no name for are passed over.
func DecodeTorchvision(dst []Candidate, boxes []float32, labels []int64, scores []float32, classes int) ([]Candidate, error) {
	n := len(scores)
	if len(boxes) != 4*n || len(labels) != n {
		return dst, fmt.Errorf("%d box edges, %d labels and %d scores do not fit together", len(boxes), len(labels), n)
	}
	for i, score := range scores {
		if labels[i] < 1 || labels[i] > int64(classes) {
			continue
		}
		b := boxes[4*i : 4*i+4]
		dst = append(dst, Candidate{
			Box:   preprocess.Box{X1: float64(b[0]), Y1: float64(b[1]), X2: float64(b[2]), Y2: float64(b[3])},
			Label: int(labels[i] - 1), Score: float64(score), Salience: float64(score),
		})
	}
	return dst, nil
}
