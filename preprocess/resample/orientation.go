package resample

// Orientation is the EXIF tag 0x0112: how the stored pixels have to be turned
// to stand upright. Values outside 1..8 count as Upright.
type Orientation uint8

// The eight values, named after what turns the stored picture upright.
const (
	Upright    Orientation = 1
	MirrorX    Orientation = 2 // left and right change places
	Rotate180  Orientation = 3
	MirrorY    Orientation = 4 // top and bottom change places
	Transpose  Orientation = 5 // mirrored at the diagonal from top left
	Rotate90   Orientation = 6 // a quarter clockwise
	Transverse Orientation = 7 // mirrored at the diagonal from top right
	Rotate270  Orientation = 8 // a quarter counter-clockwise
)

// turn describes an orientation as steps done in this order: change x with y,
// then mirror x, then mirror y.
type turn struct{ swap, mirrorX, mirrorY bool }

func (o Orientation) turn() turn {
	switch o {
	case MirrorX:
		return turn{mirrorX: true}
	case Rotate180:
		return turn{mirrorX: true, mirrorY: true}
	case MirrorY:
		return turn{mirrorY: true}
	case Transpose:
		return turn{swap: true}
	case Rotate90:
		return turn{swap: true, mirrorX: true}
	case Transverse:
		return turn{swap: true, mirrorX: true, mirrorY: true}
	case Rotate270:
		return turn{swap: true, mirrorY: true}
	default:
		return turn{}
	}
}

// Swaps tells whether width and height change places between the stored and
// the upright picture.
func (o Orientation) Swaps() bool { return o.turn().swap }

// Size turns the size of a stored picture into the size of the upright one,
// and the other way round.
func (o Orientation) Size(w, h int) (int, int) {
	if o.Swaps() {
		return h, w
	}
	return w, h
}

// ToStored maps a region from the upright picture to the stored one. width and
// height are those of the UPRIGHT picture, in the unit of the region; with the
// original's sizes and coordinates it is exact also where the stored pixels at
// hand are a scaled version that had to round its sides up.
func (o Orientation) ToStored(upright Region, width, height float64) Region {
	t, r := o.turn(), upright
	if t.mirrorX {
		r.X1, r.X2 = width-r.X2, width-r.X1
	}
	if t.mirrorY {
		r.Y1, r.Y2 = height-r.Y2, height-r.Y1
	}
	if t.swap {
		r = Region{X1: r.Y1, Y1: r.X1, X2: r.Y2, Y2: r.X2}
	}
	return r
}
