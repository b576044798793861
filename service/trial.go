package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service/detection"
	"github.com/lexicam/lexicrop/triton"
)

// Trial is what a model did when it was tried.
type Trial struct {
	Contract modelrepo.Contract
	Version  string
	// Median is the time of one inference, there and back.
	Median time.Duration
	// Blank and Reference are what a detector sees in a blank picture and in the reference picture, a
	// wall with two paintings, the most salient first; the boxes are in pixels of its input.
	Blank, Reference []Detection
	// Length is that of an embedder's vector as it was answered.
	Length float64
	// Doubts speak against the model or its contract, though it answers.
	Doubts []string
}

// trialRuns is how many inferences are measured.
const trialRuns = 9

// Try asks a model that Triton has loaded for its answers to a blank picture and to the reference
// picture. The error says that it cannot be used: it does not answer, or not what its contract says.
func Try(ctx context.Context, client *triton.Client, name ModelName) (*Trial, error) {
	config, err := client.ModelConfig(ctx, name.Name, name.Version)
	if err != nil {
		return nil, err
	}
	contract, err := modelrepo.ReadContract(config)
	if err != nil {
		return nil, err
	}
	m := newMetrics(prometheus.NewRegistry())
	t := &Trial{Contract: contract}
	if contract.Task == modelrepo.TaskEmbedder {
		e, err := openEmbedder(ctx, client, name, m)
		if err == nil {
			err = t.tryEmbedder(ctx, e)
		}
		return t, err
	}
	d, err := openDetector(ctx, client, name, m)
	if err == nil {
		err = t.tryDetector(ctx, d)
	}
	return t, err
}

func (t *Trial) tryDetector(ctx context.Context, d *detector) error {
	response, err := t.try(ctx, d.network)
	if err != nil {
		return err
	}
	faults, doubts := judge(&d.contract, response)
	if len(faults) > 0 {
		return fmt.Errorf("the answer to the reference picture is not what the contract says:\n%w", errors.Join(faults...))
	}
	t.doubt(doubts...)
	t.doubt(d.check(ctx))
	reference, err := d.referenceTensor()
	if err != nil {
		return err
	}
	if t.Blank, err = d.sees(ctx, d.blankTensor()); err != nil {
		return err
	}
	t.Reference, err = d.sees(ctx, reference)
	return err
}

func (t *Trial) tryEmbedder(ctx context.Context, e *embedder) error {
	response, err := t.try(ctx, e.network)
	if err != nil {
		return err
	}
	outputs := roles{contract: &e.contract, response: response}
	for _, x := range outputs.float32s(modelrepo.RoleEmbedding) {
		t.Length += float64(x) * float64(x)
	}
	t.Length = math.Sqrt(t.Length)
	t.doubt(e.check(ctx))
	return outputs.err
}

// try measures inferences and tries a batch. The response is that to the reference picture.
func (t *Trial) try(ctx context.Context, n *network) (response *triton.Response, err error) {
	reference, err := n.referenceTensor()
	if err != nil {
		return nil, err
	}
	var times [trialRuns]time.Duration
	for i := range times {
		start := time.Now()
		if response, err = n.infer(ctx, reference); err != nil {
			return nil, fmt.Errorf("trying the reference picture: %w", err)
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times[:])
	t.Version, t.Median = response.Version, times[trialRuns/2]
	if n.contract.MaxBatch > 1 {
		doubt, err := n.tryBatch(ctx, n.blankTensor(), reference, response)
		if err != nil {
			return nil, err
		}
		t.doubt(doubt)
	}
	return response, nil
}

func (t *Trial) doubt(doubts ...error) {
	for _, d := range doubts {
		if d != nil {
			t.Doubts = append(t.Doubts, d.Error())
		}
	}
}

// sees is what the detector sees in a picture, as a service of ordinary settings would tell it.
func (d *detector) sees(ctx context.Context, tensor []byte) ([]Detection, error) {
	_, candidates, err := d.detect(ctx, tensor)
	if err != nil {
		return nil, err
	}
	var seen []Detection
	for _, c := range detection.Select(candidates, detection.Selection{Max: len(candidates), MinScore: leastReferenceScore, NMS: 0.5}) {
		seen = append(seen, Detection{Label: d.contract.Labels[c.Label], Score: c.Score, Salience: c.Salience, Box: c.Box})
	}
	return seen, nil
}

// mostBatchDifference is how far, relative to the largest number of an output, the same picture may be
// answered differently in company: kernels for batches add up in another order, in 8 bits of mantissa.
const mostBatchDifference = 0.05

// tryBatch sends two pictures in one request; alone is the answer to the second of them by itself.
func (n *network) tryBatch(ctx context.Context, first, second []byte, alone *triton.Response) (doubt, err error) {
	in := n.contract.Input
	size := len(first) * in.DType.Size()
	data := make([]byte, 2*size)
	n.convert(data[:size], first)
	n.convert(data[size:], second)
	two := func(shape []int64) []int64 { return append([]int64{2}, shape[1:]...) }
	request := &triton.Request{
		Model: n.wanted.Name, Version: n.version,
		Inputs: []triton.Tensor{{Name: in.Name, DType: in.DType, Shape: two(in.Shape), Data: data}},
	}
	for _, o := range n.contract.Outputs {
		request.Outputs = append(request.Outputs, triton.TensorSpec{Name: o.Name, DType: o.DType, Shape: two(o.Shape)})
	}
	response, err := n.client.Infer(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("two pictures in one request, which max_batch_size allows: %w", err)
	}
	for i, o := range response.Outputs {
		together, err := o.Float32s(nil)
		if err != nil {
			continue // labels
		}
		single, err := alone.Outputs[i].Float32s(nil)
		if err != nil || len(together) != 2*len(single) {
			continue // of free dimensions, filled up to the longest
		}
		largest, difference := 0.0, 0.0
		for k, v := range single {
			largest = max(largest, math.Abs(float64(v)))
			difference = max(difference, math.Abs(float64(v-together[len(single)+k])))
		}
		if difference > mostBatchDifference*largest {
			return fmt.Errorf("beside another picture in one request, the reference picture is answered differently: output %s by up to %.3g", o.Name, difference), nil
		}
	}
	return nil, nil
}
