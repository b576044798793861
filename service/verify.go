package service

import (
	"context"
	_ "embed" // for the reference picture
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service/detection"
)

// reference is a photo of a wall with two paintings on it: docs/images/scene.jpg, reduced.
//
//go:embed reference.jpg
var reference []byte

// referenceTensor is the reference picture as the network takes it.
func (n *network) referenceTensor() ([]byte, error) {
	source, err := preprocess.Open(reference, preprocess.DefaultLimits)
	if err != nil {
		return nil, fmt.Errorf("opening the reference picture: %w", err)
	}
	info, in := source.Info(), n.contract.Input
	picture, err := source.Decode(info.Width, info.Height)
	if err != nil {
		return nil, fmt.Errorf("decoding the reference picture: %w", err)
	}
	defer picture.Release()
	tensor := make([]byte, 3*in.Width*in.Height)
	picture.Letterbox(tensor, n.letterbox(info.Width, info.Height), n.contract.Pad)
	return tensor, nil
}

func (n *network) blankTensor() []byte {
	return slices.Repeat([]byte{n.contract.Pad}, n.contract.Input.Width*n.contract.Input.Height*3)
}

// leastReferenceScore is the score from which something counts as found in the reference picture. It
// is so low that only a network that sees nothing at all, or not what it was meant to, is below it.
const leastReferenceScore = 0.1

// check wants an answer to the reference picture as the contract promises it, and something to be found
// there, at a place that there is.
func (d *detector) check(ctx context.Context) error {
	tensor, err := d.referenceTensor()
	if err != nil {
		return err
	}
	response, err := d.infer(ctx, tensor)
	if err != nil {
		return fmt.Errorf("trying the reference picture: %w", err)
	}
	if faults, _ := judge(&d.contract, response); len(faults) > 0 {
		return fmt.Errorf("the answer to the reference picture is not what the contract says: %w", errors.Join(faults...))
	}
	candidates, err := d.decode(response)
	if err != nil {
		return fmt.Errorf("trying the reference picture: %w", d.unusable(err))
	}
	found := detection.Select(candidates, detection.Selection{Max: 1, MinScore: leastReferenceScore, NMS: 1})
	if len(found) == 0 {
		return fmt.Errorf("it finds nothing in the reference picture, which shows two paintings (scores below %g)", leastReferenceScore)
	}
	box, in := found[0].Box, d.contract.Input
	inside := box.Clamp(in.Width, in.Height)
	if !(inside.Area() > 0.5*box.Area()) {
		return fmt.Errorf("in the reference picture it finds a work at %.0f,%.0f,%.0f,%.0f, but the picture is %dx%d: are boxes in another unit than its contract says?",
			box.X1, box.Y1, box.X2, box.Y2, in.Width, in.Height)
	}
	return nil
}

// mostBlankSimilarity is the cosine from which the vectors of two pictures are the same.
const mostBlankSimilarity = 0.9999

// check wants the reference picture to have another vector than a blank one.
func (e *embedder) check(ctx context.Context) error {
	tensor, err := e.referenceTensor()
	if err != nil {
		return err
	}
	_, vector, err := e.embed(ctx, tensor)
	if err != nil {
		return fmt.Errorf("trying the reference picture: %w", err)
	}
	_, blank, err := e.embed(ctx, e.blankTensor())
	if err != nil {
		return fmt.Errorf("trying a blank picture: %w", err)
	}
	if similarity := Cosine(vector, blank); !(similarity < mostBlankSimilarity) {
		return fmt.Errorf("the reference picture and a blank one have the same vector (cosine %.5f)", similarity)
	}
	return nil
}

// Cosine is the similarity of two vectors of length 1; NaN where their numbers of values differ.
func Cosine(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
