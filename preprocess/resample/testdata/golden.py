# /// script
# requires-python = ">=3.10"
# dependencies = ["pillow==13.0.0"]
# ///
"""Draws a picture and has Pillow resize it: the golden files of golden_test.go.

Renew them by hand, from the repository's root:

    python3 -m venv build/pillow && build/pillow/bin/pip install pillow==13.0.0
    build/pillow/bin/python preprocess/resample/testdata/golden.py
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

HERE = Path(__file__).parent
EXIF_ORIENTATION = 0x0112


@dataclass
class Case:
    """One resize: `box` in pixels of the upright picture, `size` of the result."""

    name: str
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None = None
    orientation: int = 1


CASES = [
    Case("two-thirds", (107, 160)),
    Case("one-third", (53, 80)),
    Case("thumbnail", (11, 16)),
    Case("stretched", (90, 37)),
    Case("fractional-box", (64, 64), box=(20.25, 31.125, 140.75, 200.5)),
    Case("enlarged-box", (96, 96), box=(60.5, 70.25, 101.0, 110.75)),
    *(Case(f"orientation-{o}", (48, 71), orientation=o) for o in range(2, 5)),
    *(Case(f"orientation-{o}", (71, 48), orientation=o) for o in range(5, 9)),
    Case("orientation-6-box", (50, 40), box=(33.5, 20.25, 200.0, 150.5), orientation=6),
]


def draw() -> Image.Image:
    """What makes resizing hard: rising frequencies, hard edges, thin lines, noise."""
    width, height = 160, 240
    rng = random.Random(20)
    picture = Image.new("RGB", (width, height))
    pixels = []
    for y in range(height):
        for x in range(width):
            wave = 127.5 + 127.5 * math.cos((x * x + y * y) / 180)
            pixels.append((round(wave), x * 255 // (width - 1), y * 255 // (height - 1)))
    picture.putdata(pixels)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((12, 130, 70, 225), fill=(250, 240, 10), outline=(0, 0, 0))
    pen.ellipse((80, 20, 150, 90), fill=(200, 20, 40), outline=(255, 255, 255), width=3)
    for i in range(14):
        pen.line((85 + 5 * i, 100, 80 + 5 * i, 160), fill=(255, 255, 255) if i % 2 else (0, 0, 0))
    for y in range(170, 230):
        for x in range(90, 150):
            picture.putpixel((x, y), (rng.randrange(256), rng.randrange(256), rng.randrange(256)))
    return picture


def upright(stored: Image.Image, orientation: int) -> Image.Image:
    """What Pillow makes of the stored picture under that EXIF orientation."""
    tagged = stored.copy()
    tagged.getexif()[EXIF_ORIENTATION] = orientation
    return ImageOps.exif_transpose(tagged)


def main() -> None:
    picture = draw()
    picture.save(HERE / "picture.png", optimize=True)
    for case in CASES:
        resized = upright(picture, case.orientation).resize(
            case.size, Image.Resampling.BILINEAR, box=case.box
        )
        resized.save(HERE / f"{case.name}.png", optimize=True)
    cases = [asdict(case) for case in CASES]
    (HERE / "golden.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
