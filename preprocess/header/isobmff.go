package header

import (
	"encoding/binary"
	"fmt"
)

// The boxes of an ISO base media file (ISO/IEC 14496-12) as far as a still
// picture in it (ISO/IEC 23008-12) needs them. Queries scan the boxes instead
// of building tables, so that reading allocates nothing.

type box struct {
	name    string
	payload []byte
	cut     bool // the data end before the box does
}

// nextBox splits off the first box.
func nextBox(data []byte) (b box, rest []byte, ok bool) {
	if len(data) < 8 {
		return box{}, nil, false
	}
	size, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
	switch {
	case size == 1 && len(data) >= 16:
		size, head = binary.BigEndian.Uint64(data[8:]), 16
	case size == 0: // up to the end
		size = uint64(len(data))
	}
	if size < head {
		return box{}, nil, false
	}
	b.name = string(data[4:8])
	if size > uint64(len(data)) {
		size, b.cut = uint64(len(data)), true
	}
	b.payload = data[head:size]
	return b, data[size:], true
}

func findBox(data []byte, name string) []byte {
	for {
		b, rest, ok := nextBox(data)
		if !ok {
			return nil
		}
		if b.name == name {
			return b.payload
		}
		data = rest
	}
}

// fields reads big-endian numbers; behind the end it gives zeros and sets short.
type fields struct {
	data  []byte
	short bool
}

func (f *fields) number(bytes int) uint64 {
	if bytes < 0 || bytes > 8 || len(f.data) < bytes {
		f.data, f.short = nil, true
		return 0
	}
	var v uint64
	for _, b := range f.data[:bytes] {
		v = v<<8 | uint64(b)
	}
	f.data = f.data[bytes:]
	return v
}

func (f *fields) skip(bytes int) {
	if bytes < 0 || len(f.data) < bytes {
		f.data, f.short = nil, true
		return
	}
	f.data = f.data[bytes:]
}

// number for which the size depends on the version of a full box.
func (f *fields) sized(wide bool) uint32 {
	if wide {
		return uint32(f.number(4))
	}
	return uint32(f.number(2))
}

// full reads the version and flags of a full box.
func full(payload []byte) (f fields, version byte, flags uint32) {
	f = fields{data: payload}
	v := uint32(f.number(4))
	return f, byte(v >> 24), v & 0xffffff
}

// meta is the box that lists the items of a file.
type meta struct {
	file                         []byte
	pitm, iinf, iref, iloc, idat []byte
	ipco, ipma                   []byte
}

// The lists are scanned once for each picture coded in the file, so both are
// bounded, far above what cameras write (48 megapixels: 200 tiles, 16 KB).
const (
	maxList  = 32 << 10 // bytes of one list
	maxTiles = 1024
	// maxProperties is how many properties an item may have, maxProperty how
	// many of a file's properties can be referred to.
	maxProperties = 32
	maxProperty   = 512
	maxAuxiliary  = 8 // auxiliary pictures looked at
)

func readMeta(file []byte) (meta, error) {
	m := meta{file: file}
	payload := findBox(file, "meta")
	if len(payload) < 4 {
		return m, fmt.Errorf("%w: no meta box", ErrCorrupt)
	}
	for rest := payload[4:]; ; {
		b, tail, ok := nextBox(rest)
		if !ok {
			break
		}
		rest = tail
		switch b.name {
		case "pitm":
			m.pitm = b.payload
		case "iinf":
			m.iinf = b.payload
		case "iref":
			m.iref = b.payload
		case "iloc":
			m.iloc = b.payload
		case "idat":
			m.idat = b.payload
		case "iprp":
			m.ipco, m.ipma = findBox(b.payload, "ipco"), findBox(b.payload, "ipma")
		}
	}
	for _, list := range [][]byte{m.pitm, m.iinf, m.iref, m.iloc, m.ipma} {
		if len(list) > maxList {
			return m, fmt.Errorf("%w: list of items of %d bytes", ErrCorrupt, len(list))
		}
	}
	if m.pitm == nil || m.iinf == nil || m.iloc == nil || m.ipco == nil || m.ipma == nil {
		return m, fmt.Errorf("%w: meta box without the boxes of a picture", ErrCorrupt)
	}
	return m, nil
}

// primary is the item that the file shows.
func (m *meta) primary() uint32 {
	f, version, _ := full(m.pitm)
	return f.sized(version > 0)
}

// itemType is the four letters of an item's coding, "" if there is none such.
func (m *meta) itemType(id uint32) string {
	f, version, _ := full(m.iinf)
	f.sized(version > 0)
	for rest := f.data; ; {
		b, tail, ok := nextBox(rest)
		if !ok {
			return ""
		}
		rest = tail
		if b.name != "infe" {
			continue
		}
		f, version, _ := full(b.payload)
		if version < 2 {
			continue
		}
		if f.sized(version > 2) == id {
			f.number(2) // protection
			if len(f.data) < 4 {
				return ""
			}
			return string(f.data[:4])
		}
	}
}

// references calls yield with each item that from refers to by the kind of
// reference, until it gives false.
func (m *meta) references(kind string, yield func(from, to uint32) bool) {
	f, version, _ := full(m.iref)
	for rest := f.data; ; {
		b, tail, ok := nextBox(rest)
		if !ok {
			return
		}
		rest = tail
		if b.name != kind {
			continue
		}
		f := fields{data: b.payload}
		from := f.sized(version > 0)
		for n := f.number(2); n > 0; n-- {
			to := f.sized(version > 0)
			if f.short {
				break
			}
			if !yield(from, to) {
				return
			}
		}
	}
}

// property gives the n-th property (from 1) of the file.
func (m *meta) property(n int) (box, bool) {
	if n > maxProperty {
		return box{}, false
	}
	for rest := m.ipco; n > 0; n-- {
		b, tail, ok := nextBox(rest)
		if !ok {
			return box{}, false
		}
		if n == 1 {
			return b, true
		}
		rest = tail
	}
	return box{}, false
}

// properties calls yield with each property of an item, in the order in which
// they apply.
func (m *meta) properties(id uint32, yield func(box) error) error {
	f, version, flags := full(m.ipma)
	for entries := f.number(4); entries > 0 && !f.short; entries-- {
		item := f.sized(version > 0)
		n := int(f.number(1))
		size := 1
		if flags&1 != 0 {
			size = 2
		}
		if item != id {
			f.skip(n * size)
			continue
		}
		if n > maxProperties {
			return fmt.Errorf("%w: %d properties of an item", ErrCorrupt, n)
		}
		for ; n > 0; n-- {
			// The top bit says that the property is essential.
			index := int(f.number(size)) & (1<<(8*size-1) - 1)
			if b, ok := m.property(index); ok {
				if err := yield(b); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return nil
}

// extents calls yield with the pieces of an item's data.
func (m *meta) extents(id uint32, yield func([]byte) error) error {
	f, version, _ := full(m.iloc)
	sizes := f.number(2)
	offsetSize, lengthSize := int(sizes>>12), int(sizes>>8&15)
	baseSize, indexSize := int(sizes>>4&15), int(sizes&15)
	if version == 0 {
		indexSize = 0
	}
	for items := f.sized(version > 1); items > 0 && !f.short; items-- {
		item := f.sized(version > 1)
		method := uint64(0)
		if version > 0 {
			method = f.number(2) & 15
		}
		f.number(2) // data reference
		base := f.number(baseSize)
		n := int(f.number(2))
		if item != id {
			f.skip(n * (indexSize + offsetSize + lengthSize))
			continue
		}
		from := m.file
		switch method {
		case 0:
		case 1:
			from = m.idat
		default:
			return fmt.Errorf("%w: item by construction method %d", ErrUnsupported, method)
		}
		for ; n > 0; n-- {
			f.number(indexSize)
			offset, length := base+f.number(offsetSize), f.number(lengthSize)
			if f.short || offset > uint64(len(from)) || length > uint64(len(from))-offset {
				return fmt.Errorf("%w: item outside the file, which may be cut off", ErrCorrupt)
			}
			if length == 0 {
				length = uint64(len(from)) - offset
			}
			if err := yield(from[offset : offset+length]); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%w: item %d is nowhere", ErrCorrupt, id)
}
