// Package modelrepo knows what lexicrop's models look like: the contract that
// a model declares in its Triton configuration, and the repository on disk.
package modelrepo

import (
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// Contract is everything that the service has to know of a model: what to feed
// it and what its outputs mean.
type Contract struct {
	Name string
	Task Task

	Input  Input
	Resize Resize
	Pad    uint8  // grey value around a letterboxed picture
	Align  Align  // where in the input a letterboxed picture lies
	Filter string // of the resize; "triangle" (antialiased bilinear) is the only one
	Scale  Scale

	Decoder Decoder   // of detectors
	Boxes   BoxFormat // of detectors: what the four numbers of a box are
	Labels  []string  // of detectors: the classes, background left out

	// Outputs are what to ask for with one picture, dimensions of -1 being
	// free. Roles says, in the same order, what each is to the decoder.
	Outputs []triton.TensorSpec
	Roles   []Role

	// Space names the vector space of an embedder. Vectors of different spaces
	// or fingerprints must not be compared.
	Space string
	// Dimensions is the length of an embedder's vector.
	Dimensions int

	// MaxBatch is how many pictures fit in one request.
	MaxBatch int
	// Fingerprint identifies model file and contract: 64 hexadecimal digits.
	Fingerprint string
}

// Input is the picture tensor of a model.
type Input struct {
	Name   string
	DType  triton.DType // Uint8, FP32 or FP16
	Layout Layout
	Width  int // pixels
	Height int // pixels
	// Shape of the tensor of one picture, a batch dimension of 1 included where
	// the model has one: [1,H,W,3], [H,W,3], [1,3,H,W] or [3,H,W].
	Shape []int64
}

// Output returns the position in Outputs of the tensor with this role, or -1.
func (c *Contract) Output(role Role) int {
	for i, r := range c.Roles {
		if r == role {
			return i
		}
	}
	return -1
}

// Task says what a model is for.
type Task string

// The tasks.
const (
	TaskDetector Task = "detector"
	TaskEmbedder Task = "embedder"
)

// Decoder says what a detector's outputs mean. C is the number of labels, N of
// candidates; boxes are as BoxFormat says.
type Decoder string

// The decoders.
const (
	// DecoderCandidates: boxes [N,4], probs [N,1+C] with the background first, and salience [N] (how likely the box is the work that is meant)
	// where the model has it. No NMS inside.
	DecoderCandidates Decoder = "candidates"
	// DecoderTorchvision: boxes [N,4], labels [N] from 1, scores [N], of
	// one picture, NMS done; N varies.
	DecoderTorchvision Decoder = "torchvision"
	// DecoderDETR: boxes [N,4], logits [N,C+1] with "no object" last.
	DecoderDETR Decoder = "detr"
)

// BoxFormat says what the four numbers of a box are. Without parameters it is
// xyxy in pixels, of DecoderDETR cxcywh relative to the input.
type BoxFormat struct {
	Order BoxOrder
	Units BoxUnits
}

// BoxOrder is the order of a box's numbers.
type BoxOrder string

// The orders: the edges x1, y1, x2, y2, the same with y first, the centre with
// width and height, the left upper corner with width and height.
const (
	BoxXYXY   BoxOrder = "xyxy"
	BoxYXYX   BoxOrder = "yxyx"
	BoxCXCYWH BoxOrder = "cxcywh"
	BoxXYWH   BoxOrder = "xywh"
)

// BoxUnits says what a box's numbers count.
type BoxUnits string

// The units: pixels of the input, or its width and height (0..1).
const (
	BoxPixels   BoxUnits = "pixels"
	BoxRelative BoxUnits = "relative"
)

// Role is what an output is to its decoder, or the embedding of an embedder.
type Role string

// The roles.
const (
	RoleBoxes     Role = "boxes"
	RoleProbs     Role = "probs"
	RoleSalience  Role = "salience"
	RoleLabels    Role = "labels"
	RoleScores    Role = "scores"
	RoleLogits    Role = "logits"
	RoleEmbedding Role = "embedding"
)

// Layout is the order of the dimensions of a picture tensor.
type Layout string

// The layouts.
const (
	LayoutNHWC Layout = "nhwc"
	LayoutNCHW Layout = "nchw"
)

// Resize says how a picture takes the input's size.
type Resize string

// The ways to resize.
const (
	ResizeLetterbox Resize = "letterbox" // aspect kept, the rest padded
	ResizeStretch   Resize = "stretch"
)

// Align says where in the input a letterboxed picture lies.
type Align string

// The alignments.
const (
	AlignCenter  Align = "center"
	AlignTopLeft Align = "top-left"
)

// Scale says what numbers stand for RGB values of 0 to 255.
type Scale string

// The scales.
const (
	Scale255      Scale = "0..255"
	Scale1        Scale = "0..1"
	ScaleImageNet Scale = "imagenet" // 0..1, minus ImageNet's mean, over its deviation
)

// ReadContract reads a model's contract from its Triton configuration, as the
// repository has it or as a Triton completed it. The error names all that is
// wrong, one fault a line. Whether the fingerprint is true only Verify can say.
func ReadContract(config *inference.ModelConfig) (Contract, error) {
	r := reader{config: config}
	c := r.contract()
	if len(r.faults) > 0 {
		return Contract{}, fmt.Errorf("contract of model %s:\n%w", config.GetName(), errors.Join(r.faults...))
	}
	return c, nil
}
