# /// script
# requires-python = ">=3.10"
# dependencies = ["pillow==13.0.0", "pillow-heif==1.8.0"]
# ///
"""Draws a picture and stores it in every kind of file that is taken, with what
Pillow makes of each in expected.json.

Renew, from the repository's root, with `make generate-testdata` or:

    python3 -m venv build/pillow
    build/pillow/bin/pip install pillow==13.0.0 pillow-heif==1.8.0
    build/pillow/bin/python preprocess/testdata/generate.py
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import pillow_heif
from PIL import Image, ImageCms, ImageDraw, ImageOps, ImageStat, PngImagePlugin

HERE = Path(__file__).parent
PROFILES = HERE.parent / "icc" / "testdata"
ORIENTATION = 0x0112
SIZE = (93, 62)  # odd, so that no block or chroma sample ends with the picture
Expected = dict[str, object]


def draw() -> Image.Image:
    """A picture whose quadrants differ, so that each turn of it shows."""
    picture = Image.new("RGB", SIZE)
    width, height = SIZE
    for y in range(height):
        for x in range(width):
            picture.putpixel((x, y), (40 + 2 * x, 60 + 2 * y, 200 - x - y))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((8, 6, 34, 24), fill=(240, 220, 30))
    pen.ellipse((52, 34, 84, 58), fill=(190, 20, 60))
    pen.rectangle((60, 8, 86, 18), fill=(20, 30, 20))
    return picture


def veil(picture: Image.Image) -> Image.Image:
    """The picture under an alpha channel that falls from left to right."""
    alpha = Image.linear_gradient("L").rotate(90).resize(picture.size)
    return Image.merge("RGBA", (*picture.split(), alpha))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as it has to be stored to come out upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return picture.transpose(undo[orientation]) if orientation in undo else picture


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def pictures() -> dict[str, bytes]:
    """Every file that decodes."""
    plain, alpha = draw(), veil(draw())
    grey, palette = plain.convert("L"), plain.quantize(32)
    other = ImageOps.mirror(plain)
    files = {
        f"jpeg-exif-{o}.jpg": encoded(turned(plain, o), "JPEG", quality=90, exif=exif(o))
        for o in range(1, 9)
    }
    for name, sampling in (("444", "4:4:4"), ("422", "4:2:2"), ("420", "4:2:0"), ("411", "4:1:1")):
        files[f"jpeg-{name}.jpg"] = encoded(plain, "JPEG", quality=90, subsampling=sampling)
    baseline = files["jpeg-420.jpg"]
    profiles = {p.stem: p.read_bytes() for p in PROFILES.glob("*.icc")}
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("comment", "0" * (8 << 20), zip=True)
    files |= {
        "jpeg-progressive.jpg": encoded(plain, "JPEG", quality=90, progressive=True),
        "jpeg-restarts.jpg": encoded(plain, "JPEG", quality=90, restart_marker_rows=1),
        "jpeg-grey.jpg": encoded(grey, "JPEG", quality=90),
        "jpeg-cmyk.jpg": encoded(plain.convert("CMYK"), "JPEG", quality=95),
        "jpeg-display-p3.jpg": encoded(
            plain, "JPEG", quality=90, icc_profile=profiles["display-p3"]
        ),
        "jpeg-broken-profile.jpg": encoded(plain, "JPEG", quality=90, icc_profile=b"nonsense" * 40),
        "jpeg-broken-exif.jpg": encoded(
            plain, "JPEG", quality=90, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"
        ),
        "jpeg-trailing.jpg": baseline + b"\0garbage" * 50,
        "jpeg-two-pictures.jpg": baseline + encoded(other, "JPEG", quality=90),
        "jpeg-stray-bytes.jpg": baseline[:20] + b"\0\1\2\3\4" + baseline[20:],
        "png-rgb.png": encoded(plain, "PNG"),
        "png-rgba.png": encoded(alpha, "PNG"),
        "png-grey.png": encoded(grey, "PNG"),
        "png-grey-alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "png-16-bit-grey.png": encoded(grey.convert("I;16").point(lambda v: v * 257), "PNG"),
        "png-1-bit.png": encoded(grey.convert("1"), "PNG"),
        "png-palette.png": encoded(palette, "PNG"),
        "png-palette-transparent.png": encoded(palette, "PNG", transparency=3),
        "png-colour-key.png": encoded(plain, "PNG", transparency=(240, 220, 30)),
        "png-animated.png": encoded(plain, "PNG", save_all=True, append_images=[other]),
        "png-exif-6.png": encoded(turned(plain, 6), "PNG", exif=exif(6)),
        "png-adobe-rgb.png": encoded(plain, "PNG", icc_profile=profiles["adobe-rgb"]),
        "png-text-bomb.png": encoded(plain, "PNG", pnginfo=bomb),
        "png-named.jpg": encoded(plain, "PNG"),
        "webp-lossy.webp": encoded(plain, "WEBP", quality=90),
        "webp-lossless.webp": encoded(plain, "WEBP", lossless=True),
        "webp-alpha.webp": encoded(alpha, "WEBP", quality=90, exact=True),
        "webp-lossless-alpha.webp": encoded(alpha, "WEBP", lossless=True, exact=True),
        "webp-animated.webp": encoded(
            plain, "WEBP", save_all=True, append_images=[other], quality=90
        ),
        "webp-exif-8.webp": encoded(turned(plain, 8), "WEBP", quality=90, exif=exif(8)),
        "webp-display-p3.webp": encoded(
            plain, "WEBP", quality=90, icc_profile=profiles["display-p3"]
        ),
        "gif.gif": encoded(palette, "GIF"),
        "gif-animated.gif": encoded(
            palette, "GIF", save_all=True, append_images=[other.quantize(32)]
        ),
        "gif-transparent.gif": encoded(palette, "GIF", transparency=3),
        "bmp.bmp": encoded(plain, "BMP"),
        "bmp-palette.bmp": encoded(palette, "BMP"),
        "tiff.tiff": encoded(plain, "TIFF"),
        "tiff-lzw.tiff": encoded(plain, "TIFF", compression="tiff_lzw"),
        "tiff-deflate.tiff": encoded(grey, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-exif-3.tiff": encoded(turned(plain, 3), "TIFF", exif=exif(3)),
        "avif.avif": encoded(plain, "AVIF", quality=90),
        "avif-alpha.avif": encoded(alpha, "AVIF", quality=90),
        "avif-turned.avif": encoded(turned(plain, 7), "AVIF", quality=90, exif=exif(7)),
        "heic.heic": encoded(plain, "HEIF", quality=90),
        "heic-alpha.heic": encoded(alpha, "HEIF", quality=90),
        "heic-turned.heic": encoded(turned(plain, 6), "HEIF", quality=90, exif=exif(6)),
        "heic-display-p3.heic": encoded(
            plain, "HEIF", quality=90, icc_profile=profiles["display-p3"]
        ),
    }
    return files


def refused() -> dict[str, tuple[str, bytes]]:
    """Files to refuse, with the kind of refusal."""
    jpeg, png = encoded(draw(), "JPEG"), encoded(draw(), "PNG")

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    size = jpeg.index(b"\xff\xc0") + 5
    huge_png = (
        png[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 65535, 65535, 8, 2, 0, 0, 0)) + png[33:]
    )
    return {
        "empty.jpg": ("empty", b""),
        "html.jpg": ("not-an-image", b"<!DOCTYPE html>\n<html><body><svg/></body></html>\n"),
        "text.txt": ("not-an-image", b"BM is how a BMP begins, and so does this.\n"),
        "svg.svg": (
            "unsupported",
            b'<?xml version="1.0"?>\n<!-- c --><svg width="1" height="1"/>\n',
        ),
        "huge.png": ("too-many-pixels", huge_png),
        "huge.jpg": ("too-many-pixels", jpeg[:size] + b"\xff\xff\xff\xff" + jpeg[size + 4 :]),
        "no-height.jpg": ("corrupt", jpeg[:size] + b"\0\0" + jpeg[size + 2 :]),
        "12-bit.jpg": ("unsupported", jpeg[: size - 1] + b"\x0c" + jpeg[size:]),
        "half.jpg": ("corrupt", jpeg[: len(jpeg) // 2]),
        "half.png": ("corrupt", png[: len(png) // 2]),
        "wrong-checksum.png": ("corrupt", png[:-20] + b"xxxx" + png[-16:]),
    }


def look(picture: Image.Image) -> Expected:
    """Mean colour of the picture and of its quadrants."""
    width, height = picture.size
    x, y = width // 2, height // 2
    boxes = {
        "tl": (0, 0, x, y),
        "tr": (x, 0, width, y),
        "bl": (0, y, x, height),
        "br": (x, y, width, height),
    }
    return {
        "mean": [round(v, 1) for v in ImageStat.Stat(picture).mean],
        "quadrants": {
            name: [round(v, 1) for v in ImageStat.Stat(picture.crop(box)).mean]
            for name, box in boxes.items()
        },
    }


def over_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        picture = picture.point(lambda v: v / 257).convert("L")
    if picture.mode == "CMYK":
        # (255-C)(255-K)/255, as Pillow does.
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), layer).convert("RGB")


def expected(name: str, data: bytes) -> Expected:
    with Image.open(io.BytesIO(data)) as opened:
        kind, profile = opened.format, opened.info.get("icc_profile")
        upright = over_white(ImageOps.exif_transpose(opened))
    tolerance = 1.0 if kind in ("PNG", "GIF", "BMP", "TIFF") else 2.0
    result: Expected = {
        "verdict": "decode",
        "format": {"MPO": "jpeg", "HEIF": "heic"}.get(kind, kind.lower()),
        "width": upright.width,
        "height": upright.height,
        **look(upright),
        "tol": {"mean": tolerance, "quadrant": tolerance + 1},
    }
    if profile and "broken" not in name:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(upright, source, ImageCms.createProfile("sRGB"))
        result["srgb"] = look(converted)
    return result


def main() -> None:
    pillow_heif.register_heif_opener()
    PngImagePlugin.MAX_TEXT_CHUNK = 1 << 30  # Pillow itself inflates text
    for old in HERE.iterdir():
        if old.suffix not in (".py", ".sh") and old.is_file():
            old.unlink()
    files = []
    for name, data in pictures().items():
        (HERE / name).write_bytes(data)
        files.append({"name": name, "expected": expected(name, data)})
    for name, (kind, data) in refused().items():
        (HERE / name).write_bytes(data)
        files.append({"name": name, "expected": {"verdict": "refuse", "refuse_as": kind}})
    lines = ",\n".join(json.dumps(f) for f in files)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
