package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"os"
	"path/filepath"
	"strings"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/comparison"
	"github.com/lexicam/lexicrop/service/rest"
)

// What A and what B found.
var colours = [2]color.RGBA{{0, 200, 100, 255}, {255, 130, 0, 255}}

// drawDisagreements writes a picture for each of the worst pairs into a folder, the worst first by name:
// of detectors the photo with both boxes, of embedders the photo beside those that each holds for the
// nearest. Pairs that agree are left out.
func drawDisagreements(folder string, r *comparison.Report, most int, c *config.Config) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	letters, err := newSheet()
	if err != nil {
		return err
	}
	drawn := 0
	for _, p := range r.Pairs {
		if drawn == most {
			break
		}
		var picture *image.RGBA
		switch {
		case p.Answers[0].Crop != nil && p.Agreement < comparison.NearIoU:
			picture, err = letters.boxesOfBoth(p, c)
		case p.Answers[0].Embedding != nil && p.Nearest[0] != p.Nearest[1]:
			picture, err = letters.nearestOfBoth(p, c)
		default:
			continue
		}
		drawn++
		base := filepath.Base(p.File)
		name := fmt.Sprintf("%03d-%s.jpg", drawn, strings.TrimSuffix(base, filepath.Ext(base)))
		if err == nil {
			err = savePicture(filepath.Join(folder, name), picture)
		}
		if err != nil {
			return fmt.Errorf("drawing what the models say of %s: %w", p.File, err)
		}
	}
	return nil
}

const legendHeight = 36

// boxesOfBoth is the photo with the box of A and that of B, and a line that says so.
func (s *sheet) boxesOfBoth(p comparison.Pair, c *config.Config) (*image.RGBA, error) {
	const side = 1000
	photo, err := os.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	picture, scale, err := shrink(photo, p.Answers[0].Crop.Image, side, c)
	if err != nil {
		return nil, err
	}
	size := picture.Bounds().Size()
	all := white(image.Pt(max(size.X, side/2), size.Y+legendHeight))
	draw.Draw(all, picture.Bounds(), picture, image.Point{}, draw.Src)
	for i, name := range []string{"A", "B"} {
		text := name + " finds nothing"
		if found := p.Answers[i].Crop.Detections; len(found) > 0 {
			drawBox(all, found[0].Box.Scale(scale, scale), colours[i])
			text = fmt.Sprintf("%s: %s, score %.2f", name, found[0].Label, found[0].Score)
		}
		s.legend(all, 12+i*230, size.Y, colours[i], text)
	}
	return all, nil
}

// nearestOfBoth is the photo beside the one that A and the one that B holds for the nearest.
func (s *sheet) nearestOfBoth(p comparison.Pair, c *config.Config) (*image.RGBA, error) {
	all := white(image.Pt(3*(sheetPhoto+sheetMargin)+sheetMargin, sheetPhoto+2*sheetMargin+legendHeight))
	for i, file := range []string{p.File, p.Nearest[0], p.Nearest[1]} {
		photo, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		info, err := infoOf(photo, c)
		if err != nil {
			return nil, err
		}
		picture, _, err := shrink(photo, info, sheetPhoto, c)
		if err != nil {
			return nil, err
		}
		x := sheetMargin + i*(sheetPhoto+sheetMargin)
		place(all, picture, image.Rect(x, sheetMargin, x+sheetPhoto, sheetMargin+sheetPhoto))
		if i > 0 {
			s.legend(all, x, sheetPhoto+2*sheetMargin, colours[i-1], []string{"nearest by A", "nearest by B"}[i-1])
		}
	}
	return all, nil
}

func (s *sheet) legend(on *image.RGBA, x, y int, c color.RGBA, text string) {
	draw.Draw(on, image.Rect(x, y+10, x+16, y+26), image.NewUniform(c), image.Point{}, draw.Src)
	s.write(on, s.regular, x+24, y+24, text)
}

func white(size image.Point) *image.RGBA {
	all := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(all, all.Bounds(), image.White, image.Point{}, draw.Src)
	return all
}

// infoOf reads the header of a photo.
func infoOf(photo []byte, c *config.Config) (service.ImageInfo, error) {
	source, err := preprocess.Open(photo, rest.ServiceOptions(c).Limits)
	if err != nil {
		return service.ImageInfo{}, err
	}
	return source.Info(), nil
}
