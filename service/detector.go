package service

import (
	"context"
	"fmt"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service/detection"
	"github.com/lexicam/lexicrop/triton"
)

// detector is a network that finds works in a picture.
type detector struct{ *network }

func openDetector(ctx context.Context, client *triton.Client, name ModelName, m *metrics) (*detector, error) {
	n, err := openNetwork(ctx, client, name, modelrepo.TaskDetector, m, func(n *network, r *triton.Response) error {
		_, err := (&detector{n}).decode(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &detector{n}, nil
}

// detect asks the network. tensor is one picture, uint8, [height, width, 3], RGB; the boxes of the
// candidates are in its pixels. version is the one that answered.
func (d *detector) detect(ctx context.Context, tensor []byte) (version string, candidates []detection.Candidate, err error) {
	response, err := d.infer(ctx, tensor)
	if err != nil {
		return "", nil, err
	}
	candidates, err = d.decode(response)
	if err != nil {
		return "", nil, d.unusable(err)
	}
	return response.Version, candidates, nil
}

func (d *detector) decode(r *triton.Response) ([]detection.Candidate, error) {
	outputs := roles{contract: &d.contract, response: r}
	classes := len(d.contract.Labels)
	boxes := outputs.float32s(modelrepo.RoleBoxes)
	detection.Corners(boxes, d.contract.Boxes, d.contract.Input.Width, d.contract.Input.Height)
	switch d.contract.Decoder {
	case modelrepo.DecoderCandidates:
		probs, salience := outputs.float32s(modelrepo.RoleProbs), outputs.float32s(modelrepo.RoleSalience)
		if outputs.err != nil {
			return nil, outputs.err
		}
		return detection.DecodeCandidates(nil, boxes, probs, salience, classes)
	case modelrepo.DecoderTorchvision:
		labels, scores := outputs.int64s(modelrepo.RoleLabels), outputs.float32s(modelrepo.RoleScores)
		if outputs.err != nil {
			return nil, outputs.err
		}
		return detection.DecodeTorchvision(nil, boxes, labels, scores, classes)
	case modelrepo.DecoderDETR:
		logits := outputs.float32s(modelrepo.RoleLogits)
		if outputs.err != nil {
			return nil, outputs.err
		}
		return detection.DecodeDETR(nil, boxes, logits, classes)
	default:
		return nil, fmt.Errorf("no decoder %q", d.contract.Decoder)
	}
}
