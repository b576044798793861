package modelrepo

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// reader reads a contract and collects what is wrong with it, so that an
// operator sees all at once.
type reader struct {
	config *inference.ModelConfig
	faults []error
}

func (r *reader) contract() Contract {
	c := Contract{
		Name:        r.config.Name,
		Task:        choice(r, keyTask, "", TaskDetector, TaskEmbedder),
		Resize:      choice(r, keyResize, "", ResizeLetterbox, ResizeStretch),
		Align:       choice(r, keyAlign, AlignCenter, AlignCenter, AlignTopLeft),
		Filter:      choice(r, keyFilter, "triangle", "triangle"),
		Scale:       choice(r, keyScale, "", Scale255, Scale1, ScaleImageNet),
		Pad:         r.pad(),
		Input:       r.input(),
		Fingerprint: r.fingerprint(),
		MaxBatch:    max(1, int(r.config.MaxBatchSize)),
	}
	if c.Input.DType == triton.Uint8 && c.Scale != Scale255 {
		r.fault("parameter %s is %q: an input of UINT8 can only be %q", keyScale, c.Scale, Scale255)
	}
	if r.config.ModelTransactionPolicy.GetDecoupled() {
		r.fault("the model is decoupled (any number of answers to a request): not supported")
	}
	switch c.Task {
	case TaskDetector:
		c.Decoder = choice(r, keyDecoder, "", DecoderCandidates, DecoderTorchvision, DecoderDETR)
		c.Boxes = r.boxFormat(c.Decoder)
		c.Labels = r.labels()
		r.detectorOutputs(&c)
		r.refuse(c.Task, keySpace)
	case TaskEmbedder:
		if c.Space = r.parameter(keySpace); c.Space == "" {
			r.fault("parameter %s is missing: a name for the vectors' space", keySpace)
		}
		r.embedding(&c)
		r.refuse(c.Task, keyDecoder, keyLabels, keyBoxes, keyUnits)
	}
	return c
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("- "+format, args...))
}

func (r *reader) parameter(key string) string {
	return r.config.Parameters[key].GetStringValue()
}

func (r *reader) refuse(task Task, keys ...string) {
	for _, key := range keys {
		if r.parameter(key) != "" {
			r.fault("parameter %s has no meaning for a model of task %s", key, task)
		}
	}
}

// choice reads a parameter of few values; without a missing it is required.
func choice[T ~string](r *reader, key string, missing T, allowed ...T) T {
	value := T(r.parameter(key))
	if value == "" {
		value = missing
	}
	if slices.Contains(allowed, value) {
		return value
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	is := "missing"
	if value != "" {
		is = strconv.Quote(string(value))
	}
	r.fault("parameter %s is %s: it must be %s", key, is, strings.Join(names, " or "))
	return missing
}

func (r *reader) pad() uint8 {
	text := r.parameter(keyPad)
	if text == "" {
		return 0
	}
	value, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		r.fault("parameter %s is %q: it must be a grey value of 0 to 255", keyPad, text)
	}
	return uint8(value)
}

func (r *reader) fingerprint() string {
	text := r.parameter(KeyFingerprint)
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != 32 || strings.ToLower(text) != text {
		r.fault("parameter %s is %q: it must be 64 hexadecimal digits (`lexicrop models verify` tells which)", KeyFingerprint, text)
	}
	return text
}

func (r *reader) labels() []string {
	text := r.parameter(keyLabels)
	if text == "" {
		r.fault("parameter %s is missing: the classes' names, comma-separated, background left out", keyLabels)
		return nil
	}
	labels := strings.Split(text, ",")
	for i, label := range labels {
		labels[i] = strings.TrimSpace(label)
		if labels[i] == "" {
			r.fault("parameter %s is %q: label %d is empty", keyLabels, text, i+1)
		} else if slices.Contains(labels[:i], labels[i]) {
			r.fault("parameter %s is %q: %s stands there twice", keyLabels, text, labels[i])
		}
	}
	return labels
}

func (r *reader) boxFormat(decoder Decoder) BoxFormat {
	missing := BoxFormat{BoxXYXY, BoxPixels}
	if decoder == DecoderDETR {
		missing = BoxFormat{BoxCXCYWH, BoxRelative}
	}
	return BoxFormat{
		choice(r, keyBoxes, missing.Order, BoxXYXY, BoxYXYX, BoxCXCYWH, BoxXYWH),
		choice(r, keyUnits, missing.Units, BoxPixels, BoxRelative),
	}
}

// input reads the one picture input. A model with max_batch_size has the batch
// dimension beside its dims, another may have one of 1 or -1 in them.
func (r *reader) input() Input {
	if len(r.config.Input) != 1 {
		r.fault("the model has %d inputs: it must have one, the picture", len(r.config.Input))
		return Input{}
	}
	tensor := r.config.Input[0]
	in := Input{Name: tensor.Name, DType: triton.DTypeOf(tensor.DataType)}
	if !slices.Contains([]triton.DType{triton.Uint8, triton.FP32, triton.FP16}, in.DType) {
		r.fault("input %s is of %s: it must be TYPE_UINT8, TYPE_FP32 or TYPE_FP16", in.Name, tensor.DataType)
	}
	dims, batched := r.perPicture(tensor.Dims)
	if len(dims) != 3 {
		r.fault("input %s has dims %v: they must be height, width and 3 channels in either order", in.Name, tensor.Dims)
		return in
	}
	in.Layout = r.layout(tensor, dims)
	height, width, channels := dims[0], dims[1], dims[2]
	if in.Layout == LayoutNCHW {
		channels, height, width = dims[0], dims[1], dims[2]
	}
	if channels != 3 && channels != -1 {
		r.fault("input %s has dims %v: 3 channels (RGB) are needed where %s has them", in.Name, tensor.Dims, in.Layout)
	}
	in.Width, in.Height = r.size(in.Name, width, height)
	in.Shape = []int64{int64(in.Height), int64(in.Width), 3}
	if in.Layout == LayoutNCHW {
		in.Shape = []int64{3, int64(in.Height), int64(in.Width)}
	}
	if batched {
		in.Shape = slices.Insert(in.Shape, 0, 1)
	}
	return in
}

// layout takes the parameter, else Triton's format, else the place of the 3.
func (r *reader) layout(tensor *inference.ModelInput, dims []int64) Layout {
	var missing Layout
	switch {
	case tensor.Format == inference.ModelInput_FORMAT_NHWC:
		missing = LayoutNHWC
	case tensor.Format == inference.ModelInput_FORMAT_NCHW:
		missing = LayoutNCHW
	case dims[2] == 3 && dims[0] != 3:
		missing = LayoutNHWC
	case dims[0] == 3 && dims[2] != 3:
		missing = LayoutNCHW
	}
	return choice(r, keyLayout, missing, LayoutNHWC, LayoutNCHW)
}

// maxSide bounds an input's sides: far above any detector's, and its tensor
// still fits a message.
const maxSide = 8192

// size is what dims say, and where they are free, what the parameter says.
func (r *reader) size(input string, width, height int64) (int, int) {
	if text := r.parameter(keySize); text != "" {
		w, h, ok := parseSize(text)
		switch {
		case !ok:
			r.fault("parameter %s is %q: it must be WIDTHxHEIGHT in pixels", keySize, text)
		case width != -1 && width != w || height != -1 && height != h:
			r.fault("parameter %s is %q: the dims of input %s say %dx%d", keySize, text, input, width, height)
		}
		width, height = w, h
	} else if width == -1 || height == -1 {
		r.fault("parameter %s is missing: WIDTHxHEIGHT in pixels, because the dims of input %s are free", keySize, input)
	}
	if width < 1 || height < 1 || width > maxSide || height > maxSide {
		r.fault("input %s is %dx%d pixels: each side must be 1 to %d", input, width, height, maxSide)
		return 0, 0
	}
	return int(width), int(height)
}

func parseSize(text string) (width, height int64, ok bool) {
	w, h, ok := strings.Cut(text, "x")
	if !ok {
		return 0, 0, false
	}
	width, err1 := strconv.ParseInt(w, 10, 32)
	height, err2 := strconv.ParseInt(h, 10, 32)
	return width, height, err1 == nil && err2 == nil && width > 0 && height > 0
}

// perPicture returns dims without the batch dimension, and whether the tensor
// has one.
func (r *reader) perPicture(dims []int64) ([]int64, bool) {
	if r.config.MaxBatchSize > 0 {
		return dims, true
	}
	if len(dims) == 4 && (dims[0] == 1 || dims[0] == -1) {
		return dims[1:], true
	}
	return dims, false
}
