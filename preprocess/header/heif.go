package header

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"github.com/lexicam/lexicrop/preprocess/resample"
)

// HEIF describes the coded picture of a HEIC or AVIF file.
type HEIF struct {
	// Canvas is where all of the coded picture lies if its shown part (the
	// clean aperture, or all of it) begins at (0, 0).
	Canvas image.Rectangle
	Alpha  bool // there is an auxiliary picture of alpha
}

// readHEIF reads the primary item of a HEIF file, and checks that what is coded
// is not larger than what the item claims: decoders allocate by the former.
func (h *Header) readHEIF() error {
	h.Format = heifFormat(h.data)
	switch h.Format {
	case HEIC, AVIF:
	default:
		return fmt.Errorf("%w: %s is not taken", ErrUnsupported, h.Format)
	}
	m, err := readMeta(h.data)
	if err != nil {
		return err
	}
	budget := 4*uint64(len(h.data)) + 1<<20
	p := heifPicture{meta: &m, budget: &budget}
	if err := p.read(m.primary()); err != nil {
		return err
	}
	h.Format = p.format
	if h.profile = p.profile; h.profile == nil {
		h.profile = p.tileProfile
	}
	h.Turn = p.orientation()
	if err := h.place(p.width, p.height, p.clap); err != nil {
		return err
	}

	auxiliary := 0
	m.references("auxl", func(from, to uint32) bool {
		if to != m.primary() {
			return true
		}
		if !isAlpha(&m, from) {
			auxiliary++
			return auxiliary < maxAuxiliary
		}
		alpha := heifPicture{meta: &m, budget: &budget}
		if err = alpha.read(from); err == nil && (alpha.width > p.width || alpha.height > p.height) {
			err = fmt.Errorf("%w: alpha larger than the picture", ErrCorrupt)
		}
		h.Coded.Alpha = true
		return false
	})
	return err
}

// heifFormat tells by the brands; the coding of the primary item has the last
// word.
func heifFormat(data []byte) string {
	ftyp, _, _ := nextBox(data)
	format := ""
	for brands := ftyp.payload; len(brands) >= 4; brands = brands[4:] {
		if len(brands) == len(ftyp.payload)-4 {
			continue // the minor version
		}
		switch string(brands[:4]) {
		case "avif", "avis":
			return AVIF
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "mif2":
			format = HEIC
		case "crx ":
			return "raw"
		}
	}
	if format == "" {
		return "mp4"
	}
	return format
}

// place sets the shown size and where the coded picture lies around it.
func (h *Header) place(width, height int, clap []byte) error {
	h.Width, h.Height = width, height
	h.Coded.Canvas = image.Rect(0, 0, width, height)
	if clap == nil {
		return nil
	}
	shown, ok := cleanAperture(clap, width, height)
	if !ok {
		return fmt.Errorf("%w: clean aperture", ErrCorrupt)
	}
	h.Width, h.Height = shown.Dx(), shown.Dy()
	h.Coded.Canvas = h.Coded.Canvas.Sub(shown.Min)
	return nil
}

// cleanAperture computes the shown part of the coded picture from the width,
// height and offset of its centre, as fractions (ISO/IEC 14496-12 section
// 12.1.4.1).
func cleanAperture(clap []byte, width, height int) (image.Rectangle, bool) {
	if len(clap) < 32 {
		return image.Rectangle{}, false
	}
	span := func(size, offset []byte, full int) (lo, hi int, ok bool) {
		n, d := int64(int32(binary.BigEndian.Uint32(size))), int64(binary.BigEndian.Uint32(size[4:]))
		on, od := int64(int32(binary.BigEndian.Uint32(offset))), int64(binary.BigEndian.Uint32(offset[4:]))
		if n <= 0 || d == 0 || od == 0 {
			return 0, 0, false
		}
		// The centre lies at offset + (full-1)/2; the first shown pixel half a
		// size before it. Half pixels are rounded down.
		s := float64(n) / float64(d)
		first := float64(on)/float64(od) + (float64(full)-1)/2 - (s-1)/2
		lo = int(first)
		hi = lo + int(s)
		return lo, hi, first >= 0 && hi > lo && hi <= full
	}
	x0, x1, okX := span(clap[0:8], clap[16:24], width)
	y0, y1, okY := span(clap[8:16], clap[24:32], height)
	return image.Rect(x0, y0, x1, y1), okX && okY
}

func isAlpha(m *meta, id uint32) bool {
	alpha := false
	// What is broken in the properties shows where they are read for the picture itself.
	_ = m.properties(id, func(b box) error {
		if b.name == "auxC" && len(b.payload) > 4 {
			alpha = alpha || bytes.HasPrefix(b.payload[4:], []byte("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")) ||
				bytes.HasPrefix(b.payload[4:], []byte("urn:mpeg:hevc:2015:auxid:1"))
		}
		return nil
	})
	return alpha
}

// heifPicture is one picture item: coded in one piece, or a grid of such.
type heifPicture struct {
	meta                 *meta
	budget               *uint64 // bytes of coded data that may still be decoded
	format               string
	width, height        int
	profile, tileProfile []byte
	clap, config         []byte
	turn                 turn
}

// turn is an orientation as steps in this order: change x with y, mirror x,
// mirror y.
type turn struct{ swap, mirrorX, mirrorY bool }

func (p *heifPicture) read(id uint32) error {
	if err := p.meta.properties(id, p.readProperty); err != nil {
		return err
	}
	if p.width == 0 || p.height == 0 {
		return fmt.Errorf("%w: picture without a size", ErrCorrupt)
	}
	switch kind := p.meta.itemType(id); kind {
	case "hvc1":
		p.format = HEIC
		return p.checkCoded(id)
	case "av01":
		p.format = AVIF
		return p.checkCoded(id)
	case "grid":
		return p.readGrid(id)
	default:
		return fmt.Errorf("%w: picture coded as %q", ErrUnsupported, kind)
	}
}

func (p *heifPicture) readProperty(b box) error {
	switch b.name {
	case "ispe":
		f, _, _ := full(b.payload)
		width, height := f.number(4), f.number(4)
		if f.short || width > 1<<20 || height > 1<<20 {
			return fmt.Errorf("%w: picture of %d x %d", ErrCorrupt, width, height)
		}
		p.width, p.height = int(width), int(height)
	case "hvcC", "av1C":
		p.config = b.payload
	case "colr":
		if len(b.payload) > 4 && (hasPrefix(b.payload, "prof") || hasPrefix(b.payload, "rICC")) {
			p.profile = b.payload[4:]
		}
	case "clap":
		p.clap = b.payload
	case "irot":
		f := fields{data: b.payload}
		for range f.number(1) & 3 { // quarters counter-clockwise
			t := p.turn
			p.turn = turn{swap: !t.swap, mirrorX: t.mirrorY, mirrorY: !t.mirrorX}
		}
	case "imir":
		f := fields{data: b.payload}
		if f.number(1)&1 == 0 { // top and bottom change places
			p.turn.mirrorY = !p.turn.mirrorY
		} else {
			p.turn.mirrorX = !p.turn.mirrorX
		}
	}
	return nil
}

func (p *heifPicture) orientation() resample.Orientation {
	return map[turn]resample.Orientation{
		{}:                             resample.Upright,
		{mirrorX: true}:                resample.MirrorX,
		{mirrorX: true, mirrorY: true}: resample.Rotate180,
		{mirrorY: true}:                resample.MirrorY,
		{swap: true}:                   resample.Transpose,
		{swap: true, mirrorX: true}:    resample.Rotate90,
		{true, true, true}:             resample.Transverse,
		{swap: true, mirrorY: true}:    resample.Rotate270,
	}[p.turn]
}

// checkCoded walks over the coded data of an item, looking for headers of the
// video stream that claim more pixels than the item.
func (p *heifPicture) checkCoded(id uint32) error {
	check := checkAV1
	if p.format == HEIC {
		if err := checkHEVCConfig(p.config, p.width, p.height); err != nil {
			return err
		}
		check = checkHEVC
	}
	var first []byte
	pieces := 0
	err := p.meta.extents(id, func(piece []byte) error {
		if uint64(len(piece)) > *p.budget {
			return fmt.Errorf("%w: the same data coded into many pictures", ErrCorrupt)
		}
		*p.budget -= uint64(len(piece))
		first = piece
		pieces++
		return nil
	})
	if err != nil {
		return err
	}
	if pieces > 1 {
		if first, err = p.join(id); err != nil {
			return err
		}
	}
	return check(first, p.config, p.width, p.height)
}

// join concatenates an item's pieces; their sum has been checked.
func (p *heifPicture) join(id uint32) ([]byte, error) {
	var joined []byte
	err := p.meta.extents(id, func(piece []byte) error {
		joined = append(joined, piece...)
		return nil
	})
	return joined, err
}

// readGrid reads a picture that is put together from tiles (ISO/IEC 23008-12
// section 6.6.2.3).
func (p *heifPicture) readGrid(id uint32) error {
	var f fields
	err := p.meta.extents(id, func(piece []byte) error {
		if f.data == nil {
			f.data = piece
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.number(1)
	size := 2 + 2*int(f.number(1)&1)
	rows, columns := 1+f.number(1), 1+f.number(1)
	width, height := int(f.number(size)), int(f.number(size))
	if f.short || width != p.width || height != p.height {
		return fmt.Errorf("%w: grid of %d x %d in a picture of %d x %d", ErrCorrupt, width, height, p.width, p.height)
	}
	if rows*columns > maxTiles {
		return fmt.Errorf("%w: %d x %d tiles", ErrUnsupported, columns, rows)
	}
	tiles := uint64(0)
	area := 0
	p.meta.references("dimg", func(from, to uint32) bool {
		if from != id {
			return true
		}
		if tiles++; tiles > rows*columns {
			return false
		}
		tile := heifPicture{meta: p.meta, budget: p.budget}
		if kind := p.meta.itemType(to); kind == "grid" {
			err = fmt.Errorf("%w: grid of grids", ErrUnsupported)
			return false
		}
		if err = tile.read(to); err != nil {
			return false
		}
		area += tile.width * tile.height
		if area > 2*p.width*p.height+1<<22 {
			err = fmt.Errorf("%w: tiles far larger than the grid", ErrCorrupt)
			return false
		}
		p.format = tile.format
		if p.tileProfile == nil {
			p.tileProfile = tile.profile
		}
		return true
	})
	if err == nil && tiles != rows*columns {
		err = fmt.Errorf("%w: %d tiles in a grid of %d x %d", ErrCorrupt, tiles, columns, rows)
	}
	return err
}
