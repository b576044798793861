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
