package preprocess

import (
	"errors"
	"fmt"

	"github.com/lexicam/lexicrop/preprocess/header"
	"github.com/lexicam/lexicrop/preprocess/heif"
	"github.com/lexicam/lexicrop/preprocess/jpeg"
	"github.com/lexicam/lexicrop/preprocess/webp"
)

// Kind is why a file is refused, in the terms of who sent it.
type Kind int

const (
	// Empty is a file of no bytes.
	Empty Kind = iota + 1
	// NotAnImage is content that is no image of any format known here.
	NotAnImage
	// Unsupported is an image of a format, or a variant of one, that is not
	// taken; Error.Format names it.
	Unsupported
	// TooManyBytes is a file above Limits.MaxBytes.
	TooManyBytes
	// TooManyPixels is a picture above Limits.MaxPixels or Limits.MaxSide, by
	// what its header says.
	TooManyPixels
	// Corrupt is an image that is broken or cut off. What could be decoded of it
	// is not given: an answer about a half grey picture looks valid but is wrong.
	Corrupt
)

func (k Kind) String() string {
	switch k {
	case Empty:
		return "empty"
	case NotAnImage:
		return "not an image"
	case Unsupported:
		return "unsupported"
	case TooManyBytes:
		return "too many bytes"
	case TooManyPixels:
		return "too many pixels"
	case Corrupt:
		return "corrupt"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Error is a file that is refused. Every error of Open, Source.Decode and
// Source.DecodeRegion that the file is to blame for is one, by errors.As.
type Error struct {
	Kind   Kind
	Format string // of the file, "" if unknown
	Err    error  // the details, never nil
}

func (e *Error) Error() string {
	if e.Format == "" {
		return fmt.Sprintf("%s: %v", e.Kind, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Kind, e.Format, e.Err)
}

// Unwrap gives the details.
func (e *Error) Unwrap() error { return e.Err }

// Formats lists the formats that are taken, in the spelling of Info.Format. HEIC
// is one only where the system has libheif.
func Formats() []string {
	formats := []string{header.JPEG, header.PNG, header.WebP, header.AVIF, header.GIF, header.BMP, header.TIFF}
	if heif.Available() {
		formats = append(formats, header.HEIC)
	}
	return formats
}

func headerError(format string, err error) *Error {
	kind := Corrupt
	switch {
	case errors.Is(err, header.ErrEmpty):
		kind = Empty
	case errors.Is(err, header.ErrUnknown):
		kind = NotAnImage
	case errors.Is(err, header.ErrUnsupported):
		kind = Unsupported
	}
	return &Error{Kind: kind, Format: format, Err: err}
}

// errUnsupported marks what a decoder cannot do.
var errUnsupported = errors.New("not supported")

// errCorrupt marks what breaks a promise of the header.
var errCorrupt = errors.New("corrupt")

func decodeError(format string, err error) error {
	if errors.Is(err, jpeg.ErrMemory) {
		return fmt.Errorf("decoding %s: %w", format, err)
	}
	kind := Corrupt
	for _, unsupported := range []error{errUnsupported, jpeg.ErrUnsupported, heif.ErrUnsupported, webp.ErrUnsupported} {
		if errors.Is(err, unsupported) {
			kind = Unsupported
		}
	}
	return &Error{Kind: kind, Format: format, Err: err}
}
