package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"slices"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/rest"
)

// drawnSide is the longer side of a drawing, in pixels: enough to judge a box by eye.
const drawnSide = 1600

// drawBoxes writes photo to the file name, reduced to drawnSide, with the boxes of crop: the first
// in green, the others in orange.
func drawBoxes(name string, photo []byte, crop *service.Crop, c *config.Config) error {
	drawing, scale, err := shrink(photo, crop.Image, drawnSide, c)
	if err != nil {
		return fmt.Errorf("drawing %s: %w", name, err)
	}
	for i, d := range slices.Backward(crop.Detections) {
		outline := color.RGBA{255, 160, 0, 255}
		if i == 0 {
			outline = color.RGBA{0, 200, 100, 255}
		}
		drawBox(drawing, d.Box.Scale(scale, scale), outline)
	}
	return savePicture(name, drawing)
}

// savePicture writes a PNG or a JPEG, by the name.
func savePicture(name string, picture image.Image) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if formatOf(name) == "png" {
		err = png.Encode(file, picture)
	} else {
		err = jpeg.Encode(file, picture, &jpeg.Options{Quality: 90})
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// shrink decodes a photo with its longer side reduced to at most side pixels.
func shrink(photo []byte, info service.ImageInfo, side float64, c *config.Config) (*image.RGBA, float64, error) {
	source, err := preprocess.Open(photo, rest.ServiceOptions(c).Limits)
	if err != nil {
		return nil, 0, err
	}
	scale := min(1, side/float64(max(info.Width, info.Height)))
	w, h := max(1, int(math.Round(float64(info.Width)*scale))), max(1, int(math.Round(float64(info.Height)*scale)))
	picture, err := source.Decode(w, h)
	if err != nil {
		return nil, 0, err
	}
	defer picture.Release()
	rgb := make([]byte, 3*w*h)
	picture.ResizeRegion(rgb, w, h, preprocess.Box{X2: float64(info.Width), Y2: float64(info.Height)})
	drawing := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(drawing.Pix[4*i:4*i+3], rgb[3*i:3*i+3])
		drawing.Pix[4*i+3] = 255
	}
	return drawing, scale, nil
}

func drawBox(drawing *image.RGBA, b preprocess.Box, outline color.RGBA) {
	bounds := drawing.Bounds()
	r := b.Pixels(bounds.Dx(), bounds.Dy())
	thick := max(2, max(bounds.Dx(), bounds.Dy())/300)
	for _, edge := range []image.Rectangle{
		image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+thick), image.Rect(r.Min.X, r.Max.Y-thick, r.Max.X, r.Max.Y),
		image.Rect(r.Min.X, r.Min.Y, r.Min.X+thick, r.Max.Y), image.Rect(r.Max.X-thick, r.Min.Y, r.Max.X, r.Max.Y),
	} {
		draw.Draw(drawing, edge.Intersect(bounds), image.NewUniform(outline), image.Point{}, draw.Src)
	}
}
