package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lexicam/lexicrop/bench"
)

// results is all that was measured, as compare.json keeps it.
type results struct {
	Machine string
	Date    string // of the last measurement
	Commit  string

	Tuning   []tuned   // of the original service
	Cold     []cold    // starts
	Pairs    []pair    // the original and lexicrop in turns
	Settings []setting // of lexicrop
	Requests []requestKind
	Floor    floor
	Profile  profileOf
	Growth   []growth
}

// tuned is one setting of the original service.
type tuned struct {
	Setting string
	One     bench.Measurement // by one client
	Many    bench.Measurement // by four
}

type cold struct {
	System string
	Took   []time.Duration // from the start of the command to readiness
}

// pair is the two services under one load, in turns.
type pair struct {
	Picture          string
	Clients          int
	PerSecond        float64 `json:",omitempty"` // open loop
	Original, Ours   []turn
	OriginalEndpoint string
	OurEndpoint      string
}

// turn is one measurement of one service and what it cost.
type turn struct {
	bench.Measurement
	CPU    time.Duration // of the service, all its processes, an answered request
	Own    time.Duration // of its first process alone: lexicrop without its Triton
	Memory int64         // bytes, all its processes, at the end
}

// setting is lexicrop under one setting beside its default, in turns.
type setting struct {
	Name             string
	Clients          int
	Default, Setting []turn
}

// requestKind is lexicrop asked for one thing, in turns with others.
type requestKind struct {
	Name    string
	Clients int
	Turns   []turn
}

// floor is what the work itself costs: decoding and network, without a service around them.
type floor struct {
	Cores   int
	Decode  time.Duration // of one picture by one core while all are busy: decode, orient, letterbox
	Network time.Duration // one inference by one core while all are busy
	// Service is lexicrop's measurement at its best number of clients in the same run.
	Service turn
}

func (f floor) perSecond() float64 {
	if f.Decode+f.Network == 0 {
		return 0
	}
	return float64(f.Cores) / (f.Decode + f.Network).Seconds()
}

// FloorPerSecond and FloorShare are for the report.
func (r *results) FloorPerSecond() float64 { return r.Floor.perSecond() }

func (r *results) FloorShare() float64 {
	if r.Floor.perSecond() == 0 {
		return 0
	}
	return r.Floor.Service.PerSecond() / r.Floor.perSecond()
}

// profileOf is where lexicrop's own processor time went under load.
type profileOf struct {
	Stages map[string]float64 // mean milliseconds by stage of a request at four clients
	Top    []frame            // of the service's process
}

type frame struct {
	Function string
	Share    float64 // of the process's processor time, itself and what it calls
}

// growth is how latency grows with something, by one client unless that is what grows.
type growth struct {
	Of     string // what grows
	Unit   string
	Points []point
}

type point struct {
	X        float64
	P50, P99 time.Duration
	// PerSecond is the throughput where clients grow.
	PerSecond float64 `json:",omitempty"`
}

func readResults(file string) (*results, error) {
	r := &results{}
	content, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(content, r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

func (r *results) write(file string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, append(content, '\n'), 0o644))
}

func (r *results) describeMachine(ctx context.Context) {
	model := "unknown processor"
	if content, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(content)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	r.Machine = fmt.Sprintf("%d cores of %s, %s/%s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH)
	r.Date = time.Now().UTC().Format(time.DateOnly)
	if commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(commit))
	}
}

// middle of what turns say by value, and the smallest and largest.
func middle[T ~int64 | ~float64](turns []turn, value func(turn) T) (median, low, high T) {
	if len(turns) == 0 {
		return 0, 0, 0
	}
	values := make([]T, len(turns))
	for i, t := range turns {
		values[i] = value(t)
	}
	slices.Sort(values)
	return bench.Quantile(values, 0.5), values[0], values[len(values)-1]
}

func perSecond(t turn) float64  { return t.PerSecond() }
func p50(t turn) time.Duration  { return t.Latencies.P50 }
func p95(t turn) time.Duration  { return t.Latencies.P95 }
func p99(t turn) time.Duration  { return t.Latencies.P99 }
func most(t turn) time.Duration { return t.Latencies.Max }
func cpu(t turn) time.Duration  { return t.CPU }
func own(t turn) time.Duration  { return t.Own }
func memory(t turn) int64       { return t.Memory }
