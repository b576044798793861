//go:build cgo && unix

#include "libheif.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Declarations of libheif's stable C interface (version 1), written down here
// so that building needs no header of it.

struct heif_error {
  int code, subcode;
  const char *message;
};

enum {
  ERROR_UNSUPPORTED_FILETYPE = 3,
  ERROR_UNSUPPORTED_FEATURE = 4,
  COLORSPACE_RGB = 1,
  CHROMA_RGB = 10,
  CHROMA_RGBA = 11,
  CHANNEL_INTERLEAVED = 10,
};

// The beginning of heif_decoding_options; the library allocates all of it and
// later versions only append.
struct decoding_options {
  uint8_t version;
  uint8_t ignore_transformations;
  void *start_progress, *on_progress, *end_progress, *progress_user_data;
  uint8_t convert_hdr_to_8bit; // from version 2 on
};

typedef void context, handle, image;

struct libheif {
  struct heif_error (*init)(void *);
  context *(*context_alloc)(void);
  void (*context_free)(context *);
  void (*set_size_limit)(context *, int);
  struct heif_error (*read)(context *, const void *, size_t, const void *);
  struct heif_error (*primary)(context *, handle **);
  void (*handle_release)(const handle *);
  int (*has_alpha)(const handle *);
  int (*premultiplied)(const handle *);
  struct decoding_options *(*options_alloc)(void);
  void (*options_free)(struct decoding_options *);
  struct heif_error (*decode)(const handle *, image **, int, int, const struct decoding_options *);
  const uint8_t *(*plane)(const image *, int, int *);
  int (*width)(const image *, int);
  int (*height)(const image *, int);
  void (*image_release)(const image *);
};

#if defined(__APPLE__)
#define SONAME "libheif.1.dylib"
#else
#define SONAME "libheif.so.1"
#endif

libheif *libheif_open(void) {
  void *so = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
  if (so == NULL)
    return NULL;
  libheif *lib = calloc(1, sizeof *lib);
  if (lib == NULL) {
    dlclose(so);
    return NULL;
  }
  struct {
    void *where;
    const char *name;
  } const functions[] = {
      {&lib->context_alloc, "heif_context_alloc"},
      {&lib->context_free, "heif_context_free"},
      {&lib->set_size_limit, "heif_context_set_maximum_image_size_limit"},
      {&lib->read, "heif_context_read_from_memory"},
      {&lib->primary, "heif_context_get_primary_image_handle"},
      {&lib->handle_release, "heif_image_handle_release"},
      {&lib->has_alpha, "heif_image_handle_has_alpha_channel"},
      {&lib->premultiplied, "heif_image_handle_is_premultiplied_alpha"},
      {&lib->options_alloc, "heif_decoding_options_alloc"},
      {&lib->options_free, "heif_decoding_options_free"},
      {&lib->decode, "heif_decode_image"},
      {&lib->plane, "heif_image_get_plane_readonly"},
      {&lib->width, "heif_image_get_width"},
      {&lib->height, "heif_image_get_height"},
      {&lib->image_release, "heif_image_release"},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *f = dlsym(so, functions[i].name);
    if (f == NULL) {
      free(lib);
      dlclose(so);
      return NULL;
    }
    memcpy(functions[i].where, &f, sizeof f);
  }
  // Loads decoders that are plugins; before 1.13 there are none, and no such function.
  void *init = dlsym(so, "heif_init");
  if (init != NULL) {
    memcpy(&lib->init, &init, sizeof init);
    lib->init(NULL);
  }
  return lib;
}

static int failed(struct heif_error e, libheif_picture *out) {
  if (e.code == 0)
    return 0;
  out->unsupported = e.code == ERROR_UNSUPPORTED_FILETYPE || e.code == ERROR_UNSUPPORTED_FEATURE;
  snprintf(out->message, sizeof out->message, "%s", e.message ? e.message : "unknown error");
  return 1;
}

static void decode_primary(const libheif *lib, context *ctx, libheif_picture *out) {
  handle *picture = NULL;
  if (failed(lib->primary(ctx, &picture), out))
    return;
  struct decoding_options *options = lib->options_alloc();
  if (options == NULL || options->version < 2) {
    snprintf(out->message, sizeof out->message, "libheif is too old");
    out->unsupported = 1;
    goto done;
  }
  options->convert_hdr_to_8bit = 1;
  out->alpha = lib->has_alpha(picture);
  out->premultiplied = out->alpha && lib->premultiplied(picture);
  image *decoded = NULL;
  if (failed(lib->decode(picture, &decoded, COLORSPACE_RGB, out->alpha ? CHROMA_RGBA : CHROMA_RGB, options), out))
    goto done;
  out->pixels = lib->plane(decoded, CHANNEL_INTERLEAVED, &out->stride);
  out->width = lib->width(decoded, CHANNEL_INTERLEAVED);
  out->height = lib->height(decoded, CHANNEL_INTERLEAVED);
  // The size is the plane's own, not what the file claims of it.
  if (out->pixels == NULL || out->width <= 0 || out->height <= 0 ||
      out->stride < out->width * (out->alpha ? 4 : 3)) {
    lib->image_release(decoded);
    snprintf(out->message, sizeof out->message, "no pixels");
    goto done;
  }
  out->image = decoded;
done:
  if (options != NULL)
    lib->options_free(options);
  lib->handle_release(picture);
}

void libheif_decode(const libheif *lib, const uint8_t *data, size_t size,
                    int max_side, libheif_picture *out) {
  memset(out, 0, sizeof *out);
  context *ctx = lib->context_alloc();
  if (ctx == NULL) {
    snprintf(out->message, sizeof out->message, "out of memory");
    return;
  }
  lib->set_size_limit(ctx, max_side);
  if (!failed(lib->read(ctx, data, size, NULL), out))
    decode_primary(lib, ctx, out);
  lib->context_free(ctx);
}

void libheif_release(const libheif *lib, libheif_picture *picture) {
  lib->image_release(picture->image);
  memset(picture, 0, sizeof *picture);
}
