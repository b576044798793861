package preprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"

	"github.com/lexicam/lexicrop/preprocess/header"
	"github.com/lexicam/lexicrop/preprocess/jpeg"
	"github.com/lexicam/lexicrop/preprocess/resample"
	"github.com/lexicam/lexicrop/preprocess/webp"
)

// Encode writes the decoded pixels upright as "jpeg", "png" or "webp". quality
// is 1..100 and means nothing for png. No metadata of the file go along, other
// than the profile of a picture decoded with KeepProfile.
func (p *Picture) Encode(w io.Writer, format string, quality int) error {
	upright := p.rgb
	if p.orientation.Swaps() || p.orientation > resample.Upright {
		width, height := p.Size()
		m := getBuffer(3 * width * height)
		defer putBuffer(m)
		upright = resample.RGB{Pix: *m, Stride: 3 * width, Width: width, Height: height}
		resample.Orient(upright, p.rgb, p.orientation)
	}
	quality = min(max(quality, 1), 100)
	switch format {
	case header.JPEG:
		return jpeg.Encode(w, upright.Pix, upright.Stride, upright.Width, upright.Height, quality, p.profile)
	case header.PNG:
		return encodePNG(w, upright, p.profile)
	case header.WebP:
		return webp.Encode(w, toNRGBA(upright), quality, p.profile)
	}
	return fmt.Errorf("encoding: no format %q", format)
}

func encodePNG(w io.Writer, m resample.RGB, profile []byte) error {
	var plain bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&plain, toNRGBA(m)); err != nil {
		return fmt.Errorf("encoding PNG: %w", err)
	}
	out := plain.Bytes()
	if len(profile) > 0 {
		// Go's encoder knows no iCCP; it belongs behind IHDR, the first 33 bytes.
		out = bytes.Join([][]byte{out[:33], chunkICCP(profile), out[33:]}, nil)
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("writing PNG: %w", err)
	}
	return nil
}

func chunkICCP(profile []byte) []byte {
	var packed bytes.Buffer
	packed.WriteString("iCCPICC profile\x00\x00")
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(profile) // a bytes.Buffer takes everything
	_ = z.Close()
	body := packed.Bytes()
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)-4))
	out = append(out, body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
}

func toNRGBA(m resample.RGB) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, m.Width, m.Height))
	for y := range m.Height {
		from, to := m.Pix[y*m.Stride:], out.Pix[y*out.Stride:]
		for x := range m.Width {
			copy(to[4*x:4*x+3], from[3*x:3*x+3])
			to[4*x+3] = 255
		}
	}
	return out
}
