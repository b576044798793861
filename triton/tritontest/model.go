package tritontest

import (
	"context"
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// Model is a scripted model.
type Model struct {
	Name    string
	Version string // a whole number; default "1"
	// Config is what ModelConfig answers; its name is filled in.
	Config *inference.ModelConfig
	// Infer computes the outputs. The inputs are as many and of the types and
	// shapes that Config says. An error is answered with code INTERNAL, one
	// with a gRPC status as it is.
	Infer func(ctx context.Context, inputs []triton.Tensor) ([]triton.Tensor, error)
	// LoadDelay is how long a load takes, also after the client has given up
	// waiting; LoadError is why it fails.
	LoadDelay time.Duration
	LoadError string
	// UnloadDelay is how long the model stays UNLOADING.
	UnloadDelay time.Duration
}

func (m *Model) complete() {
	if m.Version == "" {
		m.Version = "1"
	}
	if m.Config == nil {
		m.Config = &inference.ModelConfig{}
	}
	m.Config.Name = m.Name
}

// number is the version as a number.
func (m *Model) number() int {
	n, err := strconv.Atoi(m.Version)
	if err != nil {
		panic("version of a scripted model: " + err.Error())
	}
	return n
}

// Candidate is what a scripted detector sees, in pixels of its input.
type Candidate struct {
	Box      [4]float32 // x1, y1, x2, y2
	Probs    []float32  // background first; one more than labels
	Salience float32
}

// Detector is a model with the contract of lexicrop's own detector
// (candidates, uint8 NHWC of 320x320, labels painting and object) that always
// sees the same.
func Detector(name string, candidates ...Candidate) Model {
	return DetectorFunc(name, func([]byte) []Candidate { return candidates })
}

// DetectorFunc is a Detector that looks at each picture's 320x320x3 bytes.
func DetectorFunc(name string, see func(picture []byte) []Candidate) Model {
	const side, slots, classes = 320, 32, 3
	return Model{
		Name:   name,
		Config: DetectorConfig(name),
		Infer: func(_ context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
			batch := int(inputs[0].Shape[0])
			boxes := make([]float32, batch*slots*4)
			probs := make([]float32, batch*slots*classes)
			salience := make([]float32, batch*slots)
			for i := range batch * slots {
				probs[i*classes] = 1 // an empty slot is background
			}
			for b := range batch {
				picture := inputs[0].Data[b*side*side*3 : (b+1)*side*side*3]
				for i, c := range see(picture) {
					slot := b*slots + i
					copy(boxes[slot*4:], c.Box[:])
					copy(probs[slot*classes:(slot+1)*classes], c.Probs)
					salience[slot] = c.Salience
				}
			}
			n := int64(batch)
			return []triton.Tensor{
				Float32s("boxes", boxes, n, slots, 4),
				Float32s("probs", probs, n, slots, classes),
				Float32s("salience", salience, n, slots),
			}, nil
		},
	}
}

// DetectorConfig is the configuration of Detector, to be changed by a test.
func DetectorConfig(name string) *inference.ModelConfig {
	output := func(name string, dims ...int64) *inference.ModelOutput {
		return &inference.ModelOutput{Name: name, DataType: inference.DataType_TYPE_FP32, Dims: dims}
	}
	config := &inference.ModelConfig{
		Name:         name,
		Backend:      "python",
		MaxBatchSize: 8,
		Input: []*inference.ModelInput{{
			Name: "image", DataType: inference.DataType_TYPE_UINT8, Dims: []int64{320, 320, 3},
		}},
		Output:     []*inference.ModelOutput{output("boxes", 32, 4), output("probs", 32, 3), output("salience", 32)},
		Parameters: map[string]*inference.ModelParameter{},
	}
	for key, value := range map[string]string{
		"task": "detector", "decoder": "candidates", "labels": "painting,object",
		"layout": "nhwc", "resize": "letterbox", "pad": "114", "align": "center",
		"filter": "triangle", "scale": "0..255",
		"fingerprint": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	} {
		config.Parameters[key] = &inference.ModelParameter{StringValue: value}
	}
	return config
}

// EmbedderSide is the width and height of the picture that Embedder sees, EmbedderDimension the length
// of its vectors.
const (
	EmbedderSide      = 64
	EmbedderDimension = 4 * 4 * 3
)

// Embedder is a model with the contract of an embedder (uint8 NHWC, stretched) whose vectors are the
// mean colours of a picture in 4x4 fields, around grey, not of length 1. Pictures that look alike from
// afar are near to each other.
func Embedder(name string) Model {
	return EmbedderFunc(name, func(picture []byte) []float32 {
		vector := make([]float32, EmbedderDimension)
		const field = EmbedderSide / 4
		for i, v := range picture {
			x, y, c := i/3%EmbedderSide, i/3/EmbedderSide, i%3
			vector[3*(y/field*4+x/field)+c] += (float32(v) - 127.5) / (field * field * 127.5)
		}
		return vector
	})
}

// EmbedderFunc is an Embedder that makes of each picture's bytes a vector of EmbedderDimension values.
func EmbedderFunc(name string, embed func(picture []byte) []float32) Model {
	const size = EmbedderSide * EmbedderSide * 3
	return Model{
		Name:   name,
		Config: EmbedderConfig(name),
		Infer: func(_ context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
			batch := int(inputs[0].Shape[0])
			var vectors []float32
			for b := range batch {
				vectors = append(vectors, embed(inputs[0].Data[b*size:(b+1)*size])...)
			}
			return []triton.Tensor{Float32s("embedding", vectors, int64(batch), EmbedderDimension)}, nil
		},
	}
}

// EmbedderConfig is the configuration of Embedder, to be changed by a test.
func EmbedderConfig(name string) *inference.ModelConfig {
	config := &inference.ModelConfig{
		Name:         name,
		Backend:      "python",
		MaxBatchSize: 8,
		Input: []*inference.ModelInput{{
			Name: "image", DataType: inference.DataType_TYPE_UINT8, Dims: []int64{EmbedderSide, EmbedderSide, 3},
		}},
		Output: []*inference.ModelOutput{{
			Name: "embedding", DataType: inference.DataType_TYPE_FP32, Dims: []int64{EmbedderDimension},
		}},
		Parameters: map[string]*inference.ModelParameter{},
	}
	for key, value := range map[string]string{
		"task": "embedder", "space": "colours", "layout": "nhwc", "resize": "stretch",
		"filter": "triangle", "scale": "0..255",
		"fingerprint": "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
	} {
		config.Parameters[key] = &inference.ModelParameter{StringValue: value}
	}
	return config
}

// Float32s makes an FP32 tensor.
func Float32s(name string, values []float32, shape ...int64) triton.Tensor {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return triton.Tensor{Name: name, DType: triton.FP32, Shape: shape, Data: data}
}

// Fault is what goes wrong at an inference. Its parts add up.
type Fault struct {
	// Delay comes before anything else; a cancelled call ends it.
	Delay time.Duration
	// Hang waits until the client gives up.
	Hang bool
	// Err is the answer when not nil: a gRPC status error, such as QueueFull.
	Err error
	// Times limits the fault to so many inferences; 0 means all.
	Times int
	// Change may break the answer.
	Change func(*inference.ModelInferResponse)
	// Disconnect breaks all connections in the midst of the call.
	Disconnect bool
}
