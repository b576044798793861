package header

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
)

// maxProfile bounds an ICC profile, in bytes inflated or put together. The
// largest in use, CMYK ones, stay below 3 MB.
const maxProfile = 4 << 20

// HasProfile tells whether the file embeds an ICC profile, readable or not.
func (h *Header) HasProfile() bool { return h.profile != nil }

// Profile gives the embedded ICC profile, nil if there is none. Where the format
// stores it in one piece it points into the data. Errors wrap ErrCorrupt and
// are no reason to refuse the picture.
func (h *Header) Profile() ([]byte, error) {
	switch {
	case h.profile == nil:
		return nil, nil
	case h.packing == packedDeflate:
		return inflate(h.profile)
	case h.packing == packedSegments:
		return joinSegments(h.data)
	default:
		return h.profile, nil
	}
}

func inflate(packed []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: ICC profile: %w", ErrCorrupt, err)
	}
	profile, err := io.ReadAll(io.LimitReader(r, maxProfile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: ICC profile: %w", ErrCorrupt, err)
	}
	if len(profile) > maxProfile {
		return nil, fmt.Errorf("%w: ICC profile above %d bytes", ErrCorrupt, maxProfile)
	}
	return profile, nil
}

// joinSegments puts a JPEG's profile together from numbered APP2 segments
// (ICC.1:2010 annex B.4), which may come in any order.
func joinSegments(data []byte) ([]byte, error) {
	var parts [256][]byte
	total, count := 0, 0
	s := segments{data: data, next: 2}
	for s.scan() {
		if s.marker != app2 || !hasPrefix(s.payload, iccMark) || len(s.payload) < len(iccMark)+2 {
			continue
		}
		number := int(s.payload[len(iccMark)])
		count = int(s.payload[len(iccMark)+1])
		part := s.payload[len(iccMark)+2:]
		if number == 0 || number > count || parts[number] != nil {
			return nil, fmt.Errorf("%w: ICC profile segments", ErrCorrupt)
		}
		parts[number] = part
		total += len(part)
	}
	if total > maxProfile {
		return nil, fmt.Errorf("%w: ICC profile above %d bytes", ErrCorrupt, maxProfile)
	}
	if count == 1 {
		return parts[1], nil
	}
	profile := make([]byte, 0, total)
	for number := 1; number <= count; number++ {
		if parts[number] == nil {
			return nil, fmt.Errorf("%w: ICC profile segment %d of %d missing", ErrCorrupt, number, count)
		}
		profile = append(profile, parts[number]...)
	}
	return profile, nil
}
