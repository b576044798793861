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
	// tensors holds *[]byte, one picture each: uint8, [height, width, 3], RGB. floats holds the same
	// pictures as a network that takes no uint8 wants them.
	tensors, floats sync.Pool
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
	if contract.Task != modelrepo.TaskDetector {
		return nil, fmt.Errorf("the model %s is for another task: %s, where a %s is needed", name.Name, contract.Task, modelrepo.TaskDetector)
	}
	size := contract.Input.Width * contract.Input.Height * 3
	d.tensors.New = func() any { t := make([]byte, size); return &t }
	d.floats.New = func() any { t := make([]byte, 4*size); return &t }
	blank := slices.Repeat([]byte{contract.Pad}, size)
	if d.version, _, err = d.detect(ctx, blank); err != nil {
		return nil, fmt.Errorf("trying the model %s with a blank picture: %w", name.Name, err)
	}
	return d, nil
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
	if in.DType == triton.FP32 {
		floats := d.floats.Get().(*[]byte)
		defer d.floats.Put(floats)
		preprocess.Float32s(*floats, tensor, layouts[in.Layout], scales[d.contract.Scale])
		tensor = *floats
	}
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

// What the contract says in the terms of preprocess.
var (
	layouts = map[modelrepo.Layout]preprocess.Layout{modelrepo.LayoutNHWC: preprocess.NHWC, modelrepo.LayoutNCHW: preprocess.NCHW}
	scales  = map[modelrepo.Scale]preprocess.Scale{
		modelrepo.Scale255: preprocess.Scale255, modelrepo.Scale1: preprocess.Scale1, modelrepo.ScaleImageNet: preprocess.ScaleImageNet,
	}
)

func (d *detector) decode(r *triton.Response) ([]detection.Candidate, error) {
	outputs := roles{contract: &d.contract, response: r}
	classes := len(d.contract.Labels)
	boxes := outputs.float32s(modelrepo.RoleBoxes)
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
		return detection.DecodeDETR(nil, boxes, logits, classes, d.contract.Input.Width, d.contract.Input.Height)
	default:
		return nil, fmt.Errorf("no decoder %q", d.contract.Decoder)
	}
}

// roles reads the outputs of a response by what they are to the decoder; the first error stays.
type roles struct {
	contract *modelrepo.Contract
	response *triton.Response
	err      error
}

// float32s returns nil for an output that the model does not have.
func (r *roles) float32s(role modelrepo.Role) []float32 {
	return read(r, role, triton.Tensor.Float32s)
}

func (r *roles) int64s(role modelrepo.Role) []int64 {
	return read(r, role, triton.Tensor.Int64s)
}

func read[T any](r *roles, role modelrepo.Role, values func(triton.Tensor, []T) ([]T, error)) []T {
	i := r.contract.Output(role)
	if i < 0 || r.err != nil {
		return nil
	}
	got, err := values(r.response.Outputs[i], nil)
	if err != nil {
		r.err = err
	}
	return got
}

// outcome is err as a label of metrics.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	kind, _ := triton.KindOf(err)
	return kind.String()
}
