// One call into the system's libwebp, which is looked for at run time so that
// neither the build nor the program needs it.
#ifndef LEXICROP_LIBWEBP_H
#define LEXICROP_LIBWEBP_H

#include <stddef.h>
#include <stdint.h>

typedef struct libwebp libwebp; // the library's functions

// libwebp_open gives NULL if there is no usable library.
libwebp *libwebp_open(void);

// libwebp_decode gives the picture as RGBA, 4*width bytes a row, NULL if it
// cannot be decoded. It keeps no pointer to data.
uint8_t *libwebp_decode(const libwebp *lib, const uint8_t *data, size_t size,
                        int *width, int *height);

void libwebp_free(const libwebp *lib, uint8_t *pixels);

#endif
