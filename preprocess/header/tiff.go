package header

import (
	"encoding/binary"
	"fmt"
)

// TIFF tags and types (TIFF 6.0).
const (
	tagWidth       = 256
	tagHeight      = 257
	tagBits        = 258 // of each sample
	tagCompression = 259
	tagSamples     = 277 // of each pixel
	tagProfile     = 34675
	typeShort      = 3
	typeLong       = 4
)

// densest is how many bytes a byte of each compression can stand for.
var densest = map[int]int64{
	1:     1,    // none
	5:     2730, // LZW: a code of 12 bits for at most 4095 bytes
	8:     1032, // deflate
	32773: 64,   // PackBits: 128 bytes by 2
	32946: 1032, // deflate, by its older number
}

// directory is what is needed of a TIFF's first directory.
type directory struct {
	order                      binary.ByteOrder
	bits, compression, samples int
}

// readTIFF reads the first directory. EXIF is the file itself: the orientation
// has the same tag in the same directory.
func (h *Header) readTIFF() error {
	if len(h.data) < 8 {
		return fmt.Errorf("%w: short TIFF", ErrCorrupt)
	}
	d := directory{order: binary.LittleEndian, bits: 1, compression: 1, samples: 1}
	if h.data[0] == 'M' {
		d.order = binary.BigEndian
	}
	start := uint64(d.order.Uint32(h.data[4:]))
	if start+2 > uint64(len(h.data)) {
		return fmt.Errorf("%w: TIFF directory outside the file", ErrCorrupt)
	}
	if hasPrefix(h.data[8:], "CR") {
		return fmt.Errorf("%w: camera raw file", ErrUnsupported)
	}
	h.EXIF = h.data
	entries := h.data[start+2:]
	for range d.order.Uint16(h.data[start:]) {
		if len(entries) < 12 {
			return fmt.Errorf("%w: TIFF directory cut off", ErrCorrupt)
		}
		h.readTag(&d, entries[:12])
		entries = entries[12:]
	}
	if ratio := densest[d.compression]; ratio > 0 && h.Width > 0 && h.Height > 0 && h.Width < 1<<20 && h.Height < 1<<20 {
		perPixel := int64(min(d.bits, 64)) * int64(min(d.samples, 8))
		h.MinBytes = int64(h.Width) * int64(h.Height) * perPixel / 8 / ratio
	}
	return nil
}

func (h *Header) readTag(d *directory, entry []byte) {
	count, value := d.order.Uint32(entry[4:]), d.order.Uint32(entry[8:])
	number := 0
	switch d.order.Uint16(entry[2:]) {
	case typeShort:
		number = int(d.order.Uint16(entry[8:]))
		if count > 2 && uint64(value)+2 <= uint64(len(h.data)) { // they stand elsewhere
			number = int(d.order.Uint16(h.data[value:]))
		}
	case typeLong:
		number = int(value)
	}
	switch d.order.Uint16(entry) {
	case tagWidth:
		h.Width = number
	case tagHeight:
		h.Height = number
	case tagBits:
		d.bits = number
	case tagCompression:
		d.compression = number
	case tagSamples:
		d.samples = number
	case tagProfile:
		if end := uint64(value) + uint64(count); count > 4 && end <= uint64(len(h.data)) {
			h.profile = h.data[value:end]
		}
	}
}
