//go:build cgo

#include "turbo.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// ROWS is how many scanlines are asked for at once; libjpeg gives at most one
// row group (4 at full size) a call.
#define ROWS 16

// MARGIN is how many pixels beyond a window are decoded and thrown away, so
// that chroma upsampling at its edges sees the neighbours it sees in the whole
// picture.
#define MARGIN 32

struct failure {
  struct jpeg_error_mgr pub; // first: libjpeg hands this pointer back
  jmp_buf back;
  int status;
  turbo_report *report;
};

_Noreturn static void fail(j_common_ptr cinfo, int status) {
  struct failure *f = (struct failure *)cinfo->err;
  f->status = status;
  f->pub.format_message(cinfo, f->report->message);
  longjmp(f->back, 1);
}

static void on_error(j_common_ptr cinfo) {
  switch (cinfo->err->msg_code) {
  case JERR_OUT_OF_MEMORY:
    fail(cinfo, TURBO_NO_MEMORY);
#if JPEG_LIB_VERSION < 70 // later interfaces, Ubuntu's among them, have no such code
  case JERR_ARITH_NOTIMPL:
#endif
  case JERR_BAD_PRECISION:
  case JERR_CCIR601_NOTIMPL:
  case JERR_COMPONENT_COUNT:
  case JERR_CONVERSION_NOTIMPL:
  case JERR_FRACT_SAMPLE_NOTIMPL:
  case JERR_NOT_COMPILED:
  case JERR_SOF_UNSUPPORTED:
    fail(cinfo, TURBO_UNSUPPORTED);
  default:
    fail(cinfo, TURBO_CORRUPT);
  }
}

// on_message tells damage from noise: libjpeg only warns of both. Damage ends
// the decoding at once, since what follows would be fill.
static void on_message(j_common_ptr cinfo, int level) {
  struct failure *f = (struct failure *)cinfo->err;
  if (level >= 0)
    return; // trace messages
  switch (f->pub.msg_code) {
  case JWRN_HIT_MARKER:
  case JWRN_HUFF_BAD_CODE:
  case JWRN_ARITH_BAD_CODE:
  case JWRN_MUST_RESYNC:
    fail(cinfo, TURBO_DAMAGED);
  }
  if (f->report->warnings++ == 0)
    f->pub.format_message(cinfo, f->report->message);
}

static struct jpeg_error_mgr *catch_errors(struct failure *f, turbo_report *report) {
  memset(report, 0, sizeof *report);
  f->report = report;
  f->status = TURBO_OK;
  jpeg_std_error(&f->pub);
  f->pub.error_exit = on_error;
  f->pub.emit_message = on_message;
  return &f->pub;
}

// The source gives the whole buffer at once. At its end it feeds end markers
// silently and remembers it: the entropy decoder reads ahead, so that alone is
// no sign of missing pixels.

struct memory_source {
  struct jpeg_source_mgr pub;
  int ended;
};

static const JOCTET end_marker[2] = {0xFF, JPEG_EOI};

static void source_nothing(j_decompress_ptr cinfo) { (void)cinfo; }

static boolean source_fill(j_decompress_ptr cinfo) {
  struct memory_source *s = (struct memory_source *)cinfo->src;
  s->ended = 1;
  s->pub.next_input_byte = end_marker;
  s->pub.bytes_in_buffer = sizeof end_marker;
  return TRUE;
}

static void source_skip(j_decompress_ptr cinfo, long n) {
  struct memory_source *s = (struct memory_source *)cinfo->src;
  if (n <= 0)
    return;
  if ((size_t)n > s->pub.bytes_in_buffer) {
    source_fill(cinfo);
    return;
  }
  s->pub.next_input_byte += n;
  s->pub.bytes_in_buffer -= (size_t)n;
}

struct scan_limit {
  struct jpeg_progress_mgr pub;
  int max_scans;
};

static void check_scans(j_common_ptr cinfo) {
  struct scan_limit *l = (struct scan_limit *)cinfo->progress;
  if (cinfo->is_decompressor &&
      ((j_decompress_ptr)cinfo)->input_scan_number > l->max_scans) {
    struct failure *f = (struct failure *)cinfo->err;
    f->status = TURBO_TOO_MANY_SCANS;
    longjmp(f->back, 1);
  }
}

// ink_to_rgb multiplies ink coverage: 255 is no ink in Adobe's inverted files.
static void ink_to_rgb(const JSAMPLE *ink, uint8_t *rgb, int n, int inverted) {
  for (int i = 0; i < n; i++, ink += 4, rgb += 3) {
    unsigned k = inverted ? ink[3] : 255 - ink[3];
    for (int c = 0; c < 3; c++) {
      unsigned v = (inverted ? ink[c] : 255 - ink[c]) * k;
      rgb[c] = (uint8_t)((v + 127) / 255);
    }
  }
}

static void read_window(j_decompress_ptr cinfo, const turbo_window *win,
                        uint8_t *out, size_t stride) {
  int ink = cinfo->out_color_space == JCS_CMYK;
  int direct = !ink && win->x == 0 && win->w == (int)cinfo->output_width;
  JSAMPROW rows[ROWS];
  JSAMPARRAY scratch = NULL;
  size_t offset = 0; // of the window in a scratch row, in bytes

  if (win->w < (int)cinfo->output_width) {
    JDIMENSION left = win->x > MARGIN ? (JDIMENSION)(win->x - MARGIN) : 0;
    JDIMENSION right = (JDIMENSION)(win->x + win->w) + MARGIN;
    if (right > cinfo->output_width)
      right = cinfo->output_width;
    JDIMENSION width = right - left;
    jpeg_crop_scanline(cinfo, &left, &width);
    offset = ((size_t)win->x - left) * cinfo->output_components;
  }
  if (!direct)
    scratch = cinfo->mem->alloc_sarray(
        (j_common_ptr)cinfo, JPOOL_IMAGE,
        cinfo->output_width * cinfo->output_components, ROWS);
  if (win->y > MARGIN)
    jpeg_skip_scanlines(cinfo, (JDIMENSION)(win->y - MARGIN));

  int end = win->y + win->h;
  while ((int)cinfo->output_scanline < end) {
    int y = (int)cinfo->output_scanline;
    int n = end - y < ROWS ? end - y : ROWS;
    if (direct && y >= win->y) {
      for (int i = 0; i < n; i++)
        rows[i] = out + (size_t)(y - win->y + i) * stride;
      jpeg_read_scanlines(cinfo, rows, (JDIMENSION)n);
      continue;
    }
    if (scratch == NULL)
      scratch = cinfo->mem->alloc_sarray(
          (j_common_ptr)cinfo, JPOOL_IMAGE,
          cinfo->output_width * cinfo->output_components, ROWS);
    if (y < win->y && n > win->y - y)
      n = win->y - y;
    int got = (int)jpeg_read_scanlines(cinfo, scratch, (JDIMENSION)n);
    for (int i = 0; i < got && y >= win->y; i++) {
      uint8_t *row = out + (size_t)(y - win->y + i) * stride;
      if (ink)
        ink_to_rgb(scratch[i] + offset, row, win->w, cinfo->saw_Adobe_marker);
      else
        memcpy(row, scratch[i] + offset, (size_t)win->w * 3);
    }
  }
}

int turbo_decode(const uint8_t *data, size_t size, const turbo_window *win,
                 uint8_t *out, size_t stride, turbo_report *report) {
  struct jpeg_decompress_struct cinfo;
  struct failure failure;
  struct memory_source source = {
      .pub = {.next_input_byte = data,
              .bytes_in_buffer = size,
              .init_source = source_nothing,
              .fill_input_buffer = source_fill,
              .skip_input_data = source_skip,
              .resync_to_restart = jpeg_resync_to_restart,
              .term_source = source_nothing}};
  struct scan_limit limit = {.pub = {.progress_monitor = check_scans},
                             .max_scans = win->max_scans};

  memset(&cinfo, 0, sizeof cinfo);
  cinfo.err = catch_errors(&failure, report);
  if (setjmp(failure.back)) {
    jpeg_destroy_decompress(&cinfo);
    return failure.status;
  }
  jpeg_create_decompress(&cinfo);
  cinfo.src = &source.pub;
  cinfo.progress = &limit.pub;
  jpeg_read_header(&cinfo, TRUE);
  if ((int)cinfo.image_width != win->width || (int)cinfo.image_height != win->height)
    ERREXIT(&cinfo, JERR_BAD_CROP_SPEC);

  cinfo.scale_num = (unsigned)win->scale;
  cinfo.scale_denom = 8;
  switch (cinfo.jpeg_color_space) {
  case JCS_CMYK:
  case JCS_YCCK:
    cinfo.out_color_space = JCS_CMYK;
    break;
  default:
    cinfo.out_color_space = JCS_RGB;
  }
  jpeg_start_decompress(&cinfo);
  report->progressive = jpeg_has_multiple_scans(&cinfo);
  if (win->x < 0 || win->y < 0 || win->w <= 0 || win->h <= 0 ||
      win->w > (int)cinfo.output_width - win->x ||
      win->h > (int)cinfo.output_height - win->y || stride < (size_t)win->w * 3)
    ERREXIT(&cinfo, JERR_BAD_CROP_SPEC);
  read_window(&cinfo, win, out, stride);

  int status = TURBO_OK;
  report->missing_eoi = source.ended;
  // Neither a missing scan nor the end of arithmetic-coded data shows in any
  // warning, so there the end of the data must be marked.
  if (source.ended && (report->progressive || cinfo.arith_code)) {
    status = TURBO_DAMAGED;
    snprintf(report->message, sizeof report->message, "data end before the last scan does");
  }
  jpeg_destroy_decompress(&cinfo);
  return status;
}

// The destination is a buffer that doubles; it is ours even after an error.

struct memory_destination {
  struct jpeg_destination_mgr pub;
  uint8_t *data;
  size_t size;
};

static void destination_init(j_compress_ptr cinfo) { (void)cinfo; }

static boolean destination_grow(j_compress_ptr cinfo) {
  struct memory_destination *d = (struct memory_destination *)cinfo->dest;
  uint8_t *bigger = realloc(d->data, d->size * 2);
  if (bigger == NULL)
    ERREXIT1(cinfo, JERR_OUT_OF_MEMORY, 10);
  d->data = bigger;
  d->pub.next_output_byte = bigger + d->size;
  d->pub.free_in_buffer = d->size;
  d->size *= 2;
  return TRUE;
}

static void destination_end(j_compress_ptr cinfo) {
  struct memory_destination *d = (struct memory_destination *)cinfo->dest;
  d->size -= d->pub.free_in_buffer;
}

int turbo_encode(const uint8_t *rgb, size_t stride, int width, int height,
                 int quality, const uint8_t *icc, size_t icc_size,
                 uint8_t **out, size_t *out_size, turbo_report *report) {
  struct jpeg_compress_struct cinfo;
  struct failure failure;
  struct memory_destination destination = {
      .pub = {.init_destination = destination_init,
              .empty_output_buffer = destination_grow,
              .term_destination = destination_end},
      .size = 64 << 10};

  *out = NULL;
  *out_size = 0;
  memset(&cinfo, 0, sizeof cinfo);
  cinfo.err = catch_errors(&failure, report);
  if (setjmp(failure.back)) {
    jpeg_destroy_compress(&cinfo);
    free(destination.data);
    return failure.status;
  }
  jpeg_create_compress(&cinfo);
  destination.data = malloc(destination.size);
  if (destination.data == NULL)
    ERREXIT1(&cinfo, JERR_OUT_OF_MEMORY, 10);
  destination.pub.next_output_byte = destination.data;
  destination.pub.free_in_buffer = destination.size;
  cinfo.dest = &destination.pub;
  cinfo.image_width = (JDIMENSION)width;
  cinfo.image_height = (JDIMENSION)height;
  cinfo.input_components = 3;
  cinfo.in_color_space = JCS_RGB;
  jpeg_set_defaults(&cinfo);
  jpeg_set_quality(&cinfo, quality, TRUE);
  jpeg_start_compress(&cinfo, TRUE);
  if (icc_size > 0)
    jpeg_write_icc_profile(&cinfo, icc, (unsigned)icc_size);
  while (cinfo.next_scanline < cinfo.image_height) {
    JSAMPROW row = (JSAMPROW)(rgb + (size_t)cinfo.next_scanline * stride);
    jpeg_write_scanlines(&cinfo, &row, 1);
  }
  jpeg_finish_compress(&cinfo);
  jpeg_destroy_compress(&cinfo);
  *out = destination.data;
  *out_size = destination.size;
  return TURBO_OK;
}
