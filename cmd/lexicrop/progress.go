package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows on a terminal how far a long work is, and nothing elsewhere.
type progress struct {
	bars   *mpb.Progress
	bar    *mpb.Bar
	failed atomic.Int64
}

func newProgress() *progress {
	p := &progress{bars: mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(40))}
	began := time.Now()
	p.bar = p.bars.AddBar(0,
		mpb.PrependDecorators(decor.Any(func(s decor.Statistics) string {
			if s.Total == 0 { // not known yet
				return fmt.Sprint(s.Current)
			}
			return fmt.Sprintf("%d of %d", s.Current, s.Total)
		})),
		mpb.AppendDecorators(
			decor.Any(func(s decor.Statistics) string {
				text := fmt.Sprintf("%.0f/s", float64(s.Current)/time.Since(began).Seconds())
				if n := p.failed.Load(); n > 0 {
					text += fmt.Sprintf(", %d failed", n)
				}
				return text
			}),
			decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace),
		),
	)
	return p
}

// total says how many there are.
func (p *progress) total(n int) { p.bar.SetTotal(int64(n), false) }

// done counts one.
func (p *progress) done(failed bool) {
	if failed {
		p.failed.Add(1)
	}
	p.bar.Increment()
}

// set says how many are done and how many of them failed.
func (p *progress) set(done, failed int) {
	p.failed.Store(int64(failed))
	p.bar.SetCurrent(int64(done))
}

// close takes the bar away.
func (p *progress) close() {
	p.bar.Abort(true)
	p.bars.Wait()
}
