// Package onnx reads what an ONNX file says of itself: its inputs and outputs and what made it. It
// passes over weights and computation, so that a file of gigabytes takes no memory.
package onnx

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lexicam/lexicrop/triton"
)

// Model is what an ONNX file says of itself.
type Model struct {
	// Opset is the version of the standard operators.
	Opset int64
	// Producer is the program that wrote the file, with its version; it may be empty.
	Producer string
	// Inputs are those that have to be given, Outputs those of the whole graph.
	Inputs, Outputs []Tensor
	// Weights counts the tensors that the file holds.
	Weights int
	// External names the other files that hold weights of this one.
	External []string
}

// Tensor is an input or output.
type Tensor struct {
	Name string
	// DType is empty for what is no tensor, and for types that Triton does not have.
	DType triton.DType
	// Dims has -1 where a dimension is free. It is nil where nothing is said of the shape.
	Dims []int64
}

// Limits of what a sane file has.
const (
	maxTensors = 1 << 20 // inputs, outputs or weights
	maxDims    = 1 << 6
	maxText    = 1 << 16 // bytes of a name
)

// ErrNotONNX says that a file is something else, or was cut off.
var ErrNotONNX = errors.New("this is no ONNX file")

// Read reads a file from its beginning to its end. What is wrong with it is an error that wraps
// ErrNotONNX; others come from r.
func Read(r io.Reader) (*Model, error) {
	w := newWire(r)
	if other := w.otherFormat(); other != "" {
		return nil, fmt.Errorf("%w but %s", ErrNotONNX, other)
	}
	p := parser{wire: w, initial: map[string]bool{}}
	if err := p.model(); err != nil {
		return nil, err
	}
	m := p.result
	switch {
	case !p.hasGraph:
		return nil, fmt.Errorf("%w: there is no graph in it", ErrNotONNX)
	case len(m.Outputs) == 0:
		return nil, fmt.Errorf("%w: its graph has no outputs", ErrNotONNX)
	}
	// Up to version 3 of the format every weight is an input too.
	m.Inputs = slices.DeleteFunc(m.Inputs, func(t Tensor) bool { return p.initial[t.Name] })
	slices.Sort(m.External)
	m.External = slices.Compact(m.External)
	return &m, nil
}

// parser walks through the messages of onnx.proto; the numbers are those of its fields.
type parser struct {
	wire     *wire
	result   Model
	hasGraph bool
	initial  map[string]bool // names of weights
}

func (p *parser) model() error {
	name, version := "", ""
	err := p.wire.file(func(f field) (err error) {
		switch f.number {
		case 2:
			name, err = p.wire.text(f)
		case 3:
			version, err = p.wire.text(f)
		case 7:
			p.hasGraph = true
			err = p.wire.message(f, p.graph)
		case 8:
			err = p.opset(f)
		}
		return err
	})
	p.result.Producer = name
	if name != "" && version != "" {
		p.result.Producer += " " + version
	}
	return err
}

func (p *parser) opset(f field) error {
	domain, version := "", int64(0)
	err := p.wire.message(f, func(f field) (err error) {
		switch f.number {
		case 1:
			domain, err = p.wire.text(f)
		case 2:
			version = f.value
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		p.result.Opset = version
	}
	return err
}

func (p *parser) graph(f field) (err error) {
	switch f.number {
	case 5:
		err = p.weights(f)
	case 11:
		p.result.Inputs, err = p.tensor(f, p.result.Inputs)
	case 12:
		p.result.Outputs, err = p.tensor(f, p.result.Outputs)
	}
	return err
}

// weights reads the name of an initializer and where its numbers are.
func (p *parser) weights(f field) error {
	if p.result.Weights++; p.result.Weights > maxTensors {
		return fmt.Errorf("%w: it has more than %d weights", ErrNotONNX, maxTensors)
	}
	external, location := false, ""
	err := p.wire.message(f, func(f field) (err error) {
		switch f.number {
		case 8:
			var name string
			name, err = p.wire.text(f)
			p.initial[name] = true
		case 13:
			err = p.location(f, &location)
		case 14:
			external = f.value == 1
		}
		return err
	})
	if external {
		p.result.External = append(p.result.External, location)
	}
	return err
}

// location reads one pair of an initializer's external_data.
func (p *parser) location(f field, location *string) error {
	key, value := "", ""
	err := p.wire.message(f, func(f field) (err error) {
		switch f.number {
		case 1:
			key, err = p.wire.text(f)
		case 2:
			value, err = p.wire.text(f)
		}
		return err
	})
	if key == "location" {
		*location = value
	}
	return err
}

// tensor appends a ValueInfoProto.
func (p *parser) tensor(f field, to []Tensor) ([]Tensor, error) {
	if len(to) == maxTensors {
		return nil, fmt.Errorf("%w: it has more than %d inputs or outputs", ErrNotONNX, maxTensors)
	}
	var t Tensor
	err := p.wire.message(f, func(f field) (err error) {
		switch f.number {
		case 1:
			t.Name, err = p.wire.text(f)
		case 2: // TypeProto
			err = p.wire.message(f, func(f field) error {
				if f.number != 1 { // a sequence, a map
					return nil
				}
				return p.wire.message(f, func(f field) (err error) { return p.tensorType(f, &t) })
			})
		}
		return err
	})
	return append(to, t), err
}

func (p *parser) tensorType(f field, t *Tensor) error {
	switch f.number {
	case 1:
		t.DType = dtypes[f.value]
	case 2: // TensorShapeProto
		t.Dims = []int64{}
		return p.wire.message(f, func(f field) error {
			if f.number != 1 {
				return nil
			}
			if len(t.Dims) == maxDims {
				return fmt.Errorf("%w: %s has more than %d dimensions", ErrNotONNX, t.Name, maxDims)
			}
			size := int64(-1)
			err := p.wire.message(f, func(f field) error {
				if f.number == 1 && f.value >= 0 {
					size = f.value
				}
				return nil
			})
			t.Dims = append(t.Dims, size)
			return err
		})
	}
	return nil
}

// dtypes are Triton's types by the numbers of TensorProto.DataType.
var dtypes = map[int64]triton.DType{
	1: triton.FP32, 2: triton.Uint8, 3: triton.Int8, 4: triton.Uint16, 5: triton.Int16, 6: triton.Int32, 7: triton.Int64,
	8: triton.Bytes, 9: triton.Bool, 10: triton.FP16, 11: triton.FP64, 12: triton.Uint32, 13: triton.Uint64, 16: triton.BF16,
}
