package header

import (
	"encoding/binary"
	"fmt"
	"image"
)

// Frame is the first frame of a WebP file: whole chunks (name, size, payload)
// and their place on the canvas.
type Frame struct {
	Alpha, Pixels []byte // ALPH or nil; "VP8 " or VP8L
	Rect          image.Rectangle
}

// readWebP reads the chunks of a RIFF file (RFC 9649).
func (h *Header) readWebP() error {
	rest := h.data[12:]
	extended := false
	for len(rest) >= 8 {
		c, tail, ok := nextChunk(rest)
		if !ok {
			break
		}
		rest = tail
		switch c.name {
		case "VP8X":
			if len(c.payload) < 10 {
				return fmt.Errorf("%w: short VP8X", ErrCorrupt)
			}
			extended = true
			h.Width, h.Height = 1+uint24(c.payload[4:]), 1+uint24(c.payload[7:])
		case "ICCP":
			h.profile = c.payload
		case "EXIF":
			h.EXIF = c.payload
		case "ANMF":
			if h.Still.Pixels == nil {
				if err := h.readANMF(c.payload); err != nil {
					return err
				}
			}
		case "ALPH", "VP8 ", "VP8L":
			if err := h.Still.add(c); err != nil {
				return err
			}
		}
	}
	return h.placeStill(extended)
}

// placeStill checks the frame against the canvas, for the decoder allocates by
// what the frame says.
func (h *Header) placeStill(extended bool) error {
	f := &h.Still
	if f.Pixels == nil {
		return fmt.Errorf("%w: WebP without a picture", ErrCorrupt)
	}
	width, height, err := frameSize(f.Pixels)
	if err != nil {
		return err
	}
	if !extended {
		h.Width, h.Height = width, height
	}
	f.Rect.Max = f.Rect.Min.Add(image.Pt(width, height))
	if !f.Rect.In(image.Rect(0, 0, h.Width, h.Height)) {
		return fmt.Errorf("%w: WebP frame %v outside %d x %d", ErrCorrupt, f.Rect, h.Width, h.Height)
	}
	return nil
}

func (h *Header) readANMF(p []byte) error {
	if len(p) < 16 {
		return fmt.Errorf("%w: short ANMF", ErrCorrupt)
	}
	f := &h.Still
	f.Rect.Min = image.Pt(2*uint24(p), 2*uint24(p[3:]))
	for rest := p[16:]; len(rest) >= 8; {
		c, tail, ok := nextChunk(rest)
		if !ok {
			break
		}
		rest = tail
		if err := f.add(c); err != nil {
			return err
		}
	}
	return nil
}

// add keeps the first picture and the alpha in front of it.
func (f *Frame) add(c chunk) error {
	if f.Pixels != nil {
		return nil
	}
	switch c.name {
	case "ALPH":
		f.Alpha = c.whole
	case "VP8 ", "VP8L":
		if c.cut {
			return fmt.Errorf("%w: WebP cut off", ErrCorrupt)
		}
		f.Pixels = c.whole
		if c.name == "VP8L" { // it has an alpha of its own
			f.Alpha = nil
		}
	}
	return nil
}

type chunk struct {
	name           string
	payload, whole []byte
	cut            bool // the data end before the chunk does
}

// nextChunk splits off a chunk with its padding byte.
func nextChunk(data []byte) (c chunk, rest []byte, ok bool) {
	if len(data) < 8 {
		return chunk{}, nil, false
	}
	size := uint64(binary.LittleEndian.Uint32(data[4:]))
	c.name = string(data[:4])
	if size > uint64(len(data)-8) {
		size = uint64(len(data) - 8)
		c.cut = true
	}
	c.payload, c.whole = data[8:8+size], data[:8+size]
	rest = data[8+size:]
	if size%2 == 1 && len(rest) > 0 {
		rest = rest[1:]
	}
	return c, rest, true
}

// frameSize reads the size of a VP8 key frame (RFC 6386 section 9.1) or a VP8L
// picture (RFC 9649 section 3.4). It is as strict as libwebp about the rest of
// these headers, so that the library's demuxer takes what this takes.
func frameSize(whole []byte) (width, height int, err error) {
	p := whole[8:]
	switch {
	case hasPrefix(whole, "VP8 ") && len(p) >= 10 && hasPrefix(p[3:], "\x9d\x01\x2a"):
		tag := uint24(p)
		key, profile, shown, partition := tag&1 == 0, tag>>1&7, tag>>4&1 == 1, tag>>5
		width = int(binary.LittleEndian.Uint16(p[6:]) & 0x3fff)
		height = int(binary.LittleEndian.Uint16(p[8:]) & 0x3fff)
		if key && profile <= 3 && shown && partition < len(p) && width > 0 && height > 0 {
			return width, height, nil
		}
	case hasPrefix(whole, "VP8L") && len(p) >= 5 && p[0] == 0x2f:
		bits := binary.LittleEndian.Uint32(p[1:])
		if version := bits >> 29; version == 0 {
			return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff), nil
		}
	}
	return 0, 0, fmt.Errorf("%w: WebP frame header", ErrCorrupt)
}

func uint24(p []byte) int { return int(p[0]) | int(p[1])<<8 | int(p[2])<<16 }
