# /// script
# requires-python = ">=3.10"
# dependencies = ["pillow==13.0.0"]
# ///
"""Builds ICC profiles and has Little CMS convert colours: the golden files of golden_test.go.

Renew them by hand, from the repository's root:

    python3 -m venv build/pillow && build/pillow/bin/pip install pillow==13.0.0
    build/pillow/bin/python preprocess/icc/testdata/golden.py
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageCms

HERE = Path(__file__).parent
D50 = (0.9642, 1.0, 0.8249)

Matrix = tuple[tuple[float, float, float], ...]

# Colorants under D50 (columns: what full red, green and blue are in XYZ), as their owners publish them.
DISPLAY_P3: Matrix = ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
ADOBE_RGB: Matrix = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
PROPHOTO: Matrix = ((0.79767, 0.13519, 0.03134), (0.28804, 0.71188, 0.00009), (0.0, 0.0, 0.82491))
SRGB: Matrix = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))


def fixed(*numbers: float) -> bytes:
    """Numbers as s15Fixed16Number."""
    return b"".join(struct.pack(">i", round(n * 65536)) for n in numbers)


def xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def gamma(power: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(power * 256))


def identity() -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", 0)


def table(power: float, count: int) -> bytes:
    samples = [round(65535 * (i / (count - 1)) ** power) for i in range(count)]
    return b"curv\0\0\0\0" + struct.pack(f">I{count}H", count, *samples)


def parametric(form: int, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", form, 0) + fixed(*numbers)


def profile(space: bytes, major: int, tags: dict[str, bytes]) -> bytes:
    """A display profile; tags with the same data share it, as in real ones."""
    text = b"lexicrop test"
    common = {
        "desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" * 79
        if major == 2
        else b"mluc\0\0\0\0"
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(text), 28)
        + text.decode().encode("utf-16-be"),
        "wtpt": xyz(D50),
    }
    entries, blocks, places = b"", b"", {}
    every = common | tags
    start = 128 + 4 + 12 * len(every)
    for signature, data in every.items():
        if data not in places:
            places[data] = start + len(blocks)
            blocks += data + b"\0" * (-len(data) % 4)
        entries += signature.encode() + struct.pack(">II", places[data], len(data))
    body = struct.pack(">I", len(every)) + entries + blocks
    header = struct.pack(
        ">I4sBBxx4s4s4s12s4s4s4s4s4s8sI12s48x",
        128 + len(body), b"lcms", major, 0, b"mntr", space, b"XYZ ", bytes(12), b"acsp",
        bytes(4), bytes(4), bytes(4), bytes(4), bytes(8), 0, fixed(*D50),
    )  # fmt: skip
    return header + body


def rgb(colorants: Matrix, *curves: bytes, major: int = 4) -> bytes:
    red, green, blue = curves if len(curves) == 3 else curves * 3
    columns = [xyz([row[c] for row in colorants]) for c in range(3)]
    tags = {f"{c}XYZ": column for c, column in zip("rgb", columns, strict=True)}
    tags |= {"rTRC": red, "gTRC": green, "bTRC": blue}
    return profile(b"RGB ", major, tags)


def grey(curve: bytes) -> bytes:
    return profile(b"GRAY", 2, {"kTRC": curve})


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
PROFILES = {
    "display-p3": rgb(DISPLAY_P3, SRGB_CURVE),
    "adobe-rgb": rgb(ADOBE_RGB, gamma(2.19921875), major=2),
    "prophoto": rgb(PROPHOTO, parametric(0, 1.8)),
    "srgb": rgb(SRGB, SRGB_CURVE),
    "srgb-table": rgb(SRGB, table(2.2, 1024), major=2),
    "channels-swapped": rgb(tuple((g, b, r) for r, g, b in SRGB), SRGB_CURVE),
    "linear": rgb(SRGB, identity(), major=2),
    "three-curves": rgb(DISPLAY_P3, gamma(1.8), table(2.4, 33), parametric(0, 2.2)),
    "parametric-1": rgb(ADOBE_RGB, parametric(1, 2.2, 1.1, -0.1)),
    # Black is not zero here: compensated for.
    "parametric-2": rgb(ADOBE_RGB, parametric(2, 2.0, 0.9, -0.05, 0.06)),
    "parametric-4": rgb(ADOBE_RGB, parametric(4, 2.2, 0.9, 0.08, 0.3, 0.1, 0.02, 0.01)),
    "grey-gamma": grey(gamma(1.8)),
    "grey-table": grey(table(2.6, 256)),
}


def main() -> None:
    levels = [0, 10, 30, 64, 100, 128, 170, 220, 255]
    colours = Image.new("RGB", (27, 27))
    colours.putdata([(r, g, b) for r in levels for g in levels for b in levels])
    colours.save(HERE / "colours.png", optimize=True)
    greys = Image.new("L", (16, 16))
    greys.putdata(range(256))
    greys.save(HERE / "greys.png", optimize=True)
    for name, data in PROFILES.items():
        (HERE / f"{name}.icc").write_bytes(data)
        converted = ImageCms.profileToProfile(
            greys if name.startswith("grey") else colours,
            ImageCms.ImageCmsProfile(io.BytesIO(data)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
            outputMode="RGB",
            flags=ImageCms.Flags.NOOPTIMIZE,
        )
        assert converted is not None
        converted.save(HERE / f"{name}.png", optimize=True, icc_profile=None)


if __name__ == "__main__":
    main()
