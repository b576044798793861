package service

import (
	"bytes"
	"context"
	"fmt"
	"image"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/preprocess/jpeg"
)

// EmbedOptions says what of a photo becomes a vector.
type EmbedOptions struct {
	// Crop finds the work in the photo and takes that alone; otherwise the photo is taken as it is.
	Crop bool
	// MinScore and Padding are those of CropOptions; without Crop they mean nothing.
	MinScore, Padding float64
}

// Embedding is a photo, or the work in it, as a vector.
type Embedding struct {
	Image ImageInfo
	// Region is what became the vector, in pixels of the upright photo at its original resolution.
	Region image.Rectangle
	// Work is what was found in the photo, nil where nothing was, or where nothing was looked for. It
	// may be another region than the one that was taken: see Options.MinArea.
	Work *Detection
	// Vector has length 1. Vectors can be compared within their Space.
	Vector []float32
	Space  index.Space
	// Model made the vector, Detector found the work; its name is empty where none was asked.
	Model, Detector ModelName
	Timings         []Timing
	Warnings        []string
}

// Embed makes a vector of photo, the bytes of a picture file, which must not change meanwhile. Every
// error is an *Error.
func (s *Service) Embed(ctx context.Context, photo []byte, o EmbedOptions) (*Embedding, error) {
	watch := startStopwatch()
	e, err := s.embed(ctx, photo, o, nil, watch)
	if err != nil {
		return nil, AsError(err)
	}
	e.Timings = watch.timings
	s.metrics.observe(watch)
	return e, nil
}

// embed makes a vector, and the thumbnail of what became it unless that is nil.
func (s *Service) embed(ctx context.Context, photo []byte, o EmbedOptions, t *thumbnail, watch *stopwatch) (*Embedding, error) {
	if s.embedder == nil {
		return nil, &Error{Code: CodeNotConfigured, Detail: "this server has no embedder: models.embedder.name is not set"}
	}
	embedder, err := s.embedder.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer embedder.release()
	source, err := preprocess.Open(photo, s.options.Limits)
	if err != nil {
		return nil, fmt.Errorf("opening the photo: %w", err)
	}
	j := &embedJob{
		Service: s, embedder: embedder, source: source, thumbnail: t, watch: watch,
		tensor: embedder.tensors.Get().(*[]byte),
		result: &Embedding{Image: source.Info(), Space: embedder.space()},
	}
	defer embedder.tensors.Put(j.tensor)
	if o.Crop {
		err = j.embedWork(ctx, o)
	} else {
		err = j.embedWhole(ctx)
	}
	if err == nil {
		s.compareEmbedding(ctx, photo, o, j.result, watch)
	}
	return j.result, err
}

// embedJob is one photo on its way to a vector.
type embedJob struct {
	*Service
	embedder  *embedder
	source    *preprocess.Source
	thumbnail *thumbnail // nil for none
	watch     *stopwatch
	tensor    *[]byte
	result    *Embedding
}

// embedWhole takes the photo as it is.
func (j *embedJob) embedWhole(ctx context.Context) error {
	j.result.Region = wholeOf(j.result.Image)
	if err := j.prepareAnew(ctx); err != nil {
		return err
	}
	slot, err := j.infering.enter(ctx, 1)
	if err != nil {
		return err
	}
	defer j.infering.leave(slot)
	j.watch.lap(StageQueue)
	return j.infer(ctx)
}

// embedWork finds the work first. Both networks are asked in one slot.
func (j *embedJob) embedWork(ctx context.Context, o EmbedOptions) error {
	detector, err := j.detector.ready(ctx)
	if err != nil {
		return err
	}
	defer detector.release()
	view, err := j.look(ctx, j.source, detector, true, j.watch)
	if err != nil {
		return err
	}
	defer view.release()
	j.result.Warnings = view.warnings
	slot, err := j.infering.enter(ctx, 1)
	if err != nil {
		return err
	}
	defer j.infering.leave(slot)
	j.watch.lap(StageQueue)
	version, found, err := j.detect(ctx, detector, view, CropOptions{Detections: 1, MinScore: o.MinScore}, j.watch)
	if err != nil {
		return fmt.Errorf("detecting: %w", err)
	}
	j.result.Detector = ModelName{detector.wanted.Name, version}
	if len(found) > 0 {
		j.result.Work = &found[0]
	}
	j.result.Region = j.searchRegion(found, j.result.Image, o.Padding)
	if view.picture != nil && j.isEnough(view.picture) {
		err = j.prepare(view.picture)
	} else {
		err = j.prepareAnew(ctx)
	}
	if err != nil {
		return err
	}
	return j.infer(ctx)
}

// searchRegion is the part of a photo that becomes its vector: the work, unless its box is so small or
// so large that the whole photo is the safer guess.
func (s *Service) searchRegion(found []Detection, info ImageInfo, padding float64) image.Rectangle {
	if len(found) == 0 {
		return wholeOf(info)
	}
	share := found[0].Box.Area() / (float64(info.Width) * float64(info.Height))
	if share < s.options.MinArea || share > s.options.MaxArea {
		return wholeOf(info)
	}
	return found[0].Box.Pad(padding).Pixels(info.Width, info.Height)
}

func wholeOf(info ImageInfo) image.Rectangle { return image.Rect(0, 0, info.Width, info.Height) }

// inner is the size of the region in the network's input.
func (j *embedJob) inner() image.Point {
	r := j.result.Region
	return j.embedder.letterbox(r.Dx(), r.Dy()).Inner.Size()
}

// keptOversampling is how many pixels of a picture that was decoded for the detector must lie behind
// one of the embedder's, a side, to do without decoding again.
const keptOversampling = 1.5

// isEnough tells whether the region has enough pixels in a picture of the whole photo.
func (j *embedJob) isEnough(kept *preprocess.Picture) bool {
	width, _ := kept.Size()
	ratio := float64(width) / float64(j.result.Image.Width)
	if ratio == 1 {
		return true // there are no more
	}
	region, inner := j.result.Region, j.inner()
	if j.thumbnail != nil { // of which the tensor is made then
		return float64(max(region.Dx(), region.Dy()))*ratio >= float64(j.thumbnail.side)
	}
	return float64(region.Dx())*ratio >= keptOversampling*float64(inner.X) &&
		float64(region.Dy())*ratio >= keptOversampling*float64(inner.Y)
}

// prepareAnew decodes the region and makes the tensor of it.
func (j *embedJob) prepareAnew(ctx context.Context) error {
	r, inner := j.result.Region, j.inner()
	weight, err := j.decoding.enter(ctx, decodeWeight(int64(r.Dx())*int64(r.Dy())))
	if err != nil {
		return err
	}
	defer j.decoding.leave(weight)
	j.watch.lap(StageQueue)
	var picture *preprocess.Picture
	if r == wholeOf(j.result.Image) {
		w, h := preprocess.Oversampling*inner.X, preprocess.Oversampling*inner.Y
		picture, err = j.source.Decode(w, h)
	} else {
		picture, err = j.source.DecodeRegion(r)
	}
	if err != nil {
		return fmt.Errorf("decoding the photo: %w", err)
	}
	defer picture.Release()
	j.watch.lap(StageDecode)
	if j.result.Warnings == nil {
		j.result.Warnings = picture.Warnings()
	}
	return j.prepare(picture)
}

// prepare makes the tensor of a picture that has the region. Where a thumbnail is wanted, the tensor is
// made of that: so what is kept gives the same vector whenever it is embedded again.
func (j *embedJob) prepare(picture *preprocess.Picture) error {
	r := j.result.Region
	box := Box{X1: float64(r.Min.X), Y1: float64(r.Min.Y), X2: float64(r.Max.X), Y2: float64(r.Max.Y)}
	letterbox := j.embedder.letterbox(r.Dx(), r.Dy())
	if j.thumbnail != nil {
		if err := j.thumbnail.make(picture, box); err != nil {
			return fmt.Errorf("making the thumbnail: %w", err)
		}
		j.watch.lap(StageEncode)
		small, err := j.thumbnail.decode(j.inner())
		if err != nil {
			return fmt.Errorf("reading the thumbnail: %w", err)
		}
		defer small.Release()
		j.watch.lap(StageDecode)
		w, h := small.Bounds().Dx(), small.Bounds().Dy()
		picture, box, letterbox = small, Box{X2: float64(w), Y2: float64(h)}, j.embedder.letterbox(w, h)
	}
	picture.LetterboxRegion(*j.tensor, letterbox, box, j.embedder.contract.Pad)
	j.watch.lap(StageLetterbox)
	return nil
}

// infer asks the network.
func (j *embedJob) infer(ctx context.Context) error {
	version, vector, err := j.embedder.embed(ctx, *j.tensor)
	j.watch.lap(StageEmbed)
	if err != nil {
		return fmt.Errorf("embedding: %w", err)
	}
	j.result.Vector, j.result.Model = vector, ModelName{j.embedder.wanted.Name, version}
	return nil
}

// thumbnail is a region as a small JPEG.
type thumbnail struct {
	side int // of the longer side, at most
	jpeg []byte
}

// thumbnailQuality leaves so little trace that another embedder finds the same in it.
const thumbnailQuality = 90

func (t *thumbnail) make(picture *preprocess.Picture, b Box) error {
	scale := min(1, float64(t.side)/max(b.Width(), b.Height()))
	w, h := max(1, int(b.Width()*scale+0.5)), max(1, int(b.Height()*scale+0.5))
	pixels := make([]byte, 3*w*h)
	picture.ResizeRegion(pixels, w, h, b)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, pixels, 3*w, w, h, thumbnailQuality, nil); err != nil {
		return err
	}
	t.jpeg = out.Bytes()
	return nil
}

// decode reads it as embedding it again will, for a network that sees inner of it.
func (t *thumbnail) decode(inner image.Point) (*preprocess.Picture, error) {
	source, err := preprocess.Open(t.jpeg, preprocess.DefaultLimits)
	if err != nil {
		return nil, err
	}
	return source.Decode(preprocess.Oversampling*inner.X, preprocess.Oversampling*inner.Y)
}
