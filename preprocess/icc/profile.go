package icc

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// profile is what parse found in the header, and the bytes for its tags. The
// numbers of sections below are those of ICC.1:2010 (version 4.3).
type profile struct {
	data  []byte
	tags  []byte // the tag table: 12 bytes each
	space []byte // colour space signature: "RGB ", "GRAY", "CMYK"...
}

const (
	headerSize = 128
	tagSize    = 12
	maxTags    = 200 // real ones have some 20
)

// parse reads the header (section 7.2) and finds the tag table (7.3).
func parse(data []byte) (profile, error) {
	if len(data) < headerSize+4 || string(data[36:40]) != "acsp" {
		return profile{}, fmt.Errorf("%w: no profile header", ErrMalformed)
	}
	if size := binary.BigEndian.Uint32(data); uint64(size) > uint64(len(data)) {
		return profile{}, fmt.Errorf("%w: %d of %d bytes", ErrMalformed, len(data), size)
	}
	if major := data[8]; major != 2 && major != 4 {
		return profile{}, fmt.Errorf("%w: version %d", ErrUnsupported, major)
	}
	switch string(data[12:16]) {
	case "mntr", "scnr", "prtr", "spac":
	default:
		return profile{}, fmt.Errorf("%w: class %q", ErrUnsupported, data[12:16])
	}
	if string(data[20:24]) != "XYZ " {
		return profile{}, fmt.Errorf("%w: connection space %q", ErrUnsupported, data[20:24])
	}
	count := binary.BigEndian.Uint32(data[headerSize:])
	table := data[headerSize+4:]
	if count > maxTags || int(count)*tagSize > len(table) {
		return profile{}, fmt.Errorf("%w: %d tags in %d bytes", ErrMalformed, count, len(data))
	}
	return profile{data: data, tags: table[:count*tagSize], space: data[16:20]}, nil
}

// tag is the data of a tag, at least 8 bytes: type signature and four zeros.
func (p profile) tag(signature string) ([]byte, error) {
	for entry := p.tags; len(entry) >= tagSize; entry = entry[tagSize:] {
		if string(entry[:4]) != signature {
			continue
		}
		start, size := uint64(binary.BigEndian.Uint32(entry[4:])), uint64(binary.BigEndian.Uint32(entry[8:]))
		if size < 8 || start+size > uint64(len(p.data)) {
			return nil, fmt.Errorf("%w: tag %s outside the profile", ErrMalformed, signature)
		}
		return p.data[start : start+size], nil
	}
	return nil, fmt.Errorf("%w: no tag %s", ErrUnsupported, signature)
}

// sameTag tells whether two tags hold the same data.
func (p profile) sameTag(a, b string) bool {
	blockA, errA := p.tag(a)
	blockB, errB := p.tag(b)
	return errA == nil && errB == nil && bytes.Equal(blockA, blockB)
}

// xyz reads an XYZType tag (10.27).
func (p profile) xyz(signature string) (v [3]float64, err error) {
	block, err := p.tag(signature)
	if err != nil {
		return v, err
	}
	if len(block) < 20 || string(block[:4]) != "XYZ " {
		return v, fmt.Errorf("%w: tag %s is no XYZ", ErrMalformed, signature)
	}
	for i := range v {
		v[i] = fixed(block[8+4*i:])
	}
	return v, nil
}

// fixed reads an s15Fixed16Number (4.6).
func fixed(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / (1 << 16) }
