package preprocess

import (
	"bytes"
	"fmt"
	"image"

	"github.com/gen2brain/webp"

	"github.com/lexicam/lexicrop/preprocess/header"
)

// maxWebP is how many pixels fit, at 12 bytes each for the canvas, the one
// before it and the result, into the 4 GiB of a WebAssembly module.
const maxWebP = 200e6

// decodeWebP decodes one frame. The frame is handed to libwebp as an animation
// of a single frame, for two reasons. Of an animation the library gives RGBA by
// its own conversion; of a still it gives limited-range YCbCr halved in both
// directions, which Go's image package would read as full-range. And of a file
// with many frames it would allocate all of them.
func decodeWebP(f header.Frame) (image.Image, error) {
	if width, height := f.Rect.Dx(), f.Rect.Dy(); width*height > maxWebP {
		return nil, fmt.Errorf("%w: WebP of %d x %d pixels", errUnsupported, width, height)
	}
	m, err := webp.Decode(bytes.NewReader(animationOfOne(f)))
	if err != nil {
		return nil, err
	}
	rgba, ok := m.(*image.RGBA)
	if !ok || rgba.Rect.Size() != f.Rect.Size() {
		return nil, fmt.Errorf("%w: WebP frame of another size", errCorrupt)
	}
	rgba.Rect = f.Rect
	return rgba, nil
}

// animationOfOne writes the container of an animation around a frame (RFC 9649
// section 2.7.1), on a transparent canvas of the frame's size.
func animationOfOne(f header.Frame) []byte {
	const flagAnimation, flagAlpha = 1 << 1, 1 << 4
	width, height := f.Rect.Dx(), f.Rect.Dy()

	var vp8x [10]byte
	vp8x[0] = flagAnimation | flagAlpha
	put24(vp8x[4:], width-1)
	put24(vp8x[7:], height-1)

	anmf := make([]byte, 16, 16+len(f.Alpha)+len(f.Pixels)+2)
	put24(anmf[6:], width-1)
	put24(anmf[9:], height-1)
	anmf[15] = 1 << 1 // do not blend
	for _, chunk := range [][]byte{f.Alpha, f.Pixels} {
		anmf = append(anmf, chunk...)
		if len(chunk)%2 == 1 {
			anmf = append(anmf, 0)
		}
	}

	body := make([]byte, 0, len(anmf)+64)
	body = append(body, "WEBP"...)
	body = appendChunk(body, "VP8X", vp8x[:])
	body = appendChunk(body, "ANIM", make([]byte, 6))
	body = appendChunk(body, "ANMF", anmf)
	return appendChunk(make([]byte, 0, len(body)+8), "RIFF", body)
}
