//go:build cgo && unix

package heif

/*
#cgo CFLAGS: -O2 -Wall -Wextra
#cgo linux LDFLAGS: -ldl
#cgo noescape libheif_decode
#cgo nocallback libheif_decode
#include "libheif.h"
*/
import "C"

import (
	"fmt"
	"image"
	"sync"
	"unsafe"
)

// library is the system's libheif, nil if there is none.
var library = sync.OnceValue(func() *C.libheif { return C.libheif_open() })

// Available tells whether there is a libheif, without which HEIC is not taken.
func Available() bool { return library() != nil }

func decodeSystem(data []byte, maxSide int) (Picture, error) {
	lib := library()
	if lib == nil {
		return Picture{}, errNoLibrary
	}
	decoded := new(C.libheif_picture)
	C.libheif_decode(lib, (*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data)), C.int(maxSide), decoded)
	if decoded.image == nil {
		kind := ErrCorrupt
		if decoded.unsupported != 0 {
			kind = ErrUnsupported
		}
		return Picture{}, fmt.Errorf("%w: %s", kind, C.GoString(&decoded.message[0]))
	}
	return Picture{Image: view(decoded), Turned: true, release: func() { C.libheif_release(lib, decoded) }}, nil
}

// view is the library's memory as an image.
func view(p *C.libheif_picture) image.Image {
	rect := image.Rect(0, 0, int(p.width), int(p.height))
	stride := int(p.stride)
	width := 3 * rect.Dx()
	if p.alpha != 0 {
		width = 4 * rect.Dx()
	}
	pix := unsafe.Slice((*byte)(p.pixels), stride*(rect.Dy()-1)+width)
	switch {
	case p.alpha == 0:
		return &RGB{Pix: pix, Stride: stride, Rect: rect}
	case p.premultiplied != 0:
		return &image.RGBA{Pix: pix, Stride: stride, Rect: rect}
	default:
		return &image.NRGBA{Pix: pix, Stride: stride, Rect: rect}
	}
}
