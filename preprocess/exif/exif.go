// Package exif reads the one EXIF field that decides how a photo is shown: the
// orientation.
package exif

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	tagOrientation = 0x0112
	typeByte       = 1
	typeShort      = 3
	typeLong       = 4
)

// ErrMalformed says that the block is not readable EXIF. The picture is fine
// all the same, so it is worth a warning and no more.
var ErrMalformed = errors.New("malformed EXIF")

// Orientation finds the orientation (1..8) in an EXIF block: a TIFF header with
// its first directory, in either byte order, with or without the "Exif\0\0"
// that JPEG puts before it (and that some WebP and PNG files keep). The result
// is always usable: 1 where the field is absent, and 1 together with an error
// that wraps ErrMalformed where the block or the value is broken. It does not
// allocate unless it fails, and reads nothing but the first directory.
func Orientation(block []byte) (int, error) {
	tiff := bytes.TrimPrefix(block, []byte("Exif\x00\x00"))
	order, err := byteOrder(tiff)
	if err != nil {
		return 1, err
	}
	start := uint64(order.Uint32(tiff[4:]))
	if start < 8 || start+2 > uint64(len(tiff)) {
		return 1, fmt.Errorf("%w: directory at %d of %d bytes", ErrMalformed, start, len(tiff))
	}
	directory := tiff[start:]
	count := int(order.Uint16(directory))
	entries := directory[2:]
	for range count {
		if len(entries) < 12 {
			return 1, fmt.Errorf("%w: directory of %d entries cut off", ErrMalformed, count)
		}
		if order.Uint16(entries) == tagOrientation {
			return value(entries[:12], order)
		}
		entries = entries[12:]
	}
	return 1, nil
}

func byteOrder(tiff []byte) (binary.ByteOrder, error) {
	if len(tiff) < 8 {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(tiff))
	}
	switch string(tiff[:4]) {
	case "II*\x00":
		return binary.LittleEndian, nil
	case "MM\x00*":
		return binary.BigEndian, nil
	}
	return nil, fmt.Errorf("%w: no TIFF header", ErrMalformed)
}

// value reads the field's number from its directory entry. The standard wants
// one SHORT; BYTE and LONG are read too because writers in use store them.
func value(entry []byte, order binary.ByteOrder) (int, error) {
	kind, count := order.Uint16(entry[2:]), order.Uint32(entry[4:])
	var v uint32
	switch {
	case count != 1:
		return 1, fmt.Errorf("%w: orientation with %d values", ErrMalformed, count)
	case kind == typeByte:
		v = uint32(entry[8])
	case kind == typeShort:
		v = uint32(order.Uint16(entry[8:]))
	case kind == typeLong:
		v = order.Uint32(entry[8:])
	default:
		return 1, fmt.Errorf("%w: orientation of type %d", ErrMalformed, kind)
	}
	if v < 1 || v > 8 {
		return 1, fmt.Errorf("%w: orientation %d", ErrMalformed, v)
	}
	return int(v), nil
}
