// Package evaluation measures a detector as it is served, photo file in and box out, against photos
// that people have labelled.
package evaluation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service"
)

// MissIoU is the overlap with the labelled box under which a work counts as missed.
const MissIoU = 0.5

// Photo is a photo with the works that people see in it.
type Photo struct {
	File string
	// Main is the one work that was meant, All every work, Main too: what is seen inside the frame,
	// in pixels of the upright photo.
	Main preprocess.Box
	All  []preprocess.Box
}

// Cropper finds works in a photo; (*service.Service) is one.
type Cropper interface {
	Crop(ctx context.Context, photo []byte, o service.CropOptions) (*service.Crop, error)
}

// Report is what an evaluation has found.
type Report struct {
	Photos int
	// MeanIoU is that of the first detection with the work that was meant, 0 where nothing was found.
	MeanIoU float64
	// Misses counts the photos where that IoU is under MissIoU.
	Misses int
	// AnyMeanIoU and AnyMisses are the same with whichever work fits best: where several of equal
	// weight are in view, nobody can know the one that was meant.
	AnyMeanIoU float64
	AnyMisses  int
	// Median is the time of one inference, there and back.
	Median time.Duration
	// Worst are the photos by their IoU, the worst first.
	Worst []Result
}

// Result is the IoU of one photo.
type Result struct {
	File     string
	IoU, Any float64
}

// Load reads the photos that labels.json in dir describes.
func Load(dir string) ([]Photo, error) {
	path := filepath.Join(dir, "labels.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the labels: %w", err)
	}
	var labels []struct {
		File  string `json:"file"`
		Works []struct {
			Inner [4]float64 `json:"inner"`
			Main  bool       `json:"main"`
		} `json:"works"`
	}
	if err := json.Unmarshal(text, &labels); err != nil {
		return nil, fmt.Errorf("reading the labels in %s: %w", path, err)
	}
	var photos []Photo
	for _, l := range labels {
		p := Photo{File: filepath.Join(dir, l.File)}
		for _, w := range l.Works {
			box := preprocess.Box{X1: w.Inner[0], Y1: w.Inner[1], X2: w.Inner[2], Y2: w.Inner[3]}
			if box.Empty() {
				return nil, fmt.Errorf("%s: the box %v of %s is empty", path, w.Inner, l.File)
			}
			p.All = append(p.All, box)
			if w.Main {
				p.Main = box
			}
		}
		if p.Main.Empty() {
			return nil, fmt.Errorf("%s: %s has no main work", path, l.File)
		}
		photos = append(photos, p)
	}
	if len(photos) == 0 {
		return nil, fmt.Errorf("%s has no photos", path)
	}
	return photos, nil
}

// Evaluate crops every photo. A photo that fails ends it.
func Evaluate(ctx context.Context, c Cropper, photos []Photo) (*Report, error) {
	if len(photos) == 0 {
		return nil, errors.New("no photos to evaluate on")
	}
	report := &Report{Photos: len(photos)}
	var times []time.Duration
	for _, p := range photos {
		data, err := os.ReadFile(p.File)
		if err != nil {
			return nil, fmt.Errorf("evaluating: %w", err)
		}
		crop, err := c.Crop(ctx, data, service.CropOptions{Detections: 1})
		if err != nil {
			return nil, fmt.Errorf("evaluating %s: %w", p.File, err)
		}
		report.add(p, crop)
		times = append(times, service.Spent(crop.Timings, service.StageInfer))
	}
	report.MeanIoU /= float64(len(photos))
	report.AnyMeanIoU /= float64(len(photos))
	slices.Sort(times)
	report.Median = times[len(times)/2]
	slices.SortFunc(report.Worst, func(a, b Result) int { return cmp.Compare(a.IoU, b.IoU) })
	return report, nil
}

func (r *Report) add(p Photo, crop *service.Crop) {
	result := Result{File: p.File}
	if len(crop.Detections) > 0 {
		found := crop.Detections[0].Box
		result.IoU = found.IoU(p.Main)
		for _, work := range p.All {
			result.Any = max(result.Any, found.IoU(work))
		}
	}
	r.MeanIoU += result.IoU
	r.AnyMeanIoU += result.Any
	if result.IoU < MissIoU {
		r.Misses++
	}
	if result.Any < MissIoU {
		r.AnyMisses++
	}
	r.Worst = append(r.Worst, result)
}
