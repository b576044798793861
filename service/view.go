package service

import (
	"context"
	"fmt"

	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service/detection"
)

// view is a photo, or a part of one, as the detector sees it.
type view struct {
	info     preprocess.Info
	tensor   *[]byte
	warnings []string
	// letterbox places region, a part of the upright photo at its original resolution, in the tensor.
	letterbox preprocess.Letterbox
	region    preprocess.Box
	// picture is kept for a second look; nil where it would take too much memory.
	picture  *preprocess.Picture
	detector *detector
}

// keptPixels is how many decoded pixels are kept while the network computes. Reduced by the codec, a
// photo of 12 megapixels has less than one.
const keptPixels = 4 << 20

// look decodes the photo and letterboxes it for the detector. It holds a slot of decoding no longer
// than it needs, so that the next photo is decoded while this one is inferred. keep says whether the
// picture will be looked at again.
func (s *Service) look(ctx context.Context, source *preprocess.Source, d *detector, keep bool, watch *stopwatch) (*view, error) {
	info := source.Info()
	weight, err := s.decoding.enter(ctx, decodeWeight(int64(info.Width)*int64(info.Height)))
	if err != nil {
		return nil, err
	}
	defer s.decoding.leave(weight)
	watch.lap(StageQueue)
	v := &view{
		info: info, detector: d,
		letterbox: d.letterbox(info.Width, info.Height),
		region:    preprocess.Box{X2: float64(info.Width), Y2: float64(info.Height)},
	}
	// A codec's own reduction is not as good as the resampling: it may not go all the way.
	inner := v.letterbox.Inner
	picture, err := source.Decode(preprocess.Oversampling*inner.Dx(), preprocess.Oversampling*inner.Dy())
	if err != nil {
		return nil, fmt.Errorf("decoding the photo: %w", err)
	}
	watch.lap(StageDecode)
	v.warnings = picture.Warnings()
	v.tensor = d.tensors.Get().(*[]byte)
	picture.Letterbox(*v.tensor, v.letterbox, d.contract.Pad)
	if w, h := picture.Size(); keep && w*h <= keptPixels {
		v.picture = picture
	} else {
		picture.Release()
	}
	watch.lap(StageLetterbox)
	return v, nil
}

// release gives the memory of the view back.
func (v *view) release() {
	v.detector.tensors.Put(v.tensor)
	if v.picture != nil {
		v.picture.Release()
	}
}

// detect asks the network for the works in a view, and again for the first of them where it is small.
// The caller holds a slot of inference, which serves everything that the request asks of networks: one
// that had its first answer is not sent away before its last.
func (s *Service) detect(ctx context.Context, d *detector, v *view, o CropOptions, watch *stopwatch) (string, []Detection, error) {
	version, candidates, err := v.infer(ctx, d, watch)
	if err != nil {
		return "", nil, err
	}
	found := detection.Select(candidates, detection.Selection{Max: o.Detections, MinScore: o.MinScore, NMS: s.options.NMS})
	if len(found) > 0 && v.picture != nil && found[0].Box.Area() < s.options.RefineBelow*v.region.Area() {
		if found[0].Box, err = v.refine(ctx, d, found[0].Box, watch); err != nil {
			return "", nil, err
		}
	}
	s.metrics.detections.Observe(float64(len(found)))
	detections := make([]Detection, len(found))
	for i, c := range found {
		detections[i] = Detection{Label: d.contract.Labels[c.Label], Score: c.Score, Salience: c.Salience, Box: c.Box}
	}
	return version, detections, nil
}

// infer asks the network. The candidates' boxes are in pixels of the upright photo and end where
// the view ends: what a network sees in the padding must not make two boxes of one work differ.
func (v *view) infer(ctx context.Context, d *detector, watch *stopwatch) (string, []detection.Candidate, error) {
	version, candidates, err := d.detect(ctx, *v.tensor)
	watch.lap(StageInfer)
	for i := range candidates {
		b := v.letterbox.ToSource(candidates[i].Box).Clamp(v.letterbox.SrcW, v.letterbox.SrcH)
		candidates[i].Box = b.Shift(v.region.X1, v.region.Y1)
	}
	return version, candidates, err
}

const (
	// closerMargin is how much of the work's surroundings a second look takes in on each side, as a
	// share of its box.
	closerMargin = 0.25
	// sameWork is the IoU from which a second look has found the same work.
	sameWork = 0.5
)

// refine looks a second time, from close by, at a work that is small in the photo: the network then
// sees it in many more pixels. The first box stays where that finds another work, or none.
func (v *view) refine(ctx context.Context, d *detector, first preprocess.Box, watch *stopwatch) (preprocess.Box, error) {
	r := first.Pad(closerMargin).Pixels(v.info.Width, v.info.Height)
	v.region = preprocess.Box{X1: float64(r.Min.X), Y1: float64(r.Min.Y), X2: float64(r.Max.X), Y2: float64(r.Max.Y)}
	v.letterbox = d.letterbox(r.Dx(), r.Dy())
	v.picture.LetterboxRegion(*v.tensor, v.letterbox, v.region, d.contract.Pad)
	watch.lap(StageLetterbox)
	_, candidates, err := v.infer(ctx, d, watch)
	if err != nil {
		return first, err
	}
	closer := detection.Select(candidates, detection.Selection{Max: 1, NMS: 1})
	if len(closer) == 0 || closer[0].Box.IoU(first) < sameWork {
		return first, nil
	}
	return closer[0].Box, nil
}
