// Package comparison asks two models of one task about the same photos, in turns, and reports in what
// their answers differ.
package comparison

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service"
)

// Asker answers for both models: for the first as the primary, for the second as the shadow of its
// task. (*service.Service) is one.
type Asker interface {
	Crop(ctx context.Context, photo []byte, o service.CropOptions) (*service.Crop, error)
	Embed(ctx context.Context, photo []byte, o service.EmbedOptions) (*service.Embedding, error)
}

// SameIoU is the overlap from which two boxes are of the same work, NearIoU from which nobody would
// mind which of them is taken.
const (
	SameIoU = 0.5
	NearIoU = 0.9
)

// Answer is what one of the models said of a photo. A detector has a Crop, an embedder an Embedding.
type Answer struct {
	Crop      *service.Crop
	Embedding *service.Embedding
	// Inference is the time of the network, there and back.
	Inference time.Duration
}

// Pair is a photo with the answers of the first and the second model.
type Pair struct {
	File    string
	Answers [2]Answer
	// Agreement is, of detectors, the IoU of the first works (1 where neither finds one, 0 where only
	// one does); of embedders, the cosine of the vectors, NaN where they are of different spaces.
	Agreement float64
	// Nearest is, for each embedder, which other photo is nearest to this one; empty of detectors.
	Nearest [2]string
}

// Failure is a photo that one of the models had no answer to.
type Failure struct {
	File string
	Err  error
}

// Report is the outcome of a comparison.
type Report struct {
	// Pairs are the photos that both have answered, the worst agreement first.
	Pairs    []Pair
	Failures []Failure
}

// Detectors compares two detectors by the first work that each finds.
func Detectors(ctx context.Context, a Asker, photos []string) (*Report, error) {
	return compare(ctx, photos, func(ctx context.Context, role service.Role, photo []byte) (Answer, error) {
		crop, err := a.Crop(service.WithRole(ctx, modelrepo.TaskDetector, role), photo, service.CropOptions{Detections: 1})
		if err != nil {
			return Answer{}, err
		}
		return Answer{Crop: crop, Inference: service.Spent(crop.Timings, service.StageInfer)}, nil
	}, func(p *Pair) float64 {
		first, second := p.Answers[0].Crop.Detections, p.Answers[1].Crop.Detections
		return service.Agreement(first, second)
	})
}

// Embedders compares two embedders by the vectors of the photos as they are, and by which photos they
// hold for alike, for vectors of different spaces cannot be compared themselves.
func Embedders(ctx context.Context, a Asker, photos []string) (*Report, error) {
	report, err := compare(ctx, photos, func(ctx context.Context, role service.Role, photo []byte) (Answer, error) {
		e, err := a.Embed(service.WithRole(ctx, modelrepo.TaskEmbedder, role), photo, service.EmbedOptions{})
		if err != nil {
			return Answer{}, err
		}
		return Answer{Embedding: e, Inference: service.Spent(e.Timings, service.StageEmbed)}, nil
	}, func(p *Pair) float64 {
		first, second := p.Answers[0].Embedding, p.Answers[1].Embedding
		if first.Space.Name != second.Space.Name {
			return math.NaN()
		}
		return service.Cosine(first.Vector, second.Vector)
	})
	if err == nil {
		report.findNearest()
	}
	return report, err
}

// compare has every photo answered by both, which of them first in turns, so that neither gains by a
// machine that warms up or slows down.
func compare(ctx context.Context, photos []string, ask func(context.Context, service.Role, []byte) (Answer, error), agreement func(*Pair) float64) (*Report, error) {
	roles := [2]service.Role{service.RolePrimary, service.RoleShadow}
	report := &Report{}
	for i, file := range photos {
		photo, err := os.ReadFile(file)
		pair := Pair{File: file}
		for turn := range roles {
			if which := (turn + i) % len(roles); err == nil {
				pair.Answers[which], err = ask(ctx, roles[which], photo)
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("comparing: %w", ctx.Err())
		}
		if err != nil {
			report.Failures = append(report.Failures, Failure{file, err})
			continue
		}
		pair.Agreement = agreement(&pair)
		report.Pairs = append(report.Pairs, pair)
	}
	slices.SortStableFunc(report.Pairs, func(a, b Pair) int { return cmp.Compare(a.Agreement, b.Agreement) })
	return report, nil
}

// findNearest needs two photos at least.
func (r *Report) findNearest() {
	for i := range r.Pairs {
		for which := range r.Pairs[i].Answers {
			best := math.Inf(-1)
			for j := range r.Pairs {
				similarity := service.Cosine(r.Pairs[i].Answers[which].Embedding.Vector, r.Pairs[j].Answers[which].Embedding.Vector)
				if j != i && similarity > best {
					best, r.Pairs[i].Nearest[which] = similarity, r.Pairs[j].File
				}
			}
		}
	}
}

// Agreements are those of all pairs, ascending; empty where they cannot be told.
func (r *Report) Agreements() []float64 {
	var all []float64
	for _, p := range r.Pairs {
		if p.Agreement == p.Agreement {
			all = append(all, p.Agreement)
		}
	}
	return all
}

// Share is the share of the pairs of which that holds; NaN of none.
func (r *Report) Share(holds func(Pair) bool) float64 {
	n := 0
	for _, p := range r.Pairs {
		if holds(p) {
			n++
		}
	}
	return float64(n) / float64(len(r.Pairs))
}

// Inferences are the times of a model, the first (0) or the second (1), ascending.
func (r *Report) Inferences(which int) []time.Duration {
	var times []time.Duration
	for _, p := range r.Pairs {
		times = append(times, p.Answers[which].Inference)
	}
	slices.Sort(times)
	return times
}

// Quantile is the value of ascending values below which the share q of them lies; the zero value of
// none.
func Quantile[T any](ascending []T, q float64) T {
	var zero T
	if len(ascending) == 0 {
		return zero
	}
	return ascending[min(len(ascending)-1, int(q*float64(len(ascending))))]
}
