package header

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// readPNG walks over the chunks as far as the picture's own need: it looks at
// the lengths of text chunks and never inflates them.
func (h *Header) readPNG() error {
	rest := h.data[8:]
	for first := true; ; first = false {
		if len(rest) < 12 {
			return noPixels(first)
		}
		size := binary.BigEndian.Uint32(rest)
		name := string(rest[4:8])
		if uint64(size) > uint64(len(rest)-12) {
			if name == "IDAT" && !first {
				return nil // cut off or not: the decoder will tell
			}
			return noPixels(first)
		}
		payload := rest[8 : 8+size]
		rest = rest[12+size:]
		switch {
		case first:
			if name != "IHDR" || size != 13 {
				return noPixels(first)
			}
			if err := h.readIHDR(payload); err != nil {
				return err
			}
		case name == "iCCP" && h.profile == nil:
			h.readICCP(payload)
		case name == "eXIf" && h.EXIF == nil:
			h.EXIF = payload
		case name == "IDAT" && h.EXIF == nil:
			// eXIf may stand behind the pixels. Chunks are found without
			// touching their content, so looking on costs little.
			h.EXIF = findEXIF(rest)
			return nil
		case name == "IDAT":
			return nil
		case name == "IEND":
			return noPixels(first)
		}
	}
}

func noPixels(first bool) error {
	if first {
		return fmt.Errorf("%w: PNG without IHDR", ErrCorrupt)
	}
	return fmt.Errorf("%w: PNG without IDAT", ErrCorrupt)
}

func (h *Header) readIHDR(p []byte) error {
	width, height := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	if width > 1<<31-1 || height > 1<<31-1 {
		return fmt.Errorf("%w: PNG of %d x %d pixels", ErrCorrupt, width, height)
	}
	h.Width, h.Height = int(width), int(height)
	samples := int64(1)
	switch p[9] { // the colour type
	case 0:
		h.Components = 1
	case 2:
		samples = 3
	case 4:
		h.Components, samples = 1, 2
	case 6:
		samples = 4
	}
	// Deflate shrinks to 1/1032 at best.
	h.MinBytes = int64(width) * samples * int64(p[8]) / 8 * int64(height) / 1032
	return nil
}

// readICCP finds the deflated profile behind its name, a NUL and the method.
func (h *Header) readICCP(p []byte) {
	i := bytes.IndexByte(p[:min(len(p), 80)], 0)
	if i < 0 || len(p) < i+2 || p[i+1] != 0 {
		return
	}
	h.profile, h.packing = p[i+2:], packedDeflate
}

func findEXIF(rest []byte) []byte {
	for len(rest) >= 12 {
		size := binary.BigEndian.Uint32(rest)
		if uint64(size) > uint64(len(rest)-12) {
			return nil
		}
		switch string(rest[4:8]) {
		case "eXIf":
			return rest[8 : 8+size]
		case "IEND":
			return nil
		}
		rest = rest[12+size:]
	}
	return nil
}
