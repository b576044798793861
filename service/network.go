package service

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/triton"
)

// network is a model as it is loaded at Triton: what it declares of itself, and how it is asked.
type network struct {
	contract modelrepo.Contract
	// wanted is what was configured, version what answers.
	wanted  ModelName
	version string
	client  *triton.Client
	metrics *metrics
	// tensors holds *[]byte, one picture each: uint8, [height, width, 3], RGB. converted holds the same
	// pictures as a network that takes something else wants them.
	tensors, converted sync.Pool
	// uses has one taken for every request that works with this network.
	uses *semaphore.Weighted
	// held keeps the model at Triton.
	held *hold
}

// allUses is held by a network that takes no more requests.
const allUses = math.MaxInt64

// hold keeps the network at Triton until release. It fails when the network has been swapped out.
func (n *network) hold() bool { return n.uses.TryAcquire(1) }

// release ends a hold; model.ready returns networks that are held.
func (n *network) release() { n.uses.Release(1) }

// drain returns when no request holds the network any more; from its call on, none gets it.
func (n *network) drain(ctx context.Context) error { return n.uses.Acquire(ctx, allUses) }

// openNetwork reads the contract of a loaded model and tries the model with a blank picture, so that
// whatever does not fit together shows now and not with the first photo. answers says whether an
// answer is one that the task can use.
func openNetwork(ctx context.Context, client *triton.Client, name ModelName, task modelrepo.Task, m *metrics, answers func(*network, *triton.Response) error) (*network, error) {
	config, err := client.ModelConfig(ctx, name.Name, name.Version)
	if err != nil {
		return nil, err
	}
	contract, err := modelrepo.ReadContract(config)
	if err != nil {
		return nil, err
	}
	n := &network{contract: contract, wanted: name, client: client, metrics: m, uses: semaphore.NewWeighted(allUses)}
	if contract.Task != task {
		return nil, fmt.Errorf("the model %s is for another task: %s, where one of task %s is needed", name.Name, contract.Task, task)
	}
	size := contract.Input.Width * contract.Input.Height * 3
	n.tensors.New = func() any { t := make([]byte, size); return &t }
	n.converted.New = func() any { t := make([]byte, size*contract.Input.DType.Size()); return &t }
	response, err := n.infer(ctx, n.blankTensor())
	if err == nil {
		n.version = response.Version
		err = answers(n, response)
	}
	if err != nil {
		return nil, fmt.Errorf("trying the model %s with a blank picture: %w", name.Name, err)
	}
	return n, nil
}

// letterbox places an upright picture of w x h pixels in the network's input.
func (n *network) letterbox(w, h int) preprocess.Letterbox {
	fit := preprocess.FitLetterbox
	switch {
	case n.contract.Resize == modelrepo.ResizeStretch:
		fit = preprocess.FitStretch
	case n.contract.Align == modelrepo.AlignTopLeft:
		fit = preprocess.FitLetterboxTopLeft
	}
	return preprocess.NewLetterbox(w, h, n.contract.Input.Width, n.contract.Input.Height, fit)
}

// infer asks the network. tensor is one picture, uint8, [height, width, 3], RGB. Errors are
// *triton.Error.
func (n *network) infer(ctx context.Context, tensor []byte) (response *triton.Response, err error) {
	start := time.Now()
	defer func() {
		n.metrics.inferences.WithLabelValues(n.wanted.Name, outcome(err)).Observe(time.Since(start).Seconds())
	}()
	in := n.contract.Input
	if in.DType != triton.Uint8 || in.Layout != modelrepo.LayoutNHWC {
		converted := n.converted.Get().(*[]byte)
		defer n.converted.Put(converted)
		n.convert(*converted, tensor)
		tensor = *converted
	}
	return n.client.Infer(ctx, &triton.Request{
		// Once known, the version is asked for by its number: another one may have another contract.
		Model: n.wanted.Name, Version: cmp.Or(n.version, n.wanted.Version),
		Inputs:  []triton.Tensor{{Name: in.Name, DType: in.DType, Shape: in.Shape, Data: tensor}},
		Outputs: n.contract.Outputs,
	})
}

// convert makes of a picture, uint8, [height, width, 3], RGB, what the network takes.
func (n *network) convert(dst, picture []byte) {
	layout, scale := layouts[n.contract.Input.Layout], scales[n.contract.Scale]
	switch dtype := n.contract.Input.DType; {
	case dtype == triton.FP32:
		preprocess.Float32s(dst, picture, layout, scale)
	case dtype == triton.FP16:
		preprocess.Float16s(dst, picture, layout, scale)
	case layout == preprocess.NCHW:
		preprocess.Planes(dst, picture)
	default:
		copy(dst, picture)
	}
}

// unusable is err as the fault of an answer that does not hold what it should.
func (n *network) unusable(err error) error {
	return &triton.Error{Kind: triton.BadResponse, Op: "decode", Model: n.wanted.Name, Err: err}
}

// What the contract says in the terms of preprocess.
var (
	layouts = map[modelrepo.Layout]preprocess.Layout{modelrepo.LayoutNHWC: preprocess.NHWC, modelrepo.LayoutNCHW: preprocess.NCHW}
	scales  = map[modelrepo.Scale]preprocess.Scale{
		modelrepo.Scale255: preprocess.Scale255, modelrepo.Scale1: preprocess.Scale1, modelrepo.ScaleImageNet: preprocess.ScaleImageNet,
	}
)

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
