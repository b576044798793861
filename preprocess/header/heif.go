package header

import "fmt"

// HEIF describes the coded pictures of a HEIC or AVIF file.
type HEIF struct{}

func (h *Header) readHEIF() error {
	return fmt.Errorf("%w: HEIF", ErrUnsupported)
}
