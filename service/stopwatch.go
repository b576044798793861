package service

import "time"

// Timing is how long one stage of a request took.
type Timing struct {
	Stage    string
	Duration time.Duration
}

// The stages of a request, in their order.
const (
	StageQueue     = "queue"     // waiting for a slot, both gates together
	StageDecode    = "decode"    // bytes to pixels
	StageLetterbox = "letterbox" // pixels to the network's input
	StageInfer     = "infer"     // the detector at Triton, there and back
	StageEmbed     = "embed"     // the embedder at Triton, there and back
	StageSearch    = "search"    // the nearest vectors of the catalogue
	StageStore     = "store"     // a change of the catalogue
	StageEncode    = "encode"    // the cropped picture
)

// stopwatch splits the time of one request among stages. A stage may be lapped several times.
type stopwatch struct {
	last    time.Time
	timings []Timing
}

func startStopwatch() *stopwatch {
	return &stopwatch{last: time.Now(), timings: make([]Timing, 0, 8)}
}

// lap counts the time since the last lap for stage.
func (s *stopwatch) lap(stage string) {
	now := time.Now()
	spent := now.Sub(s.last)
	s.last = now
	for i := range s.timings {
		if s.timings[i].Stage == stage {
			s.timings[i].Duration += spent
			return
		}
	}
	s.timings = append(s.timings, Timing{stage, spent})
}

// of is the time spent in a stage so far.
func (s *stopwatch) of(stage string) time.Duration { return Spent(s.timings, stage) }

// Spent is the time of a stage, 0 where there was none.
func Spent(timings []Timing, stage string) time.Duration {
	for _, t := range timings {
		if t.Stage == stage {
			return t.Duration
		}
	}
	return 0
}
