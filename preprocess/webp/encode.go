package webp

import (
	"bytes"
	"fmt"
	"image"
	"io"

	"github.com/gen2brain/webp"
)

// Encode writes an opaque picture as lossy WebP of quality 1..100 (100 is
// lossless), with the ICC profile unless that is empty.
func Encode(w io.Writer, m *image.NRGBA, quality int, profile []byte) error {
	var plain bytes.Buffer
	if err := webp.Encode(&plain, m, webp.Options{Quality: quality, Method: 4}); err != nil {
		return fmt.Errorf("encoding WebP: %w", err)
	}
	out := plain.Bytes()
	if len(profile) > 0 {
		out = withProfile(out[12:], m.Rect.Size(), profile)
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("writing WebP: %w", err)
	}
	return nil
}

// withProfile puts the chunks of a still, opaque file into an extended one with
// a profile (RFC 9649 section 2.7).
func withProfile(chunks []byte, size image.Point, profile []byte) []byte {
	body := appendVP8X([]byte("WEBP"), flagICC, size)
	body = appendChunk(body, "ICCP", profile)
	body = append(body, chunks...)
	return appendChunk(nil, "RIFF", body)
}
