//go:build cgo

package jpeg

/*
#cgo LDFLAGS: -ljpeg
#cgo CFLAGS: -O2 -Wall -Wextra
#cgo noescape turbo_decode
#cgo nocallback turbo_decode
#cgo noescape turbo_encode
#cgo nocallback turbo_encode
#include <stdlib.h>
#include "turbo.h"
*/
import "C"

import (
	"fmt"
	"io"
	"unsafe"
)

// Decoder names what this build decodes with.
const Decoder = "libjpeg-turbo"

// Decode writes the window's pixels to dst as RGB, stride bytes from row to
// row; dst[0] is the window's top left pixel. CMYK and YCCK become RGB without
// regard to a profile. It returns what was odd about the stream but did no harm
// to the pixels. After an error dst may be partly written.
func Decode(dst []byte, stride int, data []byte, window Window) (warnings []string, err error) {
	if err := window.check(dst, stride); err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: no data", ErrCorrupt)
	}
	r := window.Rect
	win := C.turbo_window{
		width: C.int(window.Width), height: C.int(window.Height), scale: C.int(window.Scale),
		x: C.int(r.Min.X), y: C.int(r.Min.Y), w: C.int(r.Dx()), h: C.int(r.Dy()),
		max_scans: MaxScans,
	}
	var report C.turbo_report
	status := C.turbo_decode((*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data)), &win,
		(*C.uint8_t)(unsafe.SliceData(dst)), C.size_t(stride), &report)
	if err := failure(status, &report); err != nil {
		return nil, err
	}
	if report.warnings > 0 {
		warnings = append(warnings, message(&report))
	}
	if report.missing_eoi != 0 {
		warnings = append(warnings, "JPEG without its end marker")
	}
	return warnings, nil
}

// Encode writes width x height RGB pixels as a baseline JPEG (4:2:0) of quality
// 1..100, with the ICC profile unless that is empty.
func Encode(w io.Writer, pix []byte, stride, width, height, quality int, profile []byte) error {
	if err := checkEncode(pix, stride, width, height); err != nil {
		return err
	}
	var report C.turbo_report
	var out *C.uint8_t
	var size C.size_t
	status := C.turbo_encode((*C.uint8_t)(unsafe.SliceData(pix)), C.size_t(stride), C.int(width), C.int(height),
		C.int(quality), (*C.uint8_t)(unsafe.SliceData(profile)), C.size_t(len(profile)), &out, &size, &report)
	if err := failure(status, &report); err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(out))
	if _, err := w.Write(unsafe.Slice((*byte)(out), size)); err != nil {
		return fmt.Errorf("writing JPEG: %w", err)
	}
	return nil
}

func failure(status C.int, report *C.turbo_report) error {
	switch status {
	case C.TURBO_OK:
		return nil
	case C.TURBO_DAMAGED:
		return fmt.Errorf("%w: %s", ErrDamaged, message(report))
	case C.TURBO_UNSUPPORTED:
		return fmt.Errorf("%w: %s", ErrUnsupported, message(report))
	case C.TURBO_TOO_MANY_SCANS:
		return fmt.Errorf("%w: more than %d", ErrTooManyScans, MaxScans)
	case C.TURBO_NO_MEMORY:
		return ErrMemory
	default:
		return fmt.Errorf("%w: %s", ErrCorrupt, message(report))
	}
}

func message(report *C.turbo_report) string { return C.GoString(&report.message[0]) }
