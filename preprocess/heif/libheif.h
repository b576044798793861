// One call into the system's libheif, which is looked for at run time so that
// neither the build nor the program needs it.
#ifndef LEXICROP_LIBHEIF_H
#define LEXICROP_LIBHEIF_H

#include <stddef.h>
#include <stdint.h>

typedef struct libheif libheif; // the library's functions

// libheif_open gives NULL if there is no usable library.
libheif *libheif_open(void);

typedef struct {
  void *image; // to be given to libheif_release, NULL after an error
  const uint8_t *pixels;
  int stride, width, height;
  int alpha, premultiplied; // 4 bytes a pixel instead of 3
  int unsupported;          // the error is that there is no decoder for it
  char message[160];        // the error
} libheif_picture;

// libheif_decode decodes the primary picture to interleaved 8-bit RGB(A), with
// the transformations in the file applied. It keeps no pointer to data. Pictures
// beyond max_side are refused by the library.
void libheif_decode(const libheif *lib, const uint8_t *data, size_t size,
                    int max_side, libheif_picture *out);

void libheif_release(const libheif *lib, libheif_picture *picture);

#endif
