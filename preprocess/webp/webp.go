// Package webp decodes and encodes WebP pictures by libwebp: decoding by the
// system's library if there is one, otherwise, and encoding always, by its build
// in WebAssembly (gen2brain/webp), which takes several times as long and as much
// memory.
package webp

import (
	"encoding/binary"
	"errors"
	"image"

	"github.com/lexicam/lexicrop/preprocess/header"
)

var (
	// ErrCorrupt is a frame that cannot be decoded.
	ErrCorrupt = errors.New("corrupt WebP")
	// ErrUnsupported is a frame too large for the decoder.
	ErrUnsupported = errors.New("unsupported WebP")
)

// Picture is a decoded frame at its place on the canvas, an *image.NRGBA or
// *image.RGBA. It is valid until Release.
type Picture struct {
	image.Image
	release func()
}

// Release gives back memory of the library.
func (p Picture) Release() {
	if p.release != nil {
		p.release()
	}
}

// Decode decodes the first frame of a file whose header has been read.
func Decode(f header.Frame) (Picture, error) {
	if systemAvailable() {
		return decodeSystem(f)
	}
	return decodeWasm(f)
}

// still writes the container of a still picture around a frame (RFC 9649
// sections 2.5 to 2.7).
func still(f header.Frame) []byte {
	body := make([]byte, 0, len(f.Alpha)+len(f.Pixels)+32)
	body = append(body, "WEBP"...)
	if f.Alpha != nil {
		body = appendVP8X(body, flagAlpha, f.Rect.Size())
	}
	body = appendWhole(body, f.Alpha)
	body = appendWhole(body, f.Pixels)
	return appendChunk(make([]byte, 0, len(body)+8), "RIFF", body)
}

// Flags of the VP8X chunk.
const (
	flagAnimation = 1 << 1
	flagAlpha     = 1 << 4
	flagICC       = 1 << 5
)

func appendVP8X(dst []byte, flags byte, canvas image.Point) []byte {
	var payload [10]byte
	payload[0] = flags
	put24(payload[4:], canvas.X-1)
	put24(payload[7:], canvas.Y-1)
	return appendChunk(dst, "VP8X", payload[:])
}

// appendChunk appends a RIFF chunk, padded to an even size.
func appendChunk(dst []byte, name string, payload []byte) []byte {
	dst = append(dst, name...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	return appendWhole(dst, payload)
}

// appendWhole pads to an even size.
func appendWhole(dst, chunk []byte) []byte {
	dst = append(dst, chunk...)
	if len(chunk)%2 == 1 {
		dst = append(dst, 0)
	}
	return dst
}

func put24(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }
