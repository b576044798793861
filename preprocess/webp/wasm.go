package webp

import (
	"bytes"
	"fmt"
	"image"

	"github.com/gen2brain/webp"

	"github.com/lexicam/lexicrop/preprocess/header"
)

// maxWasm is how many pixels fit, at 12 bytes each for the canvas, the one
// before it and the result, into the 4 GiB of a WebAssembly module.
const maxWasm = 200e6

// decodeWasm hands the frame to libwebp as an animation of a single frame, for
// two reasons. Of an animation the module gives RGBA by libwebp's own
// conversion; of a still it gives limited-range YCbCr halved in both directions,
// which Go's image package would read as full-range. And of a file with many
// frames it would allocate all of them.
func decodeWasm(f header.Frame) (Picture, error) {
	size := f.Rect.Size()
	if size.X*size.Y > maxWasm {
		return Picture{}, fmt.Errorf("%w: %d x %d pixels", ErrUnsupported, size.X, size.Y)
	}
	m, err := webp.Decode(bytes.NewReader(animationOfOne(f)))
	if err != nil {
		return Picture{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	rgba, ok := m.(*image.RGBA)
	if !ok || rgba.Rect.Size() != size {
		return Picture{}, fmt.Errorf("%w: frame of another size", ErrCorrupt)
	}
	rgba.Rect = f.Rect
	return Picture{Image: rgba}, nil
}

// animationOfOne writes the container of an animation around a frame (RFC 9649
// section 2.7.1), on a transparent canvas of the frame's size.
func animationOfOne(f header.Frame) []byte {
	size := f.Rect.Size()
	anmf := make([]byte, 16, 16+len(f.Alpha)+len(f.Pixels)+2)
	put24(anmf[6:], size.X-1)
	put24(anmf[9:], size.Y-1)
	anmf[15] = 1 << 1 // do not blend
	anmf = appendWhole(anmf, f.Alpha)
	anmf = appendWhole(anmf, f.Pixels)

	body := make([]byte, 0, len(anmf)+64)
	body = append(body, "WEBP"...)
	body = appendVP8X(body, flagAnimation|flagAlpha, size)
	body = appendChunk(body, "ANIM", make([]byte, 6))
	body = appendChunk(body, "ANMF", anmf)
	return appendChunk(make([]byte, 0, len(body)+8), "RIFF", body)
}
