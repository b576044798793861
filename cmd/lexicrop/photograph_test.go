package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"testing"
)

// photograph is a photo of a picture as a visitor takes it, a JPEG: in a frame on a wall, from aside, in
// coloured light that falls off and glares, a little blurred and noisy. A seed always gives the same photo.
func photograph(t testing.TB, picture image.Image, seed uint64) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	const width, height = 480, 640
	outer := quadrilateral(r, width, height, picture.Bounds())
	back := invert(toQuadrilateral(outer))
	frame := 0.05 + 0.05*r.Float64() // of the framed picture's side
	light := newLight(r, width, height)
	wall := vector{150 + 60*r.Float64(), 150 + 60*r.Float64(), 150 + 60*r.Float64()}
	wood := vector{60 + 80*r.Float64(), 40 + 60*r.Float64(), 20 + 40*r.Float64()}
	photo := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			var sum vector
			// Four looks into every pixel, half a pixel too far apart: a lens that is not quite sharp.
			for _, d := range [4][2]float64{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
				u, v := back.apply(float64(x)+1.5*d[0]-0.25, float64(y)+1.5*d[1]-0.25)
				sum = sum.add(look(picture, u, v, frame, wall, wood))
			}
			c := light.on(sum.times(0.25), float64(x), float64(y))
			noise := 4 * r.NormFloat64()
			photo.SetRGBA(x, y, color.RGBA{level(c[0] + noise), level(c[1] + noise), level(c[2] + noise), 255})
		}
	}
	return encodeJPEG(t, photo, 75)
}

// quadrilateral is where the corners of the framed picture are in the photo, clockwise from the top left.
func quadrilateral(r *rand.Rand, width, height float64, picture image.Rectangle) (corners [4][2]float64) {
	w := width * (0.6 + 0.2*r.Float64())
	h := min(w*float64(picture.Dy())/float64(picture.Dx()), 0.85*height)
	x, y := (width-w)*(0.3+0.4*r.Float64()), (height-h)*(0.3+0.4*r.Float64())
	for i, c := range [4][2]float64{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}} {
		corners[i] = [2]float64{c[0] + 0.05*width*(2*r.Float64()-1), c[1] + 0.05*width*(2*r.Float64()-1)}
	}
	return corners
}

// look is the colour at u, v of the framed picture, which goes from 0 to 1, or of the wall around it.
func look(picture image.Image, u, v, frame float64, wall, wood vector) vector {
	edge := min(u, v, 1-u, 1-v)
	switch {
	case edge < 0:
		return wall
	case edge < frame:
		return wood.times(0.7 + 0.6*math.Abs(math.Sin(math.Pi*edge/frame)))
	}
	b := picture.Bounds()
	x := float64(b.Min.X) + (u-frame)/(1-2*frame)*float64(b.Dx()-1)
	y := float64(b.Min.Y) + (v-frame)/(1-2*frame)*float64(b.Dy()-1)
	x0, y0 := int(x), int(y)
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := min(x0+1, b.Max.X-1), min(y0+1, b.Max.Y-1)
	return at(picture, x0, y0).times((1 - fx) * (1 - fy)).add(at(picture, x1, y0).times(fx * (1 - fy))).
		add(at(picture, x0, y1).times((1 - fx) * fy)).add(at(picture, x1, y1).times(fx * fy))
}

func at(m image.Image, x, y int) vector {
	r, g, b, _ := m.At(x, y).RGBA()
	return vector{float64(r) / 257, float64(g) / 257, float64(b) / 257}
}

// light is what falls on a wall.
type light struct {
	cast           vector
	x, y           float64 // where the lamp glares
	glare, radius  float64
	falloff, width float64
}

func newLight(r *rand.Rand, width, height float64) light {
	return light{
		cast: vector{0.85 + 0.25*r.Float64(), 0.85 + 0.2*r.Float64(), 0.75 + 0.3*r.Float64()},
		x:    width * (0.2 + 0.6*r.Float64()), y: height * (0.2 + 0.6*r.Float64()),
		glare: 90 * r.Float64(), radius: width * (0.05 + 0.1*r.Float64()),
		falloff: 0.3 * (2*r.Float64() - 1), width: width,
	}
}

func (l light) on(c vector, x, y float64) vector {
	shade := 1 + l.falloff*(x/l.width-0.5)
	glare := l.glare * math.Exp(-((x-l.x)*(x-l.x)+(y-l.y)*(y-l.y))/(2*l.radius*l.radius))
	for i := range c {
		c[i] = c[i]*l.cast[i]*shade + glare
	}
	return c
}

type vector [3]float64

func (a vector) add(b vector) vector { return vector{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }

func (a vector) times(f float64) vector { return vector{a[0] * f, a[1] * f, a[2] * f} }

// homography maps points of a plane as a camera does.
type homography [9]float64

func (m homography) apply(x, y float64) (u, v float64) {
	w := m[6]*x + m[7]*y + m[8]
	return (m[0]*x + m[1]*y + m[2]) / w, (m[3]*x + m[4]*y + m[5]) / w
}

// toQuadrilateral maps the unit square to four corners (Heckbert, Fundamentals of Texture Mapping, 1989).
func toQuadrilateral(c [4][2]float64) homography {
	dx1, dy1 := c[1][0]-c[2][0], c[1][1]-c[2][1]
	dx2, dy2 := c[3][0]-c[2][0], c[3][1]-c[2][1]
	sx, sy := c[0][0]-c[1][0]+c[2][0]-c[3][0], c[0][1]-c[1][1]+c[2][1]-c[3][1]
	d := dx1*dy2 - dx2*dy1
	g, h := (sx*dy2-dx2*sy)/d, (dx1*sy-sx*dy1)/d
	return homography{
		c[1][0] - c[0][0] + g*c[1][0], c[3][0] - c[0][0] + h*c[3][0], c[0][0],
		c[1][1] - c[0][1] + g*c[1][1], c[3][1] - c[0][1] + h*c[3][1], c[0][1],
		g, h, 1,
	}
}

// invert is the adjugate, which is the inverse but for a factor that apply divides out.
func invert(m homography) homography {
	return homography{
		m[4]*m[8] - m[5]*m[7], m[2]*m[7] - m[1]*m[8], m[1]*m[5] - m[2]*m[4],
		m[5]*m[6] - m[3]*m[8], m[0]*m[8] - m[2]*m[6], m[2]*m[3] - m[0]*m[5],
		m[3]*m[7] - m[4]*m[6], m[1]*m[6] - m[0]*m[7], m[0]*m[4] - m[1]*m[3],
	}
}

// invented is a picture of coloured shapes, about as a suprematist paints.
func invented(seed uint64) image.Image {
	r := rand.New(rand.NewPCG(seed, 2))
	picture := image.NewRGBA(image.Rect(0, 0, 300+r.IntN(120), 300+r.IntN(120)))
	w, h := float64(picture.Rect.Dx()), float64(picture.Rect.Dy())
	paint := func(inside func(x, y float64) bool, c vector) {
		for y := range picture.Rect.Dy() {
			for x := range picture.Rect.Dx() {
				if inside(float64(x), float64(y)) {
					picture.SetRGBA(x, y, color.RGBA{level(c[0]), level(c[1]), level(c[2]), 255})
				}
			}
		}
	}
	some := func() vector { return vector{255 * r.Float64(), 255 * r.Float64(), 255 * r.Float64()} }
	paint(func(float64, float64) bool { return true }, some())
	for range 14 {
		cx, cy, a, b := w*r.Float64(), h*r.Float64(), w*(0.03+0.2*r.Float64()), h*(0.03+0.2*r.Float64())
		sin, cos := math.Sincos(math.Pi * r.Float64())
		round := r.IntN(2) == 0
		paint(func(x, y float64) bool {
			p, q := ((x-cx)*cos+(y-cy)*sin)/a, ((y-cy)*cos-(x-cx)*sin)/b
			return round && p*p+q*q < 1 || !round && math.Abs(p) < 1 && math.Abs(q) < 1
		}, some())
	}
	return picture
}

func level(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

func encodeJPEG(t testing.TB, m image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
