package rest

import (
	"fmt"
	"image"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
)

// cropFormats are the formats that a crop can be answered in.
var cropFormats = []api.CropFormat{api.CropFormatJPEG, api.CropFormatPNG, api.CropFormatWebP}

// photoField is the field of a form or a JSON object that holds the photo.
const photoField = "image"

func (s *Server) crop(c echo.Context) error {
	start := time.Now()
	upload, err := s.receive(c, uploadFields{photo: photoField})
	defer upload.release()
	if err != nil {
		return err
	}
	options, err := parseCropOptions(upload.options, s.cropDefaults(), s.config.Limits.MaxDetections)
	if err != nil {
		return err
	}
	received := time.Since(start)
	if options.output == api.OutputImage {
		return s.cropImage(c, upload.photo, options, start, received)
	}
	result, err := s.service.Crop(c.Request().Context(), upload.photo, options.CropOptions)
	if err != nil {
		return err
	}
	answer := CropResult(result)
	writeHeaders(c, result.Timings, start, received, result.Model)
	complete(answer.TimingsMs, start, received)
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) cropImage(c echo.Context, photo []byte, o cropOptions, start time.Time, received time.Duration) error {
	picture := s.buffers.get()
	defer s.buffers.put(picture)
	result, err := s.service.CropImage(c.Request().Context(), photo, o.CropOptions, picture, string(o.format), o.quality)
	if err != nil {
		return err
	}
	writeHeaders(c, result.Timings, start, received, result.Model)
	r := result.Crop
	c.Response().Header().Set("Lexicrop-Crop", fmt.Sprintf("%d,%d,%d,%d", r.Min.X, r.Min.Y, r.Max.X, r.Max.Y))
	return c.Blob(http.StatusOK, "image/"+string(o.format), picture.Bytes())
}

func (s *Server) detect(c echo.Context) error { return s.original(c, photoField) }

func (s *Server) detectBase64(c echo.Context) error { return s.original(c, "base64") }

// nothingFound is the original service's answer where it found no artwork.
var nothingFound = api.Box{0.25, 0.25, 0.75, 0.75}

// original answers as the service that this one replaces: one normalised box, always.
func (s *Server) original(c echo.Context, field string) error {
	start := time.Now()
	upload, err := s.receive(c, uploadFields{photo: field})
	defer upload.release()
	if err != nil {
		return err
	}
	if err := refuseOptions(upload.options); err != nil {
		return err
	}
	received := time.Since(start)
	options := s.cropDefaults().CropOptions
	options.Detections = 1
	result, err := s.service.Crop(c.Request().Context(), upload.photo, options)
	if err != nil {
		return err
	}
	writeHeaders(c, result.Timings, start, received, result.Model)
	answer := api.DetectResult{Bbox: nothingFound}
	if len(result.Detections) > 0 {
		answer.Bbox = normalized(result.Detections[0].Box, result.Image)
	}
	return c.JSON(http.StatusOK, answer)
}

// receive reads the photo and the options of a request.
func (s *Server) receive(c echo.Context, fields uploadFields) (*upload, error) {
	return readUpload(c.Request(), fields, int64(s.config.Limits.MaxBodyBytes), s.buffers)
}

// cropDefaults are the options of a request that has none.
func (s *Server) cropDefaults() cropOptions {
	crop := s.config.Crop
	return cropOptions{
		CropOptions: service.CropOptions{Detections: crop.Detections, MinScore: crop.MinScore, Padding: crop.Padding},
		output:      api.OutputJSON,
		format:      api.CropFormatJPEG,
		quality:     crop.JPEGQuality,
	}
}

// CropResult is r as the API answers it, with the times of its stages.
func CropResult(r *service.Crop) api.CropResult {
	answer := api.CropResult{
		Image:      imageOf(r.Image),
		Detections: make([]api.Detection, len(r.Detections)),
		Model:      api.Model(r.Model),
		TimingsMs:  timingsOf(r.Timings),
		Warnings:   append([]string{}, r.Warnings...),
	}
	for i, d := range r.Detections {
		answer.Detections[i] = detectionOf(d, r.Image)
	}
	if !r.Crop.Empty() {
		region := regionOf(r.Crop)
		answer.Crop = &region
	}
	return answer
}

func imageOf(i service.ImageInfo) api.Image {
	return api.Image{Width: i.Width, Height: i.Height, Format: i.Format, Orientation: i.Orientation}
}

func detectionOf(d service.Detection, image service.ImageInfo) api.Detection {
	return api.Detection{
		Label: d.Label, Score: round(d.Score, 4), Salience: round(d.Salience, 4),
		Box:           api.Box{round(d.Box.X1, 2), round(d.Box.Y1, 2), round(d.Box.X2, 2), round(d.Box.Y2, 2)},
		BoxNormalized: normalized(d.Box, image),
	}
}

func regionOf(r image.Rectangle) []int { return []int{r.Min.X, r.Min.Y, r.Max.X, r.Max.Y} }

func timingsOf(timings []service.Timing) map[string]float64 {
	answer := make(map[string]float64, len(timings)+2)
	for _, t := range timings {
		answer[t.Stage] = milliseconds(t.Duration)
	}
	return answer
}

// complete adds the time that the service does not see to that of its stages.
func complete(timings map[string]float64, start time.Time, received time.Duration) {
	timings["read"], timings["total"] = milliseconds(received), milliseconds(time.Since(start))
}

func normalized(b service.Box, image service.ImageInfo) api.Box {
	w, h := float64(image.Width), float64(image.Height)
	return api.Box{round(b.X1/w, 6), round(b.Y1/h, 6), round(b.X2/w, 6), round(b.Y2/h, 6)}
}

// round leaves out digits that mean nothing and cost the phone bytes.
func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// writeHeaders says in headers which models answered and where the time went.
func writeHeaders(c echo.Context, timings []service.Timing, start time.Time, received time.Duration, models ...service.ModelName) {
	var timing strings.Builder
	fmt.Fprintf(&timing, "read;dur=%g", milliseconds(received))
	for _, t := range timings {
		fmt.Fprintf(&timing, ", %s;dur=%g", t.Stage, milliseconds(t.Duration))
	}
	fmt.Fprintf(&timing, ", total;dur=%g", milliseconds(time.Since(start)))
	c.Response().Header().Set("Server-Timing", timing.String())
	var names []string
	for _, m := range models {
		if m.Name != "" {
			names = append(names, m.Name+"/"+m.Version)
		}
	}
	if len(names) > 0 {
		c.Response().Header().Set("Lexicrop-Model", strings.Join(names, ", "))
	}
}

func milliseconds(d time.Duration) float64 {
	return round(float64(d)/float64(time.Millisecond), 2)
}
