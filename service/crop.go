package service

import (
	"context"
	"fmt"
	"image"
	"io"

	"github.com/lexicam/lexicrop/preprocess"
)

// CropOptions says what a caller wants of a crop.
type CropOptions struct {
	// Detections is the largest number of works to return, at least 1.
	Detections int
	// MinScore leaves out works with a lower score.
	MinScore float64
	// Padding widens the crop on each side by this share of the box's width and height.
	Padding float64
}

// Crop is where the works are in a photo. All boxes are in pixels of the upright photo at its
// original resolution.
type Crop struct {
	Image      ImageInfo
	Detections []Detection
	// Crop is the first detection after padding, in whole pixels inside the photo; empty when
	// nothing is found.
	Crop     image.Rectangle
	Model    ModelName
	Timings  []Timing
	Warnings []string
}

// Box is a rectangle in pixels of the upright photo at its original resolution.
type Box = preprocess.Box

// ImageInfo is what the header of a photo says.
type ImageInfo = preprocess.Info

// Detection is one work in a photo.
type Detection struct {
	Label string
	// Score is how sure it is, 0..1, that this is a work at all.
	Score float64
	// Salience is how likely, 0..1, it is the work that was meant.
	Salience float64
	Box      Box
}

// Crop finds the works in photo, the bytes of a picture file, which must not change meanwhile.
// Every error is an *Error.
func (s *Service) Crop(ctx context.Context, photo []byte, o CropOptions) (*Crop, error) {
	watch := startStopwatch()
	_, crop, err := s.find(ctx, photo, o, watch)
	if err != nil {
		return nil, AsError(err)
	}
	crop.Timings = watch.timings
	s.metrics.observe(watch)
	return crop, nil
}

// CropImage finds the works in photo and writes the crop of the first to w: upright, at the
// original resolution, without metadata, in the photo's own colour space. format is jpeg, png or
// webp, quality 1..100. Where nothing is found and the whole photo is not asked for instead, the
// error is of CodeNoArtwork.
func (s *Service) CropImage(ctx context.Context, photo []byte, o CropOptions, w io.Writer, format string, quality int) (*Crop, error) {
	watch := startStopwatch()
	source, crop, err := s.find(ctx, photo, o, watch)
	if err != nil {
		return nil, AsError(err)
	}
	if crop.Crop.Empty() {
		return nil, &Error{Code: CodeNoArtwork, Detail: "no artwork was found, so there is nothing to crop"}
	}
	weight, err := s.decoding.enter(ctx, decodeWeight(int64(crop.Crop.Dx())*int64(crop.Crop.Dy())))
	if err != nil {
		return nil, AsError(err)
	}
	defer s.decoding.leave(weight)
	watch.lap(StageQueue)
	picture, err := source.DecodeRegion(crop.Crop, preprocess.KeepProfile)
	if err != nil {
		return nil, AsError(fmt.Errorf("decoding the crop: %w", err))
	}
	defer picture.Release()
	watch.lap(StageDecode)
	if err := picture.Encode(w, format, quality); err != nil {
		return nil, AsError(fmt.Errorf("encoding the crop: %w", err))
	}
	watch.lap(StageEncode)
	crop.Timings = watch.timings
	s.metrics.observe(watch)
	return crop, nil
}

// find decodes the photo and detects the works in it.
func (s *Service) find(ctx context.Context, photo []byte, o CropOptions, watch *stopwatch) (*preprocess.Source, *Crop, error) {
	detector, err := s.detector.ready(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer detector.release()
	source, err := preprocess.Open(photo, s.options.Limits)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the photo: %w", err)
	}
	info := source.Info()
	view, err := s.look(ctx, source, detector, s.options.RefineBelow > 0, watch)
	if err != nil {
		return nil, nil, err
	}
	defer view.release()
	slot, err := s.infering.enter(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	defer s.infering.leave(slot)
	watch.lap(StageQueue)
	version, found, err := s.detect(ctx, detector, view, o, watch)
	if err != nil {
		return nil, nil, fmt.Errorf("detecting: %w", err)
	}
	crop := &Crop{Image: info, Detections: found, Model: ModelName{detector.wanted.Name, version}, Warnings: view.warnings}
	crop.Crop = s.cropRegion(found, info, o.Padding)
	s.compareCrop(ctx, photo, o, crop, watch)
	return source, crop, nil
}

func (s *Service) cropRegion(found []Detection, info preprocess.Info, padding float64) image.Rectangle {
	switch {
	case len(found) > 0:
		return found[0].Box.Pad(padding).Pixels(info.Width, info.Height)
	case s.options.CropAll:
		return image.Rect(0, 0, info.Width, info.Height)
	default:
		return image.Rectangle{}
	}
}

// decodeWeight is how many slots a picture takes: a large one needs the memory of several.
func decodeWeight(pixels int64) int64 {
	const ordinary = 32 << 20
	return 1 + pixels/ordinary
}
