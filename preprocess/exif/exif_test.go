package exif

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// field is a directory entry; value stands in its first bytes, as in a file.
type field struct {
	tag, kind uint16
	count     uint32
	value     uint32
}

func short(tag uint16, v uint32) field { return field{tag, typeShort, 1, v} }

// block writes a TIFF header and one directory at offset 8.
func block(order binary.AppendByteOrder, mark string, fields ...field) []byte {
	b := order.AppendUint32([]byte(mark), 8)
	b = order.AppendUint16(b, uint16(len(fields)))
	for _, f := range fields {
		b = order.AppendUint16(b, f.tag)
		b = order.AppendUint16(b, f.kind)
		b = order.AppendUint32(b, f.count)
		switch f.kind {
		case typeByte:
			b = append(b, byte(f.value), 0, 0, 0)
		case typeShort:
			b = append(order.AppendUint16(b, uint16(f.value)), 0, 0)
		default:
			b = order.AppendUint32(b, f.value)
		}
	}
	return order.AppendUint32(b, 0)
}

func little(fields ...field) []byte { return block(binary.LittleEndian, "II*\x00", fields...) }
func big(fields ...field) []byte    { return block(binary.BigEndian, "MM\x00*", fields...) }

func TestOrientationIsRead(t *testing.T) {
	other := short(0x010f, 3)
	for want := uint32(1); want <= 8; want++ {
		entry := short(tagOrientation, want)
		blocks := map[string][]byte{
			"little-endian":        little(entry),
			"big-endian":           big(entry),
			"with the JPEG prefix": append([]byte("Exif\x00\x00"), big(entry)...),
			"behind other fields":  little(other, other, entry, other),
			"as BYTE":              big(field{tagOrientation, typeByte, 1, want}),
			"as LONG":              big(field{tagOrientation, typeLong, 1, want}),
			"cut off behind it":    little(entry, other)[:8+2+12+5],
		}
		for name, b := range blocks {
			t.Run(fmt.Sprintf("%s/%d", name, want), func(t *testing.T) {
				if got, err := Orientation(b); got != int(want) || err != nil {
					t.Errorf("got %d, %v; want %d", got, err, want)
				}
			})
		}
	}
}

func TestNoOrientationMeansUpright(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty directory": little(),
		"other fields":    big(short(0x010f, 6), short(0x0113, 6)),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Orientation(b); got != 1 || err != nil {
				t.Errorf("got %d, %v; want 1", got, err)
			}
		})
	}
}

func TestBrokenBlockMeansUprightAndAnError(t *testing.T) {
	six := little(short(tagOrientation, 6))
	offset := func(v uint32) []byte {
		b := append([]byte(nil), six...)
		binary.LittleEndian.PutUint32(b[4:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"prefix alone":           []byte("Exif\x00\x00"),
		"header cut off":         six[:7],
		"no TIFF":                []byte("<?xpacket begin=''?>"),
		"mixed byte order":       block(binary.BigEndian, "II*\x00", short(tagOrientation, 6)),
		"directory in header":    offset(4),
		"directory at the end":   offset(uint32(len(six) - 1)),
		"directory far outside":  offset(0xffffffff),
		"directory cut off":      six[:8+2+11],
		"value 0":                little(short(tagOrientation, 0)),
		"value 9":                big(short(tagOrientation, 9)),
		"value beyond a byte":    big(field{tagOrientation, typeLong, 1, 0x10006}),
		"two values":             little(field{tagOrientation, typeShort, 2, 6}),
		"no value":               little(field{tagOrientation, typeShort, 0, 6}),
		"a text":                 little(field{tagOrientation, 2, 1, 6}),
		"count beyond the block": append([]byte("II*\x00\x08\x00\x00\x00\xff\xff"), 1, 2, 3),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Orientation(b); got != 1 || !errors.Is(err, ErrMalformed) {
				t.Errorf("got %d, %v; want 1 and ErrMalformed", got, err)
			}
		})
	}
}

func TestOrientationAllocatesNothing(t *testing.T) {
	b := append([]byte("Exif\x00\x00"), big(short(0x010f, 3), short(tagOrientation, 6))...)
	if n := testing.AllocsPerRun(10, func() { _, _ = Orientation(b) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(little(short(tagOrientation, 6)))
	f.Add(append([]byte("Exif\x00\x00"), big(short(0x010f, 1), short(tagOrientation, 8))...))
	f.Add(big(field{tagOrientation, typeLong, 1, 3}))
	f.Add([]byte("II*\x00\xff\xff\xff\xff"))
	f.Add([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Orientation(b)
		if got < 1 || got > 8 {
			t.Fatalf("orientation %d", got)
		}
		if err != nil && (got != 1 || !errors.Is(err, ErrMalformed)) {
			t.Fatalf("%d together with %v", got, err)
		}
	})
}
