// The part of libjpeg(-turbo) that the Go side needs, as calls that never
// long-jump out of C and keep no pointer after they return.
#ifndef LEXICROP_TURBO_H
#define LEXICROP_TURBO_H

#include <stddef.h>
#include <stdint.h>

enum turbo_status {
  TURBO_OK = 0,
  TURBO_CORRUPT = 1,     // not a JPEG stream libjpeg can follow
  TURBO_DAMAGED = 2,     // pixels are missing or wrong: cut off, bad codes
  TURBO_UNSUPPORTED = 3, // legal, but not handled by this library
  TURBO_TOO_MANY_SCANS = 4,
  TURBO_NO_MEMORY = 5,
};

typedef struct {
  int width, height; // size the caller read from the header, checked again here
  int scale;         // eighths: 1, 2, 4 or 8
  int x, y, w, h;    // window in pixels of the scaled picture
  int max_scans;
} turbo_window;

typedef struct {
  int warnings;       // harmless ones
  int missing_eoi;    // data ended without the end marker, all pixels there
  int progressive;    // more than one scan
  char message[200];  // first warning, or the error (JMSG_LENGTH_MAX)
} turbo_report;

// turbo_decode writes h rows of w RGB pixels to out, stride bytes apart.
// CMYK and YCCK become RGB by (255-C)(255-K)/255 without their profile.
int turbo_decode(const uint8_t *data, size_t size, const turbo_window *win,
                 uint8_t *out, size_t stride, turbo_report *report);

// turbo_encode gives a malloc'ed baseline JPEG (4:2:0) in *out; the caller
// frees it. icc may be NULL.
int turbo_encode(const uint8_t *rgb, size_t stride, int width, int height,
                 int quality, const uint8_t *icc, size_t icc_size,
                 uint8_t **out, size_t *out_size, turbo_report *report);

#endif
