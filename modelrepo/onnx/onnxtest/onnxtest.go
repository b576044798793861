// Package onnxtest writes small ONNX files for tests.
package onnxtest

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The element types of TensorProto.DataType.
const (
	Float   = 1
	Uint8   = 2
	Int64   = 7
	Float16 = 10
)

// Model is a network of standard operators.
type Model struct {
	Opset    int64 // 17 when 0
	Inputs   []Tensor
	Outputs  []Tensor
	Nodes    []Node
	Weights  []Weights
	Domains  map[string]int64 // other operators, with their version
	Producer string
}

// Tensor is an input or output. A dimension of -1 is free; without Dims nothing is said of the shape.
type Tensor struct {
	Name string
	Type int
	Dims []int64
}

// Node is one operator.
type Node struct {
	Operator, Domain string
	Inputs, Outputs  []string
	Ints             map[string][]int64 // attributes that are lists
	Int              map[string]int64   // attributes that are numbers
	Floats           map[string][]float32
}

// Weights are a tensor in the file, of float32 or int64; External is the name of the file that has the
// numbers instead.
type Weights struct {
	Name     string
	Dims     []int64
	Floats   []float32
	Int64s   []int64
	External string
}

// Bytes is the file.
func (m Model) Bytes() []byte {
	if m.Opset == 0 {
		m.Opset = 17
	}
	b := number(nil, 1, 8)
	b = text(b, 2, m.Producer)
	b = message(b, 8, number(nil, 2, m.Opset))
	for domain, version := range m.Domains {
		b = message(b, 8, number(text(nil, 1, domain), 2, version))
	}
	graph := text(nil, 2, "graph")
	for _, n := range m.Nodes {
		graph = message(graph, 1, n.bytes())
	}
	for _, w := range m.Weights {
		graph = message(graph, 5, w.bytes())
	}
	for _, t := range m.Inputs {
		graph = message(graph, 11, t.bytes())
	}
	for _, t := range m.Outputs {
		graph = message(graph, 12, t.bytes())
	}
	return message(b, 7, graph)
}

func (t Tensor) bytes() []byte {
	tensor := number(nil, 1, int64(t.Type))
	if t.Dims != nil {
		var shape []byte
		for _, d := range t.Dims {
			if d < 0 {
				shape = message(shape, 1, text(nil, 2, "free"))
			} else {
				shape = message(shape, 1, number(nil, 1, d))
			}
		}
		tensor = message(tensor, 2, shape)
	}
	return message(text(nil, 1, t.Name), 2, message(nil, 1, tensor))
}

func (n Node) bytes() []byte {
	var b []byte
	for _, name := range n.Inputs {
		b = text(b, 1, name)
	}
	for _, name := range n.Outputs {
		b = text(b, 2, name)
	}
	b = text(b, 4, n.Operator)
	for name, values := range n.Ints {
		attribute := text(nil, 1, name)
		for _, v := range values {
			attribute = number(attribute, 8, v)
		}
		b = message(b, 5, number(attribute, 20, 7))
	}
	for name, value := range n.Int {
		b = message(b, 5, number(number(text(nil, 1, name), 3, value), 20, 2))
	}
	for name, values := range n.Floats {
		attribute := text(nil, 1, name)
		for _, v := range values {
			attribute = protowire.AppendFixed32(protowire.AppendTag(attribute, 7, protowire.Fixed32Type), math.Float32bits(v))
		}
		b = message(b, 5, number(attribute, 20, 6))
	}
	return text(b, 7, n.Domain)
}

func (w Weights) bytes() []byte {
	var b, raw []byte
	for _, d := range w.Dims {
		b = number(b, 1, d)
	}
	kind := int64(Float)
	for _, v := range w.Floats {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	if w.Int64s != nil {
		kind = Int64
		for _, v := range w.Int64s {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
		}
	}
	b = text(number(b, 2, kind), 8, w.Name)
	if w.External != "" {
		b = message(b, 13, text(text(nil, 1, "location"), 2, w.External))
		b = message(b, 13, text(text(nil, 1, "offset"), 2, "0"))
		return number(b, 14, 1)
	}
	return message(b, 9, raw)
}

func number(b []byte, field protowire.Number, value int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(value))
}

func text(b []byte, field protowire.Number, value string) []byte {
	if value == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), value)
}

func message(b []byte, field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
}
