package triton

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/lexicam/lexicrop/triton/inference"
)

// DType is an element type by its name in the protocol.
type DType string

// The element types of the protocol. Bytes elements are of variable size: four
// bytes of length (little-endian), then as many bytes.
const (
	Bool   DType = "BOOL"
	Uint8  DType = "UINT8"
	Uint16 DType = "UINT16"
	Uint32 DType = "UINT32"
	Uint64 DType = "UINT64"
	Int8   DType = "INT8"
	Int16  DType = "INT16"
	Int32  DType = "INT32"
	Int64  DType = "INT64"
	FP16   DType = "FP16"
	BF16   DType = "BF16"
	FP32   DType = "FP32"
	FP64   DType = "FP64"
	Bytes  DType = "BYTES"
)

// DTypeOf translates the type of a model configuration.
func DTypeOf(t inference.DataType) DType {
	if t == inference.DataType_TYPE_STRING {
		return Bytes
	}
	return DType(strings.TrimPrefix(t.String(), "TYPE_"))
}

// Size returns the bytes of one element; 0 for Bytes and for unknown types.
func (d DType) Size() int {
	switch d {
	case Bool, Uint8, Int8:
		return 1
	case Uint16, Int16, FP16, BF16:
		return 2
	case Uint32, Int32, FP32:
		return 4
	case Uint64, Int64, FP64:
		return 8
	default:
		return 0
	}
}

// Tensor is a dense array: row-major, little-endian, without padding. Shape
// includes the batch dimension.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64
	Data  []byte
}

// Float32s decodes an FP32 or FP16 tensor into dst[:0], growing it when it
// must, and returns the elements. It fails on another type; every Tensor out of
// Infer has the length that its shape says.
func (t Tensor) Float32s(dst []float32) ([]float32, error) {
	dst = dst[:0]
	switch t.DType {
	case FP32:
		for b := t.Data; len(b) >= 4; b = b[4:] {
			dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	case FP16:
		for b := t.Data; len(b) >= 2; b = b[2:] {
			dst = append(dst, float16(binary.LittleEndian.Uint16(b)))
		}
	default:
		return nil, fmt.Errorf("tensor %s is %s, not %s or %s", t.Name, t.DType, FP32, FP16)
	}
	return dst, nil
}

// float16 is the value of a half precision number.
func float16(bits uint16) float32 {
	sign, exponent, fraction := uint32(bits>>15)<<31, uint32(bits>>10&31), uint32(bits&1023)
	switch exponent {
	case 0: // zero or subnormal: a multiple of 2^-24
		return math.Float32frombits(math.Float32bits(float32(fraction)*0x1p-24) | sign)
	case 31: // infinite or no number
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	default: // float32 has a bias of 127 where this has 15
		return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
	}
}

// Int64s decodes an INT64 or INT32 tensor into dst[:0], growing it when it must,
// and returns the elements. It fails on another type.
func (t Tensor) Int64s(dst []int64) ([]int64, error) {
	dst = dst[:0]
	switch t.DType {
	case Int64:
		for b := t.Data; len(b) >= 8; b = b[8:] {
			dst = append(dst, int64(binary.LittleEndian.Uint64(b)))
		}
	case Int32:
		for b := t.Data; len(b) >= 4; b = b[4:] {
			dst = append(dst, int64(int32(binary.LittleEndian.Uint32(b))))
		}
	default:
		return nil, fmt.Errorf("tensor %s is %s, not %s or %s", t.Name, t.DType, Int64, Int32)
	}
	return dst, nil
}

// check says whether the bytes are as many as type and shape want.
func (t Tensor) check() error {
	n, err := elements(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %s: %w", t.Name, err)
	}
	if t.DType == Bytes {
		return t.checkBytesElements(n)
	}
	size := t.DType.Size()
	if size == 0 {
		return fmt.Errorf("tensor %s: unknown type %q", t.Name, t.DType)
	}
	if have := uint64(len(t.Data)); have/uint64(size) != n || have%uint64(size) != 0 {
		return fmt.Errorf("tensor %s: %s of shape %v in %d bytes", t.Name, t.DType, t.Shape, len(t.Data))
	}
	return nil
}

func (t Tensor) checkBytesElements(n uint64) error {
	rest := t.Data
	for i := range n {
		if len(rest) < 4 {
			return fmt.Errorf("tensor %s: %d of %d elements in %d bytes", t.Name, i, n, len(t.Data))
		}
		length := uint64(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
		if length > uint64(len(rest)) {
			return fmt.Errorf("tensor %s: element %d says %d bytes where %d are left", t.Name, i, length, len(rest))
		}
		rest = rest[length:]
	}
	if len(rest) != 0 {
		return fmt.Errorf("tensor %s: %d bytes after the last element", t.Name, len(rest))
	}
	return nil
}

// elements multiplies the dimensions, refusing negative ones and products that
// could not be a message's size.
func elements(shape []int64) (uint64, error) {
	n := uint64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		high, low := bits.Mul64(n, uint64(d))
		if high != 0 || low > math.MaxInt32 {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n = low
	}
	return n, nil
}

// TensorSpec says what a model's input or output is. A dimension of -1 is free.
type TensorSpec struct {
	Name  string
	DType DType
	Shape []int64
}

// accepts says why t is not what the specification asks for.
func (s TensorSpec) accepts(t Tensor) error {
	if s.DType != "" && s.DType != t.DType {
		return fmt.Errorf("tensor %s is %s where %s was asked for", t.Name, t.DType, s.DType)
	}
	if s.Shape == nil {
		return nil
	}
	if len(s.Shape) != len(t.Shape) {
		return fmt.Errorf("tensor %s has shape %v where %v was asked for", t.Name, t.Shape, s.Shape)
	}
	for i, want := range s.Shape {
		if want >= 0 && want != t.Shape[i] {
			return fmt.Errorf("tensor %s has shape %v where %v was asked for", t.Name, t.Shape, s.Shape)
		}
	}
	return nil
}

// byteSize returns the bytes of a tensor of this kind; ok is false when a
// dimension or the element size is free.
func (s TensorSpec) byteSize() (size int, ok bool) {
	if s.Shape == nil {
		return 0, false
	}
	n, err := elements(s.Shape)
	if err != nil || s.DType.Size() == 0 {
		return 0, false
	}
	return int(n) * s.DType.Size(), true
}
