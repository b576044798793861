package service

import (
	"errors"
	"fmt"
	"math"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service/detection"
	"github.com/lexicam/lexicrop/triton"
)

// judge says in what an answer to the reference picture is not what the contract promises: faults
// make it useless, doubts may have other causes.
func judge(c *modelrepo.Contract, r *triton.Response) (faults, doubts []error) {
	outputs := roles{contract: c, response: r}
	boxes := outputs.float32s(modelrepo.RoleBoxes)
	detection.Corners(boxes, c.Boxes, c.Input.Width, c.Input.Height)
	probs, salience, scores, logits := outputs.float32s(modelrepo.RoleProbs), outputs.float32s(modelrepo.RoleSalience),
		outputs.float32s(modelrepo.RoleScores), outputs.float32s(modelrepo.RoleLogits)
	if outputs.err != nil {
		return []error{outputs.err}, nil
	}
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	fault(areFinite(map[modelrepo.Role][]float32{
		modelrepo.RoleBoxes: boxes, modelrepo.RoleProbs: probs, modelrepo.RoleSalience: salience, modelrepo.RoleScores: scores, modelrepo.RoleLogits: logits,
	}))
	fault(areShares(modelrepo.RoleSalience, salience))
	fault(areShares(modelrepo.RoleScores, scores))
	fault(areDistributions(probs, len(c.Labels)+1))
	fault(areBoxes(boxes, c))
	if c.Decoder == modelrepo.DecoderTorchvision {
		unknown, all, err := unknownLabels(&outputs, len(c.Labels))
		switch {
		case err != nil:
			fault(err)
		case len(unknown) > 0 && all:
			fault(fmt.Errorf("labels are %v, but only 1 to %d have names: no box would ever be taken", unknown, len(c.Labels)))
		case len(unknown) > 0:
			doubts = append(doubts, fmt.Errorf("there are labels %v, but only 1 to %d have names: boxes of the others are passed over", unknown, len(c.Labels)))
		}
	}
	return faults, doubts
}

func areFinite(outputs map[modelrepo.Role][]float32) error {
	for role, values := range outputs {
		for _, v := range values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("%s has values that are no numbers (%v)", role, v)
			}
		}
	}
	return nil
}

// slack is what half precision and bfloat16 leave of exact sums.
const slack = 0.05

func areShares(role modelrepo.Role, values []float32) error {
	for _, v := range values {
		if v < -slack || v > 1+slack {
			return fmt.Errorf("%s are not between 0 and 1: %.3g", role, v)
		}
	}
	return nil
}

// areDistributions wants every row to add up to 1.
func areDistributions(probs []float32, classes int) error {
	for ; len(probs) >= classes; probs = probs[classes:] {
		sum := 0.0
		for _, p := range probs[:classes] {
			sum += float64(p)
		}
		if areShares("", probs[:classes]) != nil || math.Abs(sum-1) > slack {
			return fmt.Errorf("probs are no probabilities of one class each: %.3g, which is %.3g together (the decoder detr takes logits)", probs[:classes], sum)
		}
	}
	return nil
}

// areBoxes looks for boxes in another unit or order than the contract says.
func areBoxes(boxes []float32, c *modelrepo.Contract) error {
	n, reversed, reach := 0, 0, 0.0
	for b := boxes; len(b) >= 4; b = b[4:] {
		n++
		if b[2] < b[0] || b[3] < b[1] { // an empty one may fill a place
			reversed++
		}
		reach = max(reach, float64(b[2]), float64(b[3]))
	}
	const relative, few = 1.5, 16
	switch side := max(c.Input.Width, c.Input.Height); {
	case n == 0:
		return nil
	case 2*reversed > n:
		return fmt.Errorf("%d of %d boxes end before they begin: another order than %s?", reversed, n, c.Boxes.Order)
	case c.Boxes.Units == modelrepo.BoxPixels && reach > 0 && reach <= relative && side > few:
		return fmt.Errorf("boxes in pixels reach to %.2f in an input of %dx%d: are they relative?", reach, c.Input.Width, c.Input.Height)
	case c.Boxes.Units == modelrepo.BoxRelative && reach > float64(few*side):
		return errors.New("boxes relative to the input reach far out of it: are they in pixels?")
	}
	return nil
}

// unknownLabels are the labels without a name, a few of them; all says that there are no others.
func unknownLabels(outputs *roles, names int) (unknown []int64, all bool, err error) {
	const few = 5
	all = true
	seen := map[int64]bool{}
	for _, l := range outputs.int64s(modelrepo.RoleLabels) {
		switch {
		case l >= 1 && l <= int64(names):
			all = false
		case !seen[l] && len(unknown) < few:
			seen[l], unknown = true, append(unknown, l)
		}
	}
	return unknown, all, outputs.err
}
