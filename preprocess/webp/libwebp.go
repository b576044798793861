//go:build cgo && unix

package webp

/*
#cgo CFLAGS: -O2 -Wall -Wextra
#cgo linux LDFLAGS: -ldl
#cgo noescape libwebp_decode
#cgo nocallback libwebp_decode
#include "libwebp.h"
*/
import "C"

import (
	"fmt"
	"image"
	"sync"
	"unsafe"

	"github.com/lexicam/lexicrop/preprocess/header"
)

// library is the system's libwebp, nil if there is none.
var library = sync.OnceValue(func() *C.libwebp { return C.libwebp_open() })

func systemAvailable() bool { return library() != nil }

func decodeSystem(f header.Frame) (Picture, error) {
	lib := library()
	file := still(f)
	var width, height C.int
	pixels := C.libwebp_decode(lib, (*C.uint8_t)(unsafe.SliceData(file)), C.size_t(len(file)), &width, &height)
	if pixels == nil {
		return Picture{}, fmt.Errorf("%w: libwebp cannot decode it", ErrCorrupt)
	}
	release := func() { C.libwebp_free(lib, pixels) }
	if size := f.Rect.Size(); int(width) != size.X || int(height) != size.Y {
		release()
		return Picture{}, fmt.Errorf("%w: frame of another size", ErrCorrupt)
	}
	stride := 4 * int(width)
	pix := unsafe.Slice((*byte)(pixels), stride*int(height))
	return Picture{Image: &image.NRGBA{Pix: pix, Stride: stride, Rect: f.Rect}, release: release}, nil
}
