package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/lexicam/lexicrop/bench"
)

const (
	originalPort = 18481
	ourPort      = 18482
	adminPort    = 18483
)

// original is the service that lexicrop replaces, in one of its settings.
type originalSetting struct {
	workers int
	threads int // of ONNX Runtime; 0 is its own choice
	handler string
}

func (s originalSetting) String() string {
	threads := strconv.Itoa(s.threads)
	if s.threads == 0 {
		threads = "default"
	}
	return fmt.Sprintf("%d worker(s), %s threads, %s handler", s.workers, threads, s.handler)
}

func original(s originalSetting) bench.System {
	url := fmt.Sprintf("http://127.0.0.1:%d", originalPort)
	return bench.System{
		Name: "original", Folder: "bench/original",
		Command: []string{
			absolute("build/original/bin/uvicorn"), "server:app", "--host", "127.0.0.1", "--port", strconv.Itoa(originalPort),
			"--workers", strconv.Itoa(s.workers), "--no-access-log", "--log-level", "warning",
		},
		Env: []string{
			"MODEL=" + absolute("build/original/model.onnx"), "THREADS=" + strconv.Itoa(s.threads), "HANDLER=" + s.handler,
			"PYTHONDONTWRITEBYTECODE=1",
		},
		Health: url + "/health", Detect: url + "/detect",
	}
}

// ours is lexicrop with a Triton on this machine and more settings, by environment.
func ours(env ...string) bench.System {
	url := fmt.Sprintf("http://127.0.0.1:%d", ourPort)
	return bench.System{
		Name:    "lexicrop",
		Command: []string{absolute("build/lexicrop"), "serve"},
		Env: append([]string{
			fmt.Sprintf("LEXICROP_SERVER_ADDRESS=127.0.0.1:%d", ourPort),
			fmt.Sprintf("LEXICROP_ADMIN_ADDRESS=127.0.0.1:%d", adminPort),
			"LEXICROP_ADMIN_PPROF=true", "LEXICROP_LOG_LEVEL=warn", "LEXICROP_MODELS_EMBEDDER_NAME=", "LEXICROP_INDEX_STORE=none",
		}, env...),
		Health: fmt.Sprintf("http://127.0.0.1:%d/readyz", adminPort), Detect: url + "/detect",
	}
}

func absolute(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return absolute
}

// measure is one turn of a process.
func measure(ctx context.Context, p *bench.Process, url string, requests []bench.Request, load bench.Load) (turn, error) {
	before, err := p.Usage()
	if err != nil {
		return turn{}, err
	}
	m, err := bench.Measure(ctx, url, requests, load)
	if err != nil {
		return turn{}, err
	}
	after, err := p.Usage()
	if err != nil {
		return turn{}, err
	}
	t := turn{Measurement: m, Memory: after.Memory}
	if m.Requests > 0 {
		t.CPU = (after.CPU - before.CPU) / time.Duration(m.Requests)
		t.Own = (after.Own - before.Own) / time.Duration(m.Requests)
	}
	return t, nil
}

// warm lets a service settle: threads start, pools fill, code is compiled.
func warm(ctx context.Context, url string, requests []bench.Request, each time.Duration) error {
	if err := bench.Check(ctx, url, requests[0]); err != nil {
		return err
	}
	_, err := bench.Measure(ctx, url, requests, bench.Load{Clients: 2 * runtime.NumCPU(), Duration: each})
	return err
}
