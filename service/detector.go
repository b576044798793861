package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service/detection"
	"github.com/lexicam/lexicrop/triton"
)

// detector is a detector network as it is loaded at Triton.
type detector struct {
	contract modelrepo.Contract
	// wanted is what was configured, version what answers.
	wanted  ModelName
	version string
	client  *triton.Client
	metrics *metrics
	// tensors holds *[]byte, one picture each: uint8, [height, width, 3], RGB.
	tensors sync.Pool
}

// newDetector reads the contract of a loaded model and tries the model with a blank picture, so
// that whatever does not fit together shows now and not with the first photo.
func newDetector(ctx context.Context, client *triton.Client, name ModelName, m *metrics) (*detector, error) {
	config, err := client.ModelConfig(ctx, name.Name, name.Version)
	if err != nil {
		return nil, err
	}
	contract, err := modelrepo.ReadContract(config)
	if err != nil {
		return nil, err
	}
	d := &detector{contract: contract, wanted: name, client: client, metrics: m}
	if err := d.supported(); err != nil {
		return nil, fmt.Errorf("the model %s cannot be used: %w", name.Name, err)
	}
	size := contract.Input.Width * contract.Input.Height * 3
	d.tensors.New = func() any { t := make([]byte, size); return &t }
	blank := slices.Repeat([]byte{contract.Pad}, size)
	if d.version, _, err = d.detect(ctx, blank); err != nil {
		return nil, fmt.Errorf("trying the model %s with a blank picture: %w", name.Name, err)
	}
	return d, nil
}

// supported says what of the contract this service cannot do.
func (d *detector) supported() error {
	c := d.contract
	switch {
	case c.Task != modelrepo.TaskDetector:
		return fmt.Errorf("its task is %s, a %s is needed", c.Task, modelrepo.TaskDetector)
	case c.Decoder != modelrepo.DecoderCandidates:
		return fmt.Errorf("its decoder %s is not supported, only %s", c.Decoder, modelrepo.DecoderCandidates)
	case c.Input.DType != triton.Uint8 || c.Input.Layout != modelrepo.LayoutNHWC:
		return fmt.Errorf("its input is %s in %s, only %s in %s is supported", c.Input.DType, c.Input.Layout, triton.Uint8, modelrepo.LayoutNHWC)
	default:
		return nil
	}
}

// letterbox places an upright photo of w x h pixels in the network's input.
func (d *detector) letterbox(w, h int) preprocess.Letterbox {
	fit := preprocess.FitLetterbox
	switch {
	case d.contract.Resize == modelrepo.ResizeStretch:
		fit = preprocess.FitStretch
	case d.contract.Align == modelrepo.AlignTopLeft:
		fit = preprocess.FitLetterboxTopLeft
	}
	return preprocess.NewLetterbox(w, h, d.contract.Input.Width, d.contract.Input.Height, fit)
}

// detect asks the network. tensor is one picture, uint8, [height, width, 3], RGB; the boxes of the
// candidates are in its pixels. version is the one that answered.
func (d *detector) detect(ctx context.Context, tensor []byte) (version string, candidates []detection.Candidate, err error) {
	start := time.Now()
	defer func() {
		d.metrics.inferences.WithLabelValues(d.wanted.Name, outcome(err)).Observe(time.Since(start).Seconds())
	}()
	in := d.contract.Input
	response, err := d.client.Infer(ctx, &triton.Request{
		Model: d.wanted.Name, Version: d.wanted.Version,
		Inputs:  []triton.Tensor{{Name: in.Name, DType: in.DType, Shape: in.Shape, Data: tensor}},
		Outputs: d.contract.Outputs,
	})
	if err != nil {
		return "", nil, err
	}
	candidates, err = d.decode(response)
	if err != nil {
		return "", nil, &triton.Error{Kind: triton.BadResponse, Op: "decode", Model: d.wanted.Name, Err: err}
	}
	return response.Version, candidates, nil
}

func (d *detector) decode(r *triton.Response) ([]detection.Candidate, error) {
	values := func(role modelrepo.Role) ([]float32, error) {
		i := d.contract.Output(role)
		if i < 0 {
			return nil, nil
		}
		return r.Outputs[i].Float32s(nil)
	}
	boxes, err := values(modelrepo.RoleBoxes)
	if err != nil {
		return nil, err
	}
	probs, err := values(modelrepo.RoleProbs)
	if err != nil {
		return nil, err
	}
	salience, err := values(modelrepo.RoleSalience)
	if err != nil {
		return nil, err
	}
	return detection.DecodeCandidates(nil, boxes, probs, salience, len(d.contract.Labels))
}

// outcome is err as a label of metrics.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	kind, _ := triton.KindOf(err)
	return kind.String()
}
