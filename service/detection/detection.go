// Package detection turns what a detector network answers into detections: it decodes the raw
// output tensors into candidates and chooses among them. It is pure arithmetic; mapping boxes from
// the network's input to the photo is the caller's.
package detection

import (
	"cmp"
	"math"
	"slices"

	"github.com/lexicam/lexicrop/preprocess"
)

// Candidate is one box proposed by a network.
type Candidate struct {
	// Box is in pixels: of the network's input as decoded, later of whatever the caller maps it to.
	Box preprocess.Box
	// Label indexes the model's labels, background left out.
	Label int
	// Score is the probability, 0..1, that the box holds any work at all: 1 - P(background).
	Score float64
	// Salience is how likely, 0..1, this is the work that the photographer meant. A network that
	// does not judge it has its score here.
	Salience float64
}

// weight orders candidates and weighs their boxes when they are averaged. The square root lets
// salience decide among boxes that surely hold a work, and background veto the others.
func (c Candidate) weight() float64 { return c.Salience * math.Sqrt(c.Score) }

// Selection says how Select chooses.
type Selection struct {
	// Max is the largest number of detections to return.
	Max int
	// MinScore leaves out detections with a lower score.
	MinScore float64
	// NMS is the IoU from which two boxes are taken for the same work.
	NMS float64
}

// fuseIoU is the overlap from which candidates are votes for the very same box, so that averaging
// them sharpens its edges. Below it they may hold part of the work or its frame.
const fuseIoU = 0.7

// smallestArea, in square pixels, is that of the smallest box: far below anything that can be seen, and
// far above where averaging could round a side away.
const smallestArea = 1e-6

// Select returns the detections among candidates, the most salient first. Candidates that overlap a
// chosen one by at least fuseIoU are averaged into its box, weighted; those that overlap it by at
// least s.NMS are dropped. The order of candidates is changed.
func Select(candidates []Candidate, s Selection) []Candidate {
	candidates = slices.DeleteFunc(candidates, func(c Candidate) bool {
		// The comparison is written so that NaN is dropped too.
		return !(c.Score >= s.MinScore) || !(c.weight() > 0) || !(c.Box.Area() >= smallestArea) || math.IsInf(c.Box.Area(), 0)
	})
	slices.SortStableFunc(candidates, func(a, b Candidate) int { return cmp.Compare(b.weight(), a.weight()) })
	var chosen []Candidate
	for len(candidates) > 0 && len(chosen) < s.Max {
		winner := candidates[0]
		fused := winner
		fused.Box = fuse(winner, candidates)
		chosen = append(chosen, fused)
		candidates = slices.DeleteFunc(candidates, func(c Candidate) bool {
			return c.Box.IoU(winner.Box) >= s.NMS || c.Box.IoU(fused.Box) >= s.NMS
		})
	}
	return chosen
}

// fuse averages the boxes that agree with the winner, which is one of the candidates itself and has the
// largest weight. Weights are relative to its own, so that the smallest ones do not vanish in the sums.
func fuse(winner Candidate, candidates []Candidate) preprocess.Box {
	var sum preprocess.Box
	var total float64
	for _, c := range candidates {
		if c.Box.IoU(winner.Box) < fuseIoU {
			continue
		}
		w := c.weight() / winner.weight()
		sum.X1 += w * c.Box.X1
		sum.Y1 += w * c.Box.Y1
		sum.X2 += w * c.Box.X2
		sum.Y2 += w * c.Box.Y2
		total += w
	}
	return preprocess.Box{X1: sum.X1 / total, Y1: sum.Y1 / total, X2: sum.X2 / total, Y2: sum.Y2 / total}
}
