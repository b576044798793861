//go:build !cgo

package jpeg

import "io"

// Decoder names what this build decodes with.
const Decoder = "image/jpeg"

// Decode writes the window's pixels to dst as RGB, stride bytes from row to
// row; dst[0] is the window's top left pixel. CMYK and YCCK become RGB without
// regard to a profile. It returns what was odd about the stream but did no harm
// to the pixels. After an error dst may be partly written.
func Decode(dst []byte, stride int, data []byte, window Window) (warnings []string, err error) {
	return plainDecode(dst, stride, data, window)
}

// Encode writes width x height RGB pixels as a baseline JPEG (4:2:0) of quality
// 1..100, with the ICC profile unless that is empty.
func Encode(w io.Writer, pix []byte, stride, width, height, quality int, profile []byte) error {
	return plainEncode(w, pix, stride, width, height, quality, profile)
}
