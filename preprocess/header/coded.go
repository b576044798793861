package header

import (
	"encoding/binary"
	"fmt"
)

// slack is how much larger than the shown picture a coded one may be, in
// pixels a side: codecs work in blocks of up to 128.
const slack = 128

func checkSize(width, height uint64, maxWidth, maxHeight int) error {
	if width > uint64(maxWidth+slack) || height > uint64(maxHeight+slack) {
		return fmt.Errorf("%w: %d x %d coded in a picture of %d x %d", ErrCorrupt, width, height, maxWidth, maxHeight)
	}
	return nil
}

// checkHEVCConfig checks the parameter sets in an hvcC box (ISO/IEC 14496-15
// section 8.3.3).
func checkHEVCConfig(config []byte, width, height int) error {
	f := fields{data: config}
	f.skip(22)
	for arrays := f.number(1); arrays > 0; arrays-- {
		f.number(1)
		for units := f.number(2); units > 0 && !f.short; units-- {
			size := int(f.number(2))
			unit := f.data
			f.skip(size)
			if f.short {
				break
			}
			if err := checkUnit(unit[:size], width, height); err != nil {
				return err
			}
		}
	}
	if f.short {
		return fmt.Errorf("%w: HEVC configuration", ErrCorrupt)
	}
	return nil
}

// checkHEVC checks the parameter sets among the units of coded data.
func checkHEVC(data, config []byte, width, height int) error {
	if len(config) < 22 {
		return fmt.Errorf("%w: HEVC without configuration", ErrCorrupt)
	}
	f := fields{data: data}
	for len(f.data) > 0 {
		size := f.number(int(config[21]&3) + 1)
		if f.short || size > uint64(len(f.data)) {
			return fmt.Errorf("%w: HEVC data cut off", ErrCorrupt)
		}
		if err := checkUnit(f.data[:size], width, height); err != nil {
			return err
		}
		f.data = f.data[size:]
	}
	return nil
}

// checkUnit reads the size in a sequence parameter set (ITU-T H.265 section
// 7.3.2.2.1).
func checkUnit(unit []byte, width, height int) error {
	const sps = 33
	if len(unit) < 2 || unit[0]>>1&0x3f != sps {
		return nil
	}
	b := bits{data: unit[2:], escaped: true}
	b.skip(4)
	layers := int(b.read(3))
	b.skip(1 + 96) // nesting flag, general profile, tier and level
	var profiles, levels int
	if layers > 0 {
		for i := range 8 {
			profile, level := int(b.read(1)), int(b.read(1))
			if i < layers {
				profiles, levels = profiles+profile, levels+level
			}
		}
	}
	b.skip(88*profiles + 8*levels)
	b.golomb()
	if b.golomb() == 3 { // 4:4:4
		b.skip(1)
	}
	w, h := b.golomb(), b.golomb()
	if b.short {
		return fmt.Errorf("%w: HEVC parameters cut off", ErrCorrupt)
	}
	return checkSize(w, h, width, height)
}

// checkAV1 checks the sequence headers in coded data (AV1 specification,
// section 5.3).
func checkAV1(data, _ []byte, width, height int) error {
	const sequenceHeader = 1
	found := false
	for len(data) > 0 {
		head := data[0]
		data = data[1:]
		if head&4 != 0 { // extension
			data = data[min(1, len(data)):]
		}
		size := uint64(len(data))
		if head&2 != 0 {
			var n int
			if size, n = binary.Uvarint(data); n <= 0 {
				return fmt.Errorf("%w: AV1 data cut off", ErrCorrupt)
			}
			data = data[n:]
		}
		if size > uint64(len(data)) {
			return fmt.Errorf("%w: AV1 data cut off", ErrCorrupt)
		}
		if head>>3&15 == sequenceHeader {
			w, h, ok := sequenceSize(data[:size])
			if !ok {
				return fmt.Errorf("%w: AV1 sequence header", ErrCorrupt)
			}
			if err := checkSize(w, h, width, height); err != nil {
				return err
			}
			found = true
		}
		data = data[size:]
	}
	if !found {
		return fmt.Errorf("%w: AV1 without a sequence header", ErrCorrupt)
	}
	return nil
}

// sequenceSize reads the largest frame size of a sequence header (AV1
// specification, section 5.5.1).
func sequenceSize(data []byte) (width, height uint64, ok bool) {
	b := bits{data: data}
	b.skip(3 + 1)
	if b.read(1) == 1 { // reduced header of a still picture
		b.skip(5)
	} else {
		skipOperatingPoints(&b)
	}
	widthBits, heightBits := int(b.read(4))+1, int(b.read(4))+1
	width, height = b.read(widthBits)+1, b.read(heightBits)+1
	return width, height, !b.short
}

func skipOperatingPoints(b *bits) {
	var model bool
	var delayBits int
	if b.read(1) == 1 { // timing info
		b.skip(64)
		if b.read(1) == 1 {
			b.golomb()
		}
		if model = b.read(1) == 1; model {
			delayBits = int(b.read(5)) + 1
			b.skip(32 + 5 + 5)
		}
	}
	display := b.read(1) == 1
	for points := b.read(5) + 1; points > 0; points-- {
		b.skip(12)
		if b.read(5) > 7 {
			b.skip(1)
		}
		if model && b.read(1) == 1 {
			b.skip(2*delayBits + 1)
		}
		if display && b.read(1) == 1 {
			b.skip(4)
		}
	}
}

// bits reads single bits, the highest of a byte first; behind the end it gives
// zeros and sets short.
type bits struct {
	data    []byte
	at      int  // in the first byte
	zeros   int  // zero bytes just before
	escaped bool // a 3 behind two zero bytes is no data (H.265 section 7.3.1.1)
	short   bool
}

func (b *bits) read(n int) uint64 {
	var v uint64
	for ; n > 0; n-- {
		if b.escaped && b.at == 0 && b.zeros >= 2 && len(b.data) > 0 && b.data[0] == 3 {
			b.data, b.zeros = b.data[1:], 0
		}
		if len(b.data) == 0 {
			b.short = true
			return 0
		}
		v = v<<1 | uint64(b.data[0]>>(7-b.at)&1)
		if b.at++; b.at == 8 {
			if b.zeros++; b.data[0] != 0 {
				b.zeros = 0
			}
			b.data, b.at = b.data[1:], 0
		}
	}
	return v
}

func (b *bits) skip(n int) {
	for ; n > 0 && !b.short; n-- {
		b.read(1)
	}
}

// golomb reads an unsigned Exp-Golomb number (H.265 section 9.2), which is also
// AV1's uvlc.
func (b *bits) golomb() uint64 {
	zeros := 0
	for b.read(1) == 0 {
		if zeros++; b.short || zeros > 32 {
			b.short = true
			return 0
		}
	}
	return 1<<zeros - 1 + b.read(zeros)
}
