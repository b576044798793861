package triton

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/lexicam/lexicrop/triton/inference"
)

// Request is one inference.
type Request struct {
	Model   string
	Version string // empty: the newest that is loaded
	ID      string // shows up in Triton's logs and traces; may be empty
	Inputs  []Tensor
	// Outputs names what is wanted, and what it must look like. When empty,
	// the model's every output comes, checked only against itself.
	Outputs []TensorSpec
	// MaxResponseBytes bounds the answer. 0: what Outputs can need at most, or
	// Options.MaxResponseBytes where they have free dimensions.
	MaxResponseBytes int
}

// Response is the answer to a Request. Its tensors belong to the caller.
type Response struct {
	Model   string
	Version string
	Outputs []Tensor // in the order of Request.Outputs
}

// Output returns the output called name.
func (r *Response) Output(name string) (Tensor, bool) {
	for _, t := range r.Outputs {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

// Infer runs a model. The input buffers are copied into the message before the
// call goes out and are free for reuse when Infer returns, also after an error
// or a cancelled context.
//
// The deadline of ctx reaches Triton, which drops the request while it still
// waits in a queue; ctx's trace goes along. A request that a replica refused
// because the model is not ready there, or that it broke off although it goes on
// itself, is sent once more, to another replica when there is one; one that is
// just connecting is waited for, a second at most. Nothing else is repeated:
// after a lost connection the request may have been what broke Triton, and two
// that have to start again take longer to come back than one request is worth.
//
// Errors are *Error. A returned Response has the outputs that were asked for,
// each with type, shape and length in agreement, so that they can be indexed.
func (c *Client) Infer(ctx context.Context, r *Request) (*Response, error) {
	message, err := marshalRequest(r)
	if err != nil {
		return nil, &Error{Kind: InvalidRequest, Op: "infer", Model: r.Model, Err: err}
	}
	limit := grpc.MaxCallRecvMsgSize(c.responseLimit(r))
	var answer *inference.ModelInferResponse
	call := func(ctx context.Context) (err error) {
		answer, err = c.stub.ModelInfer(ctx, message, limit)
		return err
	}
	replica := &route{}
	err = call(withRoute(c.outgoing(ctx), replica))
	if err != nil && failure(ctx, "infer", r.Model, err).repeatable() {
		if tried, again := replica.elsewhere(c.outgoing(ctx), c.reconnection, call); tried {
			err = again
		}
	}
	if err != nil {
		return nil, failure(ctx, "infer", r.Model, err)
	}
	response, err := unmarshalResponse(r, answer)
	if err != nil {
		return nil, &Error{Kind: BadResponse, Op: "infer", Model: r.Model, Err: err}
	}
	return response, nil
}

func marshalRequest(r *Request) (*inference.ModelInferRequest, error) {
	m := &inference.ModelInferRequest{
		ModelName:        r.Model,
		ModelVersion:     r.Version,
		Id:               r.ID,
		Inputs:           make([]*inference.ModelInferRequest_InferInputTensor, len(r.Inputs)),
		RawInputContents: make([][]byte, len(r.Inputs)),
		Outputs:          make([]*inference.ModelInferRequest_InferRequestedOutputTensor, len(r.Outputs)),
	}
	for i, t := range r.Inputs {
		if err := t.check(); err != nil {
			return nil, err
		}
		m.Inputs[i] = &inference.ModelInferRequest_InferInputTensor{
			Name: t.Name, Datatype: string(t.DType), Shape: t.Shape,
		}
		m.RawInputContents[i] = t.Data
	}
	for i, o := range r.Outputs {
		m.Outputs[i] = &inference.ModelInferRequest_InferRequestedOutputTensor{Name: o.Name}
	}
	return m, nil
}

func unmarshalResponse(r *Request, m *inference.ModelInferResponse) (*Response, error) {
	if len(m.RawOutputContents) != len(m.Outputs) {
		return nil, fmt.Errorf("%d outputs with %d raw contents", len(m.Outputs), len(m.RawOutputContents))
	}
	tensor := func(i int) (Tensor, error) {
		o := m.Outputs[i]
		if o == nil {
			return Tensor{}, errors.New("empty output")
		}
		t := Tensor{Name: o.Name, DType: DType(o.Datatype), Shape: o.Shape, Data: m.RawOutputContents[i]}
		return t, t.check()
	}
	response := &Response{Model: m.ModelName, Version: m.ModelVersion}
	if len(r.Outputs) == 0 {
		for i := range m.Outputs {
			t, err := tensor(i)
			if err != nil {
				return nil, err
			}
			response.Outputs = append(response.Outputs, t)
		}
		return response, nil
	}
	response.Outputs = make([]Tensor, len(r.Outputs))
	for k, want := range r.Outputs {
		i := indexOfOutput(m, want.Name)
		if i < 0 {
			return nil, fmt.Errorf("output %s is missing", want.Name)
		}
		t, err := tensor(i)
		if err != nil {
			return nil, err
		}
		if err := want.accepts(t); err != nil {
			return nil, err
		}
		response.Outputs[k] = t
	}
	return response, nil
}

func indexOfOutput(m *inference.ModelInferResponse, name string) int {
	for i, o := range m.Outputs {
		if o.GetName() == name {
			return i
		}
	}
	return -1
}

func (c *Client) responseLimit(r *Request) int {
	if r.MaxResponseBytes > 0 {
		return r.MaxResponseBytes
	}
	// Room for names, shapes and parameters beside the tensors themselves.
	const overhead = 64 << 10
	limit := overhead
	for _, o := range r.Outputs {
		size, ok := o.byteSize()
		if !ok {
			return c.maxResponseBytes
		}
		limit += size
	}
	if len(r.Outputs) == 0 {
		return c.maxResponseBytes
	}
	return limit
}
