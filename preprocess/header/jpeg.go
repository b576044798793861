package header

import (
	"encoding/binary"
	"fmt"
)

// JPEG markers, the byte behind 0xff (ITU-T T.81 table B.1).
const (
	sof0  = 0xc0
	sof1  = 0xc1
	sof2  = 0xc2
	dht   = 0xc4
	sof9  = 0xc9
	jpg   = 0xc8
	sof10 = 0xca
	dac   = 0xcc
	sof15 = 0xcf
	rst0  = 0xd0
	rst7  = 0xd7
	soi   = 0xd8
	eoi   = 0xd9
	sos   = 0xda
	app1  = 0xe1
	app2  = 0xe2
	tem   = 0x01
)

const (
	exifMark = "Exif\x00"
	iccMark  = "ICC_PROFILE\x00"
)

func (h *Header) readJPEG() error {
	h.packing = packedSegments
	found := false
	s := segments{data: h.data, next: 2}
	for s.scan() {
		switch {
		case isFrame(s.marker) && !found:
			if err := h.readFrame(s.marker, s.payload); err != nil {
				return err
			}
			found = true
		case s.marker == app1 && h.EXIF == nil && hasPrefix(s.payload, exifMark):
			h.EXIF = s.payload
		case s.marker == app2 && h.profile == nil && hasPrefix(s.payload, iccMark):
			h.profile = s.payload
		}
	}
	if !found || !s.reachedScan {
		return fmt.Errorf("%w: no picture before the end of the data", ErrCorrupt)
	}
	return nil
}

// readFrame reads a frame header (T.81 B.2.2).
func (h *Header) readFrame(marker byte, p []byte) error {
	if len(p) < 6 || len(p) < 6+3*int(p[5]) {
		return fmt.Errorf("%w: short frame header", ErrCorrupt)
	}
	switch marker {
	case sof0, sof1, sof2, sof9, sof10:
	default:
		return fmt.Errorf("%w: JPEG process SOF%d", ErrUnsupported, marker-sof0)
	}
	if p[0] != 8 {
		return fmt.Errorf("%w: JPEG of %d bits", ErrUnsupported, p[0])
	}
	h.Height = int(binary.BigEndian.Uint16(p[1:]))
	h.Width = int(binary.BigEndian.Uint16(p[3:]))
	h.Components = int(p[5])
	if marker != sof9 && marker != sof10 {
		// Huffman coding spends a bit or more on each block of 8 x 8.
		h.MinBytes = int64((h.Width+7)/8) * int64((h.Height+7)/8) / 8
	}
	switch h.Components {
	case 1, 3, 4:
		return nil
	}
	return fmt.Errorf("%w: JPEG of %d components", ErrUnsupported, h.Components)
}

func isFrame(marker byte) bool {
	return marker >= sof0 && marker <= sof15 && marker != dht && marker != jpg && marker != dac
}

// segments walks over a JPEG's segments up to the first scan. Stray bytes
// between them are passed over, as libjpeg does.
type segments struct {
	data        []byte
	next        int
	marker      byte
	payload     []byte // without the length
	reachedScan bool
}

func (s *segments) scan() bool {
	for {
		marker, ok := s.nextMarker()
		if !ok {
			return false
		}
		switch {
		case marker == eoi:
			return false
		case marker == soi, marker == tem, marker >= rst0 && marker <= rst7:
			continue
		}
		if len(s.data)-s.next < 2 {
			return false
		}
		size := int(binary.BigEndian.Uint16(s.data[s.next:]))
		if size < 2 || size > len(s.data)-s.next {
			return false
		}
		s.marker = marker
		s.payload = s.data[s.next+2 : s.next+size]
		s.next += size
		if marker == sos {
			s.reachedScan = true
			return false
		}
		return true
	}
}

func (s *segments) nextMarker() (byte, bool) {
	for i := s.next; i+1 < len(s.data); i++ {
		if s.data[i] != 0xff || s.data[i+1] == 0xff || s.data[i+1] == 0 {
			continue
		}
		s.next = i + 2
		return s.data[i+1], true
	}
	s.next = len(s.data)
	return 0, false
}
