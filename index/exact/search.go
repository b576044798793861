package exact

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/lexicam/lexicrop/index"
)

// Search does what index.Store says of it, for a query that Query.Prepare made.
// The error is that of ctx.
func (s *Set) Search(ctx context.Context, q index.Query) ([]index.Match, error) {
	return s.Snapshot().Search(ctx, q)
}

// Search is Set.Search in a snapshot.
func (s Snapshot) Search(ctx context.Context, q index.Query) ([]index.Match, error) {
	p := newProbe(s.s, q)
	defer p.release()
	if err := p.scan(ctx); err != nil {
		return nil, err
	}
	return p.matches(), nil
}

// parallelRows is how many rows are worth a goroutine of their own: about a
// millisecond's work.
const parallelRows = 32 << 10

// probe is one search.
type probe struct {
	*snapshot
	query  index.Query
	norm   float64 // length of the query's vector
	codes  []int16
	scale  float32
	missed float32 // |d|, see quantise.go
	floor  float32 // the least similarity asked for
	parts  []*part
}

func newProbe(s *snapshot, q index.Query) *probe {
	p := &probe{snapshot: s, query: q, norm: norm(q.Vector), codes: make([]int16, stride(len(q.Vector)))}
	p.scale, p.missed = quantiseQuery(p.codes, q.Vector)
	p.floor = float32(math.Inf(-1))
	if q.MinSimilarity != nil {
		p.floor = *q.MinSimilarity
	}
	parts := max(1, min(runtime.GOMAXPROCS(0), s.rows/parallelRows))
	for range parts {
		p.parts = append(p.parts, newPart(len(s.chunks)*chunkWorks, q, p.floor))
	}
	return p
}

func (p *probe) release() {
	for _, part := range p.parts {
		part.release()
	}
}

// scan lets every part look at a run of blocks, and brings what they found
// together in the first.
func (p *probe) scan(ctx context.Context) error {
	var others sync.WaitGroup
	n := len(p.parts)
	run := func(i int) []*block { return p.blocks[len(p.blocks)*i/n : len(p.blocks)*(i+1)/n] }
	for i := 1; i < n; i++ {
		others.Go(func() { p.parts[i].scan(ctx, p, run(i)) })
	}
	p.parts[0].scan(ctx, p, run(0))
	others.Wait()

	first := p.parts[0]
	for _, part := range p.parts[1:] {
		for _, e := range part.best.entries {
			first.best.offer(e.work, e.least)
		}
		first.candidates = append(first.candidates, part.candidates...)
	}
	return ctx.Err()
}

// part is the share of one goroutine in a search, and the memory for it.
type part struct {
	dots       [blockRows]int32
	best       best
	candidates []candidate
	// Whether the filter chooses a work, by ordinal.
	verdicts []verdict
}

// candidate is a photo that may be among the best.
type candidate struct {
	work  int32
	most  float32 // its similarity is at most this
	photo *photo
}

type verdict uint8

const (
	unknown verdict = iota
	chosen
	rejected
)

var partPool = sync.Pool{New: func() any { return new(part) }}

func newPart(works int, q index.Query, floor float32) *part {
	part := partPool.Get().(*part)
	part.best.reset(works, q.Limit, floor)
	if len(q.Filter) > 0 {
		part.verdicts = grow(part.verdicts, works)
		clear(part.verdicts)
	}
	return part
}

func (part *part) release() {
	clear(part.candidates) // keep no photo from the garbage collector
	part.candidates = part.candidates[:0]
	part.best.clear()
	partPool.Put(part)
}

// scan collects the candidates among blocks. A row is one if, by the bound of
// quantise.go, its similarity may reach what the best works found so far are
// sure to have.
func (part *part) scan(ctx context.Context, p *probe, blocks []*block) {
	rows := blockRows
	for i, b := range blocks {
		if i%32 == 0 && ctx.Err() != nil {
			return
		}
		if b == p.blocks[len(p.blocks)-1] {
			rows = p.rows - (len(p.blocks)-1)*blockRows
		}
		dots := part.dots[:rows]
		dotRows(dots, b.codes[:rows*len(p.codes)], p.codes)
		reach := part.best.worst()
		for i, d := range dots {
			about := float32(d) * p.scale * b.scales[i]
			off := b.errors[i] + p.missed*(1+b.errors[i]) + slack
			if about+off < reach {
				continue
			}
			if len(p.query.Filter) > 0 && !part.chosen(p, b.works[i]) {
				continue
			}
			part.candidates = append(part.candidates, candidate{b.works[i], about + off, b.photos[i]})
			part.best.offer(b.works[i], about-off)
			reach = part.best.worst()
		}
	}
}

func (part *part) chosen(p *probe, ordinal int32) bool {
	v := &part.verdicts[ordinal]
	if *v == unknown {
		*v = rejected
		if p.query.Filter.Match(&p.work(ordinal).Work) {
			*v = chosen
		}
	}
	return *v == chosen
}

// matches computes in full what may be among the best and returns what is.
func (p *probe) matches() []index.Match {
	first := p.parts[0]
	reach := first.best.worst()
	similarities := map[int32]float32{} // of the best photo of a work
	for _, c := range first.candidates {
		if c.most < reach {
			continue
		}
		s := p.similarity(c.photo)
		if known, ok := similarities[c.work]; s >= p.floor && (!ok || s > known) {
			similarities[c.work] = s
		}
	}
	matches := make([]index.Match, 0, len(similarities))
	ordinals := make(map[string]int32, len(similarities))
	for ordinal, s := range similarities {
		w := p.work(ordinal).Work
		ordinals[w.ID] = ordinal
		matches = append(matches, index.Match{Work: w, Similarity: s})
	}
	slices.SortFunc(matches, func(a, b index.Match) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.Work.ID, b.Work.ID))
	})
	matches = matches[:min(len(matches), p.query.Limit)]
	for i := range matches {
		matches[i].Photos = p.photos(ordinals[matches[i].Work.ID])
	}
	return matches
}

// photos returns the best photos of a work.
func (p *probe) photos(ordinal int32) []index.PhotoMatch {
	w := p.work(ordinal)
	matches := make([]index.PhotoMatch, 0, len(w.photos))
	for _, photo := range w.photos {
		if s := p.similarity(photo); s >= p.floor {
			matches = append(matches, index.PhotoMatch{ID: photo.id, Hash: photo.hash, Source: photo.source, Similarity: s})
		}
	}
	slices.SortFunc(matches, func(a, b index.PhotoMatch) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(a.ID, b.ID))
	})
	return slices.Clip(matches[:min(len(matches), p.query.Photos)])
}

// similarity is the cosine, rounded once.
func (p *probe) similarity(photo *photo) float32 {
	s := dot(p.query.Vector, photo.vector) / (p.norm * photo.norm)
	return float32(max(-1, min(1, s)))
}
