// Package header reads what an image file says of itself before anything is
// decoded: format, size, orientation, and where EXIF and ICC profile lie. It
// allocates nothing that grows with the claimed size, trusts no length, and
// reads only content, never a name or a Content-Type.
package header

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/preprocess/resample"
)

// The formats that Read understands.
const (
	JPEG = "jpeg"
	PNG  = "png"
	WebP = "webp"
	GIF  = "gif"
	BMP  = "bmp"
	TIFF = "tiff"
	HEIC = "heic"
	AVIF = "avif"
)

// What Read can fail with; errors wrap one of them.
var (
	ErrEmpty       = errors.New("no data")
	ErrUnknown     = errors.New("not an image of a known format")
	ErrUnsupported = errors.New("unsupported")
	ErrCorrupt     = errors.New("corrupt header")
)

// Header is what the first picture of a file is. Slices point into the data
// given to Read.
type Header struct {
	Format        string
	Width, Height int // pixels as stored, at least 1
	// Components of the coded picture: 1 grey, 3 colour, 4 CMYK.
	Components int
	// MinBytes is how long a file with such a picture is at least. A shorter one
	// is cut off, or claims a large size to have memory allocated. 0 where no
	// bound is known.
	MinBytes int64
	// EXIF is the block with or without its "Exif\0\0" prefix, nil if absent.
	EXIF []byte
	// Turn is the orientation that the container itself states (HEIF's irot and
	// imir), 0 where only EXIF can tell.
	Turn resample.Orientation
	// Still locates the first frame of a WebP file.
	Still Frame
	// Coded describes the coded pictures of a HEIF file.
	Coded HEIF

	data    []byte
	profile []byte
	packing packing
}

// packing is how a format stores its ICC profile.
type packing int

const (
	packedPlain    packing = iota
	packedSegments         // JPEG's APP2 segments
	packedDeflate          // PNG's iCCP
)

// Read reads the header of data. The error wraps one of this package's; the
// header then tells at most the format.
func Read(data []byte) (Header, error) {
	h := Header{data: data, Components: 3}
	err := h.read()
	if err != nil {
		return Header{Format: h.Format}, err
	}
	if h.Width <= 0 || h.Height <= 0 {
		return Header{Format: h.Format}, fmt.Errorf("%w: %d x %d pixels", ErrCorrupt, h.Width, h.Height)
	}
	return h, nil
}

func (h *Header) read() error {
	data := h.data
	switch {
	case len(data) == 0:
		return ErrEmpty
	case hasPrefix(data, "\xff\xd8\xff"):
		h.Format = JPEG
		return h.readJPEG()
	case hasPrefix(data, "\x89PNG\r\n\x1a\n"):
		h.Format = PNG
		return h.readPNG()
	case hasPrefix(data, "RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		h.Format = WebP
		return h.readWebP()
	case hasPrefix(data, "GIF87a"), hasPrefix(data, "GIF89a"):
		h.Format = GIF
		return h.readGIF()
	case hasPrefix(data, "II*\x00"), hasPrefix(data, "MM\x00*"):
		h.Format = TIFF
		return h.readTIFF()
	case isBMP(data):
		h.Format = BMP
		return h.readBMP()
	case len(data) >= 12 && string(data[4:8]) == "ftyp":
		return h.readHEIF()
	}
	if name := otherFormat(data); name != "" {
		h.Format = name
		return fmt.Errorf("%w: %s is not taken", ErrUnsupported, name)
	}
	return ErrUnknown
}

// otherFormat names well-known formats that are not taken, so that the answer
// can say more than "unknown".
func otherFormat(data []byte) string {
	for _, known := range []struct{ prefix, name string }{
		{"\xff\x0a", "jxl"},
		{"\x00\x00\x00\x0cJXL \r\n\x87\n", "jxl"},
		{"\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2"},
		{"\xff\x4f\xff\x51", "jp2"},
		{"8BPS", "psd"},
		{"%PDF-", "pdf"},
		{"%!PS", "postscript"},
		{"II+\x00", "bigtiff"},
		{"MM\x00+", "bigtiff"},
		{"IIU\x00", "raw"},
		{"FUJIFILMCCD-RAW", "raw"},
		{"v/1\x01", "exr"},
		{"#?RADIANCE", "hdr"},
		{"qoif", "qoi"},
		{"DDS ", "dds"},
		{"icns", "icns"},
		{"\x00\x00\x01\x00", "ico"},
		{"\x00\x00\x02\x00", "ico"},
		{"\x1aE\xdf\xa3", "webm"},
	} {
		if hasPrefix(data, known.prefix) {
			return known.name
		}
	}
	if len(data) > 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '7' && isSpace(data[2]) {
		return "pnm"
	}
	if isSVG(data) {
		return "svg"
	}
	return ""
}

// isSVG looks for the root element behind declaration, comments and doctype. A
// picture whose metadata contain "<svg" is never asked: its magic comes first.
func isSVG(data []byte) bool {
	head := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n")
	head = head[:min(len(head), 4096)]
	for hasPrefix(head, "<?") || hasPrefix(head, "<!") {
		end := []byte(">")
		if hasPrefix(head, "<!--") {
			end = []byte("-->")
		}
		i := bytes.Index(head, end)
		if i < 0 {
			return false
		}
		head = bytes.TrimLeft(head[i+len(end):], " \t\r\n")
	}
	return hasPrefix(head, "<svg") || hasPrefix(head, "<svg:svg")
}

func hasPrefix(data []byte, prefix string) bool {
	return len(data) >= len(prefix) && string(data[:len(prefix)]) == prefix
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }
