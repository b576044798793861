package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lexicam/lexicrop/bench"
)

// measureProfile puts lexicrop under load and asks it where the time goes: by stage of a request, and
// by function of its own process, as a list and as a flame graph.
func measureProfile(ctx context.Context, p plan, r *results) error {
	requests, err := smallForms()
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
	before, err := stages(ctx)
	if err != nil {
		return err
	}
	loading := make(chan error, 1)
	go func() {
		_, err := bench.Measure(ctx, process.Detect, requests, bench.Load{Clients: manyLoad, Duration: 2*p.each + time.Second})
		loading <- err
	}()
	samples, err := processorProfile(ctx, 2*p.each)
	if err := errors.Join(err, <-loading); err != nil {
		return err
	}
	after, err := stages(ctx)
	if err != nil {
		return err
	}
	r.Profile = profileOf{Stages: after.since(before), Top: top(samples, 25)}
	return os.WriteFile(filepath.Join(p.folder, "flamegraph.svg"), flameGraph(samples), 0o600)
}

// stageSums are, by stage, the seconds spent in it, and the number of requests.
type stageSums struct {
	seconds  map[string]float64
	requests float64
}

func stages(ctx context.Context) (stageSums, error) {
	body, err := get(ctx, "/metrics")
	if err != nil {
		return stageSums{}, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return stageSums{}, fmt.Errorf("/metrics: %w", err)
	}
	sums := stageSums{seconds: map[string]float64{}}
	for _, m := range families["lexicrop_stage_duration_seconds"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "stage" {
				sums.seconds[label.GetValue()] = m.GetHistogram().GetSampleSum()
			}
		}
	}
	for _, m := range families["lexicrop_detections"].GetMetric() {
		sums.requests += float64(m.GetHistogram().GetSampleCount())
	}
	if sums.requests == 0 {
		return sums, errors.New("/metrics counts no requests")
	}
	return sums, nil
}

// since is the mean of each stage, in milliseconds of a request.
func (s stageSums) since(before stageSums) map[string]float64 {
	means := map[string]float64{}
	for stage, seconds := range s.seconds {
		means[stage] = 1000 * (seconds - before.seconds[stage]) / (s.requests - before.requests)
	}
	return means
}

func processorProfile(ctx context.Context, length time.Duration) (*profile.Profile, error) {
	body, err := get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(math.Ceil(length.Seconds()))))
	if err != nil {
		return nil, err
	}
	p, err := profile.ParseData(body)
	if err != nil {
		return nil, fmt.Errorf("the processor profile: %w", err)
	}
	if len(p.Sample) == 0 {
		return nil, errors.New("the processor profile has no samples")
	}
	return p, nil
}

func get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", adminPort, path), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", path, response.Status)
	}
	return body, err
}

// stack of a sample, from the outermost function.
func stack(s *profile.Sample) []string {
	var names []string
	for _, location := range slices.Backward(s.Location) {
		for _, line := range slices.Backward(location.Line) {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// top are the functions of ours and of the libraries in which, with what they call, most time went.
func top(p *profile.Profile, n int) []frame {
	total, by := 0.0, map[string]float64{}
	for _, s := range p.Sample {
		cost := float64(s.Value[len(s.Value)-1])
		total += cost
		seen := map[string]bool{}
		for _, name := range stack(s) {
			if !seen[name] && !strings.HasPrefix(name, "runtime.") {
				seen[name] = true
				by[name] += cost
			}
		}
	}
	var frames []frame
	for name, cost := range by {
		frames = append(frames, frame{name, cost / total})
	}
	slices.SortFunc(frames, func(a, b frame) int {
		if a.Share != b.Share {
			return int(math.Copysign(1, b.Share-a.Share))
		}
		return strings.Compare(a.Function, b.Function)
	})
	return frames[:min(n, len(frames))]
}
