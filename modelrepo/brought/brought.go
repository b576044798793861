// Package brought makes models of ONNX files that people bring: it finds out what a network takes and
// answers, and writes the model's folder with every profile.
package brought

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/onnx"
	"github.com/lexicam/lexicrop/triton"
)

// Options are what the file does not say of itself. Whatever is empty is found out, or the usual.
type Options struct {
	Task    modelrepo.Task    // a detector, unless there is a Space
	Decoder modelrepo.Decoder // the one that the outputs fit
	Labels  []string          // needed for a detector
	Space   string            // needed for an embedder

	// Outputs gives the names of outputs by role, where they cannot be told by name, type and shape.
	Outputs map[modelrepo.Role]string
	Boxes   modelrepo.BoxFormat

	Layout        modelrepo.Layout
	Width, Height int
	Resize        modelrepo.Resize // letterbox of a detector, stretch of an embedder
	Align         modelrepo.Align
	Pad           uint8
	Scale         modelrepo.Scale // needed for floats, unless the decoder is torchvision
	// MaxBatch is how many pictures fit in one request; 0: what the file allows, up to 8.
	MaxBatch int
	// Engine is what runs the network on a processor: openvino or onnxruntime.
	Engine string
}

// Draft is a model that is not written yet.
type Draft struct {
	Name string
	// Task and Decoder are those of Options, or the ones found out.
	Task    modelrepo.Task
	Decoder modelrepo.Decoder
	// Input and Outputs are as they stand in the configuration: without the batch dimension where
	// MaxBatch, which is 0 without batches, says that there is one.
	Input    onnx.Tensor
	Outputs  []onnx.Tensor
	MaxBatch int
	// PictureDims are those of the input for one picture, none of them free.
	PictureDims []int64
	// Fixed tells that nothing but the batch dimension is free.
	Fixed bool
	// Parameters are the contract, the fingerprint left out until the model is written.
	Parameters []Parameter
	Engine     string
	// Notes say what was taken for granted, and how to say otherwise.
	Notes []string
}

// Parameter is a pair of the contract.
type Parameter struct{ Key, Value string }

const defaultMaxBatch = 8

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// NewDraft finds out what the network of file is. The error says what does not fit, or what only its
// owner can know.
func NewDraft(name string, file *onnx.Model, o Options) (*Draft, error) {
	if !goodName.MatchString(name) {
		return nil, fmt.Errorf("a model cannot be called %q: letters, digits, dots, dashes and underscores will do", name)
	}
	if len(file.External) > 0 {
		return nil, fmt.Errorf("the weights lie in other files (%s): put everything in one, as onnx.save(onnx.load(FILE), ONE_FILE) in Python does",
			strings.Join(file.External, ", "))
	}
	d := &drafter{options: o, file: file, draft: Draft{Name: name, Task: o.Task, Decoder: o.Decoder, Engine: o.Engine}}
	if err := d.make(); err != nil {
		return nil, err
	}
	if _, _, err := d.draft.contract(strings.Repeat("0", 64)); err != nil {
		return nil, err
	}
	return &d.draft, nil
}

// drafter holds what is known so far.
type drafter struct {
	options Options
	file    *onnx.Model
	draft   Draft

	layout     modelrepo.Layout
	ownBatch   bool   // the input has a batch dimension
	freeBatch  bool   // of any size
	height     int64  // -1 where it is free
	width      int64  //
	outputList string // the "outputs" parameter
}

func (d *drafter) make() error {
	if d.draft.Task == "" {
		d.draft.Task = modelrepo.TaskDetector
		if d.options.Space != "" {
			d.draft.Task = modelrepo.TaskEmbedder
		}
	}
	if err := d.input(); err != nil {
		return err
	}
	found, err := d.outputs()
	if err != nil {
		return err
	}
	d.batch(found)
	if err := d.size(); err != nil {
		return err
	}
	scale, err := d.scale()
	if err != nil {
		return err
	}
	d.parameters(scale)
	if d.draft.Decoder == modelrepo.DecoderTorchvision && d.draft.Engine == "" {
		// Where nothing is detected, OpenVINO 2026.4 answers one detection of memory that nobody wrote.
		d.draft.Engine = "onnxruntime"
		d.note("ONNX Runtime runs it on a processor: OpenVINO is faster, but answers rubbish where nothing is detected (--engine)")
	}
	return nil
}

// input finds layout, batch dimension and size of the picture.
func (d *drafter) input() error {
	if n := len(d.file.Inputs); n != 1 {
		return fmt.Errorf("the network takes %d inputs, where lexicrop gives one, the picture:\n%s", n, list(d.file.Inputs))
	}
	in := d.file.Inputs[0]
	if !slices.Contains([]triton.DType{triton.Uint8, triton.FP32, triton.FP16}, in.DType) {
		return fmt.Errorf("the input is %s: it must be UINT8, FP32 or FP16", show(in))
	}
	picture := in.Dims
	switch len(in.Dims) {
	case 3:
	case 4:
		d.ownBatch, d.freeBatch = true, in.Dims[0] == -1
		if in.Dims[0] > 1 {
			return fmt.Errorf("the input is %s: it takes %d pictures at once, neither more nor fewer; export the network with a free batch dimension, or for one picture", show(in), in.Dims[0])
		}
		picture = in.Dims[1:]
	default:
		return fmt.Errorf("the input is %s: it must have height, width and 3 channels, with or without a batch dimension before them", show(in))
	}
	d.layout = d.options.Layout
	if d.layout == "" {
		switch nhwc, nchw := picture[2] == 3, picture[0] == 3; {
		case nhwc && !nchw:
			d.layout = modelrepo.LayoutNHWC
		case nchw && !nhwc:
			d.layout = modelrepo.LayoutNCHW
		default:
			return fmt.Errorf("the input is %s, from which it cannot be told where the 3 channels are: say so with --layout nchw or nhwc", show(in))
		}
	}
	d.height, d.width = picture[0], picture[1]
	if d.layout == modelrepo.LayoutNCHW {
		d.height, d.width = picture[1], picture[2]
	}
	return nil
}

// batch decides whether pictures may share a request: the batch dimension must be free in the input
// and in every output.
func (d *drafter) batch(found []match) {
	batched := d.freeBatch && d.options.MaxBatch != 1
	for _, m := range found {
		dims := m.tensor.Dims
		batched = batched && (len(dims) == 0 || len(dims) > m.want.Rank && dims[0] == -1)
	}
	if batched {
		d.draft.MaxBatch = d.options.MaxBatch
		if d.draft.MaxBatch == 0 {
			d.draft.MaxBatch = defaultMaxBatch
		}
	} else if d.options.MaxBatch > 1 {
		d.note("--max-batch is left out: the batch dimension is not free in the input and every output")
	}
	d.draft.Input = d.file.Inputs[0]
	if batched {
		d.draft.Input.Dims = d.draft.Input.Dims[1:]
	}
	d.draft.Fixed = d.width > 0 && d.height > 0
	for _, m := range found {
		t := m.tensor
		if t.Dims == nil {
			t.Dims = m.anyDims(d.ownBatch)
		}
		if batched {
			t.Dims = t.Dims[1:]
		}
		d.draft.Fixed = d.draft.Fixed && !slices.Contains(t.Dims[len(t.Dims)-m.want.Rank:], -1)
		d.draft.Outputs = append(d.draft.Outputs, t)
		if t.Name != string(m.want.Role) {
			d.outputList += "," + string(m.want.Role) + "=" + t.Name
		}
	}
	d.outputList = strings.TrimPrefix(d.outputList, ",")
}

// The size of photos that the original service was sent, for networks that take any.
const (
	anyWidth  = 320
	anyHeight = 480
)

// size fills in what is free of the picture's size.
func (d *drafter) size() error {
	o := d.options
	free := d.width == -1 || d.height == -1
	switch {
	case o.Width > 0 && (d.width != -1 && d.width != int64(o.Width) || d.height != -1 && d.height != int64(o.Height)):
		return fmt.Errorf("--size is %dx%d, but the input is %s", o.Width, o.Height, show(d.file.Inputs[0]))
	case o.Width > 0:
		d.width, d.height = int64(o.Width), int64(o.Height)
	case free && d.draft.Decoder == modelrepo.DecoderTorchvision:
		d.width, d.height = anyWidth, anyHeight
		d.note("pictures are sent as %dx%d, the network takes any size (--size)", anyWidth, anyHeight)
	case free:
		return fmt.Errorf("the input is %s, of any size: say with --size WIDTHxHEIGHT which it was trained for", show(d.file.Inputs[0]))
	}
	d.draft.PictureDims = []int64{d.height, d.width, 3}
	if d.layout == modelrepo.LayoutNCHW {
		d.draft.PictureDims = []int64{3, d.height, d.width}
	}
	if d.ownBatch && d.draft.MaxBatch == 0 {
		d.draft.PictureDims = slices.Insert(d.draft.PictureDims, 0, 1)
	}
	return nil
}

func (d *drafter) scale() (modelrepo.Scale, error) {
	switch {
	case d.options.Scale != "":
		return d.options.Scale, nil
	case d.file.Inputs[0].DType == triton.Uint8:
		return modelrepo.Scale255, nil
	case d.draft.Decoder == modelrepo.DecoderTorchvision:
		d.note("values are scaled to 0..1, as torchvision's exports take them (--scale)")
		return modelrepo.Scale1, nil
	}
	return "", fmt.Errorf("the input is %s: say with --scale which numbers the network wants for RGB values of 0 to 255: %s, %s or %s",
		show(d.file.Inputs[0]), modelrepo.Scale255, modelrepo.Scale1, modelrepo.ScaleImageNet)
}

func (d *drafter) parameters(scale modelrepo.Scale) {
	o := d.options
	resize := o.Resize
	if resize == "" {
		resize = modelrepo.ResizeLetterbox
		if d.draft.Task == modelrepo.TaskEmbedder {
			resize = modelrepo.ResizeStretch
		}
		d.note("the picture's way into the input is %s (--resize)", resize)
	}
	add := func(key, value string) {
		if value != "" {
			d.draft.Parameters = append(d.draft.Parameters, Parameter{key, value})
		}
	}
	add("task", string(d.draft.Task))
	add("decoder", string(d.draft.Decoder))
	add("labels", strings.Join(o.Labels, ","))
	add("boxes", string(o.Boxes.Order))
	add("box_units", string(o.Boxes.Units))
	add("outputs", d.outputList)
	add("space", o.Space)
	add("layout", string(d.layout))
	if slices.Contains(d.draft.Input.Dims[len(d.draft.Input.Dims)-3:], -1) {
		add("size", fmt.Sprintf("%dx%d", d.width, d.height))
	}
	add("resize", string(resize))
	if resize == modelrepo.ResizeLetterbox {
		align := o.Align
		if align == "" {
			align = modelrepo.AlignCenter
		}
		add("pad", fmt.Sprint(o.Pad))
		add("align", string(align))
	}
	add("filter", "triangle")
	add("scale", string(scale))
}

func (d *drafter) note(format string, args ...any) {
	d.draft.Notes = append(d.draft.Notes, fmt.Sprintf(format, args...))
}
