package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strings"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service"
)

// sheet is a picture that shows each photo beside the works found for it.
type sheet struct {
	rows          []*image.RGBA
	regular, bold font.Face
}

// Measures of a sheet in pixels.
const (
	sheetPhoto  = 420 // the longer side of a photo at most
	sheetWork   = 240 // the same of a work
	sheetText   = 84  // the height of the lines under a work
	sheetMargin = 20
	sheetWorks  = 5
)

func newSheet() (*sheet, error) {
	s := &sheet{}
	for _, f := range []struct {
		face *font.Face
		ttf  []byte
	}{{&s.regular, goregular.TTF}, {&s.bold, gobold.TTF}} {
		parsed, err := opentype.Parse(f.ttf)
		if err != nil {
			return nil, fmt.Errorf("reading the font: %w", err)
		}
		if *f.face, err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: 15, DPI: 72, Hinting: font.HintingFull}); err != nil {
			return nil, fmt.Errorf("reading the font: %w", err)
		}
	}
	return s, nil
}

// found is a work that was found, with its picture; nil where none is kept.
type found struct {
	service.Match
	crop []byte
}

// add draws a row: the photo with the region that was searched, and the works found, sheetWorks at most.
func (s *sheet) add(photo []byte, search *service.Search, works []found, c *config.Config) error {
	picture, scale, err := shrink(photo, search.Image, sheetPhoto, c)
	if err != nil {
		return err
	}
	r := search.Region
	drawBox(picture, preprocess.Box{
		X1: float64(r.Min.X) * scale, Y1: float64(r.Min.Y) * scale, X2: float64(r.Max.X) * scale, Y2: float64(r.Max.Y) * scale,
	}, color.RGBA{0, 200, 100, 255})
	row := image.NewRGBA(image.Rect(0, 0, sheetPhoto+2*sheetMargin+max(1, len(works))*(sheetWork+sheetMargin), sheetPhoto+2*sheetMargin))
	draw.Draw(row, row.Bounds(), image.White, image.Point{}, draw.Src)
	place(row, picture, image.Rect(sheetMargin, sheetMargin, sheetMargin+sheetPhoto, sheetMargin+sheetPhoto))
	if len(works) == 0 {
		s.write(row, s.bold, sheetPhoto+2*sheetMargin, sheetMargin+sheetPhoto/2, "nothing found")
	}
	for i, w := range works {
		x := sheetPhoto + 2*sheetMargin + i*(sheetWork+sheetMargin)
		if err := s.work(row, image.Rect(x, sheetMargin, x+sheetWork, row.Bounds().Dy()-sheetMargin), w); err != nil {
			return err
		}
	}
	s.rows = append(s.rows, row)
	return nil
}

func (s *sheet) work(row *image.RGBA, r image.Rectangle, w found) error {
	middle := image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Max.Y-sheetText)
	if w.crop != nil {
		crop, err := jpeg.Decode(bytes.NewReader(w.crop))
		if err != nil {
			return fmt.Errorf("the crop of work %s: %w", w.Work.ID, err)
		}
		scale := min(1, float64(sheetWork)/float64(max(crop.Bounds().Dx(), crop.Bounds().Dy())))
		small := image.NewRGBA(image.Rect(0, 0, max(1, int(float64(crop.Bounds().Dx())*scale)), max(1, int(float64(crop.Bounds().Dy())*scale))))
		xdraw.CatmullRom.Scale(small, small.Bounds(), crop, crop.Bounds(), xdraw.Src, nil)
		place(row, small, middle)
	} else {
		s.write(row, s.regular, r.Min.X, (middle.Min.Y+middle.Max.Y)/2, "no crop is kept")
	}
	about := w.Work.Artist
	if w.Work.Year != 0 {
		about = strings.TrimPrefix(fmt.Sprintf("%s, %d", about, w.Work.Year), ", ")
	}
	y := r.Max.Y - sheetText + 24
	s.write(row, s.bold, r.Min.X, y, fmt.Sprintf("%.3f", w.Similarity))
	s.write(row, s.regular, r.Min.X, y+22, s.fit(titleOf(w.Work)))
	s.write(row, s.regular, r.Min.X, y+44, s.fit(about))
	return nil
}

// titleOf is what people know a work by.
func titleOf(w service.Work) string {
	if w.Title == "" {
		return w.ID
	}
	return w.Title
}

// fit shortens a text to the width of a work.
func (s *sheet) fit(text string) string {
	runes := []rune(text)
	for n := len(runes); n > 0; n-- {
		if n < len(runes) {
			text = string(runes[:n]) + "…"
		}
		if font.MeasureString(s.regular, text) <= fixed.I(sheetWork) {
			break
		}
	}
	return text
}

func (s *sheet) write(on *image.RGBA, face font.Face, x, y int, text string) {
	(&font.Drawer{Dst: on, Src: image.Black, Face: face, Dot: fixed.P(x, y)}).DrawString(text)
}

// place draws a picture into the middle of r.
func place(on *image.RGBA, picture image.Image, r image.Rectangle) {
	size := picture.Bounds().Size()
	at := r.Min.Add(r.Size().Sub(size).Div(2))
	draw.Draw(on, image.Rectangle{at, at.Add(size)}, picture, picture.Bounds().Min, draw.Src)
}

// save writes the rows below one another, as a PNG or a JPEG by the name.
func (s *sheet) save(name string) error {
	var size image.Point
	for _, row := range s.rows {
		size = image.Pt(max(size.X, row.Bounds().Dx()), size.Y+row.Bounds().Dy())
	}
	if size.Y == 0 {
		return nil // every photo failed
	}
	all := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(all, all.Bounds(), image.White, image.Point{}, draw.Src)
	y := 0
	for _, row := range s.rows {
		draw.Draw(all, row.Bounds().Add(image.Pt(0, y)), row, image.Point{}, draw.Src)
		y += row.Bounds().Dy()
	}
	return savePicture(name, all)
}
