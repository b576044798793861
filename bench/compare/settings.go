package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lexicam/lexicrop/bench"
)

// variant is lexicrop under another setting than its default.
type variant struct {
	name string
	// env sets it; models, where it is not nil, changes a copy of the detector's folder.
	env    []string
	needs  string // a file or folder without which it is left out
	models func(detector string) error
}

// variants are the settings that are measured beside the default.
func variants() []variant {
	return []variant{
		{name: "no second look", env: []string{"LEXICROP_CROP_REFINE_BELOW=0"}},
		{name: "one instance of the network", env: []string{"LEXICROP_TRITON_LOCAL_INSTANCES=1"}},
		{name: "Triton batches (up to 8, waiting 1 ms)", models: edit("config.pbtxt", func(text string) string {
			return text + "\ndynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1000 }\n"
		})},
		{name: "ONNX Runtime instead of OpenVINO", models: edit("config.pbtxt", func(text string) string {
			return text + "\nparameters { key: \"engine\" value { string_value: \"onnxruntime\" } }\n"
		})},
		{name: "the small detector", env: []string{"LEXICROP_MODELS_DETECTOR_NAME=detector-small"}, needs: "modelrepo/models/detector-small"},
		{name: "the heavy detector", env: []string{"LEXICROP_MODELS_DETECTOR_NAME=detector-large"}, needs: "modelrepo/models/detector-large"},
		{name: "int8 in OpenVINO", models: useFile("build/bench/detector-int8.onnx")},
	}
}

// measureSettings measures lexicrop under each setting and under its default in turns.
func measureSettings(ctx context.Context, p plan, r *results) error {
	requests, err := smallForms()
	if err != nil {
		return err
	}
	r.Settings = nil
	for _, v := range variants() {
		for _, clients := range []int{1, manyLoad} {
			s := setting{Name: v.name, Clients: clients}
			for range p.rounds {
				for _, side := range []struct {
					variant variant
					turns   *[]turn
				}{{variant{name: "default"}, &s.Default}, {v, &s.Setting}} {
					t, err := side.variant.measure(ctx, requests, bench.Load{Clients: clients, Duration: p.each})
					if errors.Is(err, fs.ErrNotExist) {
						slog.Warn("left out", "setting", v.name, "reason", err)
						break
					}
					if err != nil {
						return fmt.Errorf("%s: %w", side.variant.name, err)
					}
					*side.turns = append(*side.turns, t)
				}
			}
			if len(s.Setting) > 0 {
				r.Settings = append(r.Settings, s)
			}
		}
	}
	return nil
}

// measure starts lexicrop under the setting: the two sides of a pair use the same ports.
func (v variant) measure(ctx context.Context, requests []bench.Request, load bench.Load) (turn, error) {
	if v.needs != "" {
		if _, err := os.Stat(v.needs); err != nil {
			return turn{}, err
		}
	}
	env := v.env
	if v.models != nil {
		repository, err := os.MkdirTemp("", "lexicrop-bench")
		if err != nil {
			return turn{}, err
		}
		defer func() { _ = os.RemoveAll(repository) }()
		detector := filepath.Join(repository, "detector")
		if err := os.CopyFS(detector, os.DirFS("modelrepo/models/detector")); err != nil {
			return turn{}, err
		}
		if err := v.models(detector); err != nil {
			return turn{}, err
		}
		env = append(env, "LEXICROP_TRITON_LOCAL_REPOSITORY="+repository)
	}
	process, err := bench.Start(ctx, ours(env...), logFolder)
	if err != nil {
		return turn{}, err
	}
	defer process.Stop()
	if err := warm(ctx, process.Detect, requests, load.Duration/2); err != nil {
		return turn{}, err
	}
	return measure(ctx, process, process.Detect, requests, load)
}

// edit changes a text file of the model's folder.
func edit(file string, change func(string) string) func(string) error {
	return func(detector string) error {
		path := filepath.Join(detector, file)
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(change(string(content))), 0o600)
	}
}

// useFile takes another network of the same inputs and outputs.
func useFile(network string) func(string) error {
	return func(detector string) error {
		content, err := os.ReadFile(network)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(detector, "1", "model.onnx"), content, 0o600)
	}
}
