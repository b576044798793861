package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"

	"golang.org/x/image/draw"

	"github.com/lexicam/lexicrop/bench"
	"github.com/lexicam/lexicrop/preprocess"
)

// picture is what is sent in one part of the measurements.
type picture struct {
	name  string
	files [][]byte
}

// forms are the requests that both services understand.
func (p picture) forms() ([]bench.Request, error) {
	forms := make([]bench.Request, len(p.files))
	for i, file := range p.files {
		var err error
		if forms[i], err = bench.Form("image", file); err != nil {
			return nil, err
		}
	}
	return forms, nil
}

// pictures are the photo that the app sends, an original of 12 megapixels, and several formats in turn.
func pictures() ([]picture, error) {
	scene, err := readScene()
	if err != nil {
		return nil, err
	}
	small, err := encodeJPEG(closer(scene, 320, 480), 92)
	if err != nil {
		return nil, err
	}
	large, err := encodeJPEG(closer(scene, 3024, 4032), 92)
	if err != nil {
		return nil, err
	}
	mixed, err := severalFormats(scene)
	if err != nil {
		return nil, err
	}
	return []picture{
		{fmt.Sprintf("320x480 JPEG, %d kB", len(small)/1000), [][]byte{small}},
		{fmt.Sprintf("12 megapixels JPEG, %.1f MB", float64(len(large))/1e6), [][]byte{large}},
		{"mixed: JPEG, grey JPEG, PNG, WebP of 0.15 to 1 megapixels", mixed},
	}, nil
}

func readScene() (image.Image, error) {
	content, err := os.ReadFile("docs/images/scene.jpg")
	if err != nil {
		return nil, err
	}
	return jpeg.Decode(bytes.NewReader(content))
}

// closer is the framed painting of the scene and what is around it.
func closer(scene image.Image, w, h int) *image.RGBA {
	photo := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(photo, photo.Bounds(), scene, image.Rect(180, 250, 880, 1183), draw.Src, nil)
	return photo
}

func severalFormats(scene image.Image) ([][]byte, error) {
	medium, err := encodeJPEG(closer(scene, 866, 1155), 90)
	if err != nil {
		return nil, err
	}
	grey := image.NewGray(image.Rect(0, 0, 600, 800))
	draw.Draw(grey, grey.Rect, closer(scene, 600, 800), image.Point{}, draw.Src)
	greyFile, err := encodeJPEG(grey, 90)
	if err != nil {
		return nil, err
	}
	var lossless bytes.Buffer
	if err := png.Encode(&lossless, closer(scene, 600, 800)); err != nil {
		return nil, err
	}
	source, err := preprocess.Open(medium, preprocess.Limits{MaxBytes: 1 << 30, MaxPixels: 1 << 30, MaxSide: 1 << 15})
	if err != nil {
		return nil, err
	}
	decoded, err := source.Decode(0, 0)
	if err != nil {
		return nil, err
	}
	defer decoded.Release()
	var webp bytes.Buffer
	if err := decoded.Encode(&webp, "webp", 85); err != nil {
		return nil, err
	}
	return [][]byte{medium, greyFile, lossless.Bytes(), webp.Bytes()}, nil
}

func encodeJPEG(m image.Image, quality int) ([]byte, error) {
	var out bytes.Buffer
	err := jpeg.Encode(&out, m, &jpeg.Options{Quality: quality})
	return out.Bytes(), err
}
