// Package bench measures services over HTTP as their clients see them, with what they cost the
// machine, and draws what it measured. `go run ./bench/compare` measures lexicrop beside the service
// that it replaces.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Request is one request to send again and again.
type Request struct {
	ContentType string
	Body        []byte
}

// Raw sends a picture as the whole body.
func Raw(picture []byte) Request {
	return Request{ContentType: http.DetectContentType(picture), Body: picture}
}

// Form sends a picture as a file in a field of a form.
func Form(field string, picture []byte) (Request, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q; filename=%q", field, "photo"))
	header.Set("Content-Type", http.DetectContentType(picture))
	part, err := form.CreatePart(header)
	if err == nil {
		_, err = part.Write(picture)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		return Request{}, fmt.Errorf("writing the form: %w", err)
	}
	return Request{ContentType: form.FormDataContentType(), Body: body.Bytes()}, nil
}

// Load says how requests come.
type Load struct {
	// Clients wait for their answer and ask again at once: a closed loop.
	Clients int
	// PerSecond, above 0, makes it an open loop: requests come at this rate whatever the answers do,
	// by up to Clients at once.
	PerSecond float64
	Duration  time.Duration
}

// Latencies of the requests that were answered well.
type Latencies struct {
	P50, P95, P99, Max time.Duration
}

// Measurement is what one load gave.
type Measurement struct {
	Requests int // answered with status 200
	Failures int // anything else
	// Faults are the kinds of failures, a few of them.
	Faults    []string      `json:",omitempty"`
	Duration  time.Duration // from the first request to the last answer
	Latencies Latencies
}

// PerSecond is the number of good answers a second.
func (m Measurement) PerSecond() float64 {
	if m.Duration == 0 {
		return 0
	}
	return float64(m.Requests) / m.Duration.Seconds()
}

// Measure posts the requests to url in turn, under a load, until its duration is over or ctx ends.
func Measure(ctx context.Context, url string, requests []Request, load Load) (Measurement, error) {
	attacker := vegeta.NewAttacker(
		vegeta.Workers(uint64(load.Clients)), vegeta.MaxWorkers(uint64(load.Clients)),
		vegeta.Connections(load.Clients), vegeta.KeepAlive(true), vegeta.Timeout(time.Minute),
	)
	defer attacker.Stop()
	stop := context.AfterFunc(ctx, func() { attacker.Stop() })
	defer stop()
	targets := make([]vegeta.Target, len(requests))
	for i, r := range requests {
		targets[i] = vegeta.Target{Method: http.MethodPost, URL: url, Body: r.Body, Header: http.Header{"Content-Type": {r.ContentType}}}
	}
	pacer := vegeta.Pacer(vegeta.Rate{}) // as fast as the clients can
	if load.PerSecond > 0 {
		pacer = vegeta.Rate{Freq: int(load.PerSecond * 1000), Per: 1000 * time.Second}
	}
	var samples []sample
	for r := range attacker.Attack(vegeta.NewStaticTargeter(targets...), pacer, load.Duration, "") {
		samples = append(samples, sample{start: r.Timestamp, took: r.Latency, status: r.Code, fault: r.Error})
	}
	if err := ctx.Err(); err != nil {
		return Measurement{}, fmt.Errorf("measuring %s: %w", url, err)
	}
	return summarise(samples), nil
}

// sample is one request.
type sample struct {
	start  time.Time
	took   time.Duration
	status uint16
	fault  string
}

func summarise(samples []sample) Measurement {
	var m Measurement
	var took []time.Duration
	var first, last time.Time
	for _, s := range samples {
		if end := s.start.Add(s.took); end.After(last) {
			last = end
		}
		if first.IsZero() || s.start.Before(first) {
			first = s.start
		}
		if s.status == http.StatusOK {
			took = append(took, s.took)
			continue
		}
		m.Failures++
		fault := fmt.Sprintf("%d %s", s.status, s.fault)
		if len(m.Faults) < 5 && !slices.Contains(m.Faults, fault) {
			m.Faults = append(m.Faults, fault)
		}
	}
	m.Requests, m.Duration = len(took), last.Sub(first)
	slices.Sort(took)
	m.Latencies = Latencies{P50: Quantile(took, 0.5), P95: Quantile(took, 0.95), P99: Quantile(took, 0.99), Max: Quantile(took, 1)}
	return m
}

// Quantile is the smallest value that at least a share q of sorted is not above; 0 of nothing.
func Quantile[T ~int64 | ~float64](sorted []T, q float64) T {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Check posts one request and returns an error with the answer unless its status is 200.
func Check(ctx context.Context, url string, r Request) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", r.ContentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, bytes.TrimSpace(answer))
	}
	return nil
}
