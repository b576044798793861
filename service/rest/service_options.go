package rest

import (
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

// ServiceOptions is what a configuration says of the service. The catalogue is left to the caller to
// open.
func ServiceOptions(c *config.Config) service.Options {
	o := service.Options{
		Limits:      service.Limits{MaxBytes: int64(c.Limits.MaxBodyBytes), MaxPixels: c.Limits.MaxPixels, MaxSide: c.Limits.MaxSide},
		Detector:    service.ModelName{Name: c.Models.Detector.Name, Version: c.Models.Detector.Version},
		Embedder:    service.ModelName{Name: c.Models.Embedder.Name, Version: c.Models.Embedder.Version},
		DecodeSlots: c.Admission.DecodeSlots, DecodeQueue: c.Admission.DecodeQueue,
		InferSlots: c.Admission.InferSlots, InferQueue: c.Admission.InferQueue,
		NMS: c.Crop.NMSIoU, RefineBelow: c.Crop.RefineBelow, CropAll: c.Crop.Fallback == config.FallbackFull,
		MinArea: c.Search.MinArea, MaxArea: c.Search.MaxArea,
		LoadTimeout: c.Triton.LoadTimeout,
	}
	if c.Index.KeepCrops {
		o.CropSide = c.Index.CropSide
	}
	return o
}
