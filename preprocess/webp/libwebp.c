//go:build cgo && unix

#include "libwebp.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// Declarations of libwebp's stable C interface (version 7), written down here so
// that building needs no header of it.
struct libwebp {
  uint8_t *(*decode)(const uint8_t *, size_t, int *, int *);
  void (*free)(void *);
};

#if defined(__APPLE__)
#define SONAME "libwebp.7.dylib"
#else
#define SONAME "libwebp.so.7"
#endif

libwebp *libwebp_open(void) {
  void *so = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
  if (so == NULL)
    return NULL;
  libwebp *lib = calloc(1, sizeof *lib);
  void *decode = dlsym(so, "WebPDecodeRGBA"), *release = dlsym(so, "WebPFree");
  if (lib == NULL || decode == NULL || release == NULL) {
    free(lib);
    dlclose(so);
    return NULL;
  }
  memcpy(&lib->decode, &decode, sizeof decode);
  memcpy(&lib->free, &release, sizeof release);
  return lib;
}

uint8_t *libwebp_decode(const libwebp *lib, const uint8_t *data, size_t size,
                        int *width, int *height) {
  return lib->decode(data, size, width, height);
}

void libwebp_free(const libwebp *lib, uint8_t *pixels) { lib->free(pixels); }
