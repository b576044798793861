package header

import (
	"encoding/binary"
	"fmt"
)

// readGIF takes the logical screen, on which the first frame may be smaller.
func (h *Header) readGIF() error {
	if len(h.data) < 13 {
		return fmt.Errorf("%w: short GIF", ErrCorrupt)
	}
	h.Width = int(binary.LittleEndian.Uint16(h.data[6:]))
	h.Height = int(binary.LittleEndian.Uint16(h.data[8:]))
	return nil
}

// isBMP asks for more than "BM", with which a text may begin: the size of the
// info header must be one that exists.
func isBMP(data []byte) bool {
	if len(data) < 34 || !hasPrefix(data, "BM") {
		return false
	}
	switch binary.LittleEndian.Uint32(data[14:]) {
	case 12, 16, 40, 52, 56, 64, 108, 124:
		return true
	}
	return false
}

func (h *Header) readBMP() error {
	if binary.LittleEndian.Uint32(h.data[14:]) == 12 { // the OS/2 header
		h.Width = int(binary.LittleEndian.Uint16(h.data[18:]))
		h.Height = int(binary.LittleEndian.Uint16(h.data[20:]))
		return nil
	}
	h.Width = int(int32(binary.LittleEndian.Uint32(h.data[18:])))
	h.Height = int(int32(binary.LittleEndian.Uint32(h.data[22:])))
	if h.Height < 0 { // rows from top to bottom
		h.Height = -h.Height
	}
	const uncompressed, bitFields = 0, 3
	if c := binary.LittleEndian.Uint32(h.data[30:]); c == uncompressed || c == bitFields {
		bits := int64(binary.LittleEndian.Uint16(h.data[28:]))
		h.MinBytes = int64(h.Width) * int64(h.Height) / 8 * min(bits, 32)
	}
	return nil
}

// TIFF tags and types (TIFF 6.0).
const (
	tagWidth   = 256
	tagHeight  = 257
	tagProfile = 34675
	typeShort  = 3
	typeLong   = 4
)

// readTIFF reads the first directory. EXIF is the file itself: the orientation
// has the same tag in the same directory.
func (h *Header) readTIFF() error {
	if len(h.data) < 8 {
		return fmt.Errorf("%w: short TIFF", ErrCorrupt)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h.data[0] == 'M' {
		order = binary.BigEndian
	}
	start := uint64(order.Uint32(h.data[4:]))
	if start+2 > uint64(len(h.data)) {
		return fmt.Errorf("%w: TIFF directory outside the file", ErrCorrupt)
	}
	if hasPrefix(h.data[8:], "CR") {
		return fmt.Errorf("%w: camera raw file", ErrUnsupported)
	}
	h.EXIF = h.data
	entries := h.data[start+2:]
	for range order.Uint16(h.data[start:]) {
		if len(entries) < 12 {
			return fmt.Errorf("%w: TIFF directory cut off", ErrCorrupt)
		}
		h.readTag(order, entries[:12])
		entries = entries[12:]
	}
	return nil
}

func (h *Header) readTag(order binary.ByteOrder, entry []byte) {
	count, value := order.Uint32(entry[4:]), order.Uint32(entry[8:])
	number := 0
	switch order.Uint16(entry[2:]) {
	case typeShort:
		number = int(order.Uint16(entry[8:]))
	case typeLong:
		number = int(value)
	}
	switch order.Uint16(entry) {
	case tagWidth:
		h.Width = number
	case tagHeight:
		h.Height = number
	case tagProfile:
		if end := uint64(value) + uint64(count); count > 4 && end <= uint64(len(h.data)) {
			h.profile = h.data[value:end]
		}
	}
}
