package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/lexicam/lexicrop/bench"
	"github.com/lexicam/lexicrop/preprocess"
)

// measureFloor measures what the work costs without any service: as many decodings at once as there
// are cores, then as many inferences, and lexicrop in the same run.
func measureFloor(ctx context.Context, p plan, r *results) error {
	photos, err := pictures()
	if err != nil {
		return err
	}
	requests, err := photos[0].forms()
	if err != nil {
		return err
	}
	process, err := bench.Start(ctx, ours(), logFolder)
	if err != nil {
		return err
	}
	defer process.Stop()
	if err := warm(ctx, process.Detect, requests, p.each); err != nil {
		return err
	}
	f := floor{Cores: runtime.NumCPU()}
	var decode, network []time.Duration
	var service []turn
	for range p.rounds {
		d, err := decodeAlone(photos[0].files[0], f.Cores, p.each)
		if err != nil {
			return err
		}
		n, err := networkAlone(ctx, f.Cores, p.each)
		if err != nil {
			return err
		}
		t, err := measure(ctx, process, process.Detect, requests, bench.Load{Clients: 2 * f.Cores, Duration: p.each})
		if err != nil {
			return err
		}
		slog.Info("floor", "decode", d, "network", n, "service/s", t.PerSecond())
		decode, network, service = append(decode, d), append(network, n), append(service, t)
	}
	// The floor is low: the quickest of the rounds.
	f.Decode, f.Network = minimum(decode), minimum(network)
	for _, t := range service {
		if t.PerSecond() > f.Service.PerSecond() {
			f.Service = t
		}
	}
	r.Floor = f
	return nil
}

// decodeAlone is the time of one decoding, with letterbox, on each of so many cores at once.
func decodeAlone(photo []byte, cores int, each time.Duration) (time.Duration, error) {
	var running sync.WaitGroup
	took, errs := make([]time.Duration, cores), make([]error, cores)
	for i := range cores {
		running.Go(func() {
			start, n := time.Now(), 0
			for ; time.Since(start) < each; n++ {
				if err := decodeOnce(photo); err != nil {
					errs[i] = err
					return
				}
			}
			took[i] = time.Since(start) / time.Duration(n)
		})
	}
	running.Wait()
	var sum time.Duration
	for i := range took {
		if errs[i] != nil {
			return 0, errs[i]
		}
		sum += took[i]
	}
	return sum / time.Duration(cores), nil
}

// detectorSide is the width and height of the shipped detector's input, in pixels.
const detectorSide = 320

func decodeOnce(photo []byte) error {
	source, err := preprocess.Open(photo, preprocess.Limits{MaxBytes: 1 << 30, MaxPixels: 1 << 30, MaxSide: 1 << 15})
	if err != nil {
		return err
	}
	info := source.Info()
	letterbox := preprocess.NewLetterbox(info.Width, info.Height, detectorSide, detectorSide, preprocess.FitLetterbox)
	inner := letterbox.Inner
	picture, err := source.Decode(preprocess.Oversampling*inner.Dx(), preprocess.Oversampling*inner.Dy())
	if err != nil {
		return err
	}
	defer picture.Release()
	var tensor [detectorSide * detectorSide * 3]byte
	picture.Letterbox(tensor[:], letterbox, 114)
	return nil
}

// networkAlone is the time of one inference on each of so many cores at once, by OpenVINO alone.
func networkAlone(ctx context.Context, cores int, each time.Duration) (time.Duration, error) {
	outputs := make([]bytes.Buffer, cores)
	commands := make([]*exec.Cmd, cores)
	for i := range cores {
		commands[i] = exec.CommandContext(ctx, "build/triton/bin/python", "bench/compare/network.py",
			"modelrepo/models/detector/1/model.onnx", fmt.Sprint(each.Seconds()))
		commands[i].Stdout = &outputs[i]
		if err := commands[i].Start(); err != nil {
			return 0, err
		}
	}
	var sum time.Duration
	for i, command := range commands {
		if err := command.Wait(); err != nil {
			return 0, fmt.Errorf("network.py: %w", err)
		}
		var seconds float64
		if err := json.Unmarshal(outputs[i].Bytes(), &seconds); err != nil {
			return 0, fmt.Errorf("network.py: %w", err)
		}
		sum += time.Duration(seconds * float64(time.Second))
	}
	return sum / time.Duration(cores), nil
}

func minimum(values []time.Duration) time.Duration {
	least := values[0]
	for _, v := range values {
		least = min(least, v)
	}
	return least
}
