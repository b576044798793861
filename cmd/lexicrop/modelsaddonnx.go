package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/brought"
	"github.com/lexicam/lexicrop/modelrepo/onnx"
	"github.com/lexicam/lexicrop/service"
)

// onnxFlags say what a file that somebody brings does not say of itself.
type onnxFlags struct {
	file, size string
	labels     []string
	outputs    map[string]string
	force      bool
	// The rest goes into the options as it is.
	task, decoder, space, boxes, boxUnits, layout, resize, align, scale, engine string
	pad                                                                         uint8
	maxBatch                                                                    int
}

func (f *onnxFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "onnx", "", "bring this ONNX file")
	flags.BoolVar(&f.force, "force", false, "replace a model of the same name")
	flags.StringVar(&f.task, "task", "", "detector or embedder")
	flags.StringVar(&f.decoder, "decoder", "", "what a detector's outputs are: candidates, torchvision or detr")
	flags.StringSliceVar(&f.labels, "labels", nil, "a detector's classes, background left out")
	flags.StringVar(&f.space, "space", "", "name of an embedder's vector space, a new one for every new network")
	flags.StringToStringVar(&f.outputs, "outputs", nil, "ROLE=NAME of outputs that cannot be told by name, type and shape")
	flags.StringVar(&f.boxes, "boxes", "", "order of a box's numbers: xyxy, yxyx, cxcywh or xywh")
	flags.StringVar(&f.boxUnits, "box-units", "", "pixels of the input, or relative to its size")
	flags.StringVar(&f.layout, "layout", "", "nhwc or nchw")
	flags.StringVar(&f.size, "size", "", "WIDTHxHEIGHT of the picture where the network takes any")
	flags.StringVar(&f.resize, "resize", "", "letterbox or stretch")
	flags.StringVar(&f.align, "align", "", "where a letterboxed picture lies: center or top-left")
	flags.Uint8Var(&f.pad, "pad", 0, "grey beside a letterboxed picture")
	flags.StringVar(&f.scale, "scale", "", "numbers for RGB values: 0..255, 0..1 or imagenet")
	flags.IntVar(&f.maxBatch, "max-batch", 0, "pictures that fit in one request (1: no batches)")
	flags.StringVar(&f.engine, "engine", "", "what runs it on a processor: openvino or onnxruntime")
}

func (f *onnxFlags) options() (brought.Options, error) {
	o := brought.Options{
		Task: modelrepo.Task(f.task), Decoder: modelrepo.Decoder(f.decoder), Labels: f.labels, Space: f.space,
		Boxes:  modelrepo.BoxFormat{Order: modelrepo.BoxOrder(f.boxes), Units: modelrepo.BoxUnits(f.boxUnits)},
		Layout: modelrepo.Layout(f.layout), Resize: modelrepo.Resize(f.resize), Align: modelrepo.Align(f.align),
		Pad: f.pad, Scale: modelrepo.Scale(f.scale), MaxBatch: f.maxBatch, Engine: f.engine,
		Outputs: map[modelrepo.Role]string{},
	}
	for role, name := range f.outputs {
		o.Outputs[modelrepo.Role(role)] = name
	}
	if f.size != "" {
		w, h, _ := strings.Cut(f.size, "x")
		var err1, err2 error
		o.Width, err1 = strconv.Atoi(w)
		o.Height, err2 = strconv.Atoi(h)
		if err1 != nil || err2 != nil || o.Width < 1 || o.Height < 1 {
			return o, fmt.Errorf("--size is %q: it must be WIDTHxHEIGHT in pixels", f.size)
		}
	}
	if f.engine != "" && f.engine != "openvino" && f.engine != "onnxruntime" {
		return o, fmt.Errorf("--engine is %q: it must be openvino or onnxruntime", f.engine)
	}
	return o, nil
}

// addONNX makes a model of a file and has the local Triton try it before it is in the repository.
func addONNX(ctx context.Context, out io.Writer, c *config.Config, name string, f *onnxFlags) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	file, size, err := readONNX(f.file)
	if err != nil {
		return err
	}
	draft, err := brought.NewDraft(name, file, options)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s: %s, %.1f MB, opset %d\n%s", name, f.file, float64(size)/1e6, file.Opset, draft.Report()); err != nil {
		return err
	}
	repository := c.Triton.Local.Repository
	err = draft.Add(ctx, repository, f.file, f.force, func(staged string) error {
		return tryStaged(ctx, out, c, staged, name)
	})
	if err != nil {
		return fmt.Errorf("%s is not added: %w", name, err)
	}
	key := "detector"
	if draft.Task == modelrepo.TaskEmbedder {
		key = "embedder"
	}
	_, err = fmt.Fprintf(out, "added %s; `--models-%s-name %s` has it answer\n", filepath.Join(repository, name), key, name)
	return err
}

func readONNX(name string) (*onnx.Model, int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	model, err := onnx.Read(file)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	return model, info.Size(), nil
}

// tryStaged starts a Triton on this machine with one model alone.
func tryStaged(ctx context.Context, out io.Writer, c *config.Config, repository, name string) (err error) {
	one := *c
	one.Models = config.Models{Detector: config.Model{Name: name}}
	one.Triton.Address, one.Triton.Local.Profile, one.Triton.Local.Instances = "", "", 1
	one.Triton.Local.Repository = repository
	ctx, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	backend, err := openBackend(ctx, &one, newLogger(&one))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.close()) }()
	trial, err := service.Try(ctx, backend.client, service.ModelName{Name: name})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, trialReport(trial))
	return err
}
