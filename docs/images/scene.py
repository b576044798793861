"""Composes scene.jpg: two paintings on a gallery wall, as a phone would see them.

    python scene.py MONET SISLEY scene.jpg

MONET and SISLEY are plain reproductions of the works that SOURCES.md names. Needs Pillow and NumPy.
"""

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 1200, 1600
FLOOR = 1330


def framed(path: str, width: int, height: int, band: int, gold: tuple[int, int, int]) -> Image.Image:
    """The painting in a frame of four bevels, lit from above left."""
    work = Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    outer = Image.new("RGB", (width + 2 * band, height + 2 * band), gold)
    draw = ImageDraw.Draw(outer)
    w, h = outer.size
    for i in range(band):
        # Two swells and a lip: how steep the profile is at this place.
        slope = np.cos(i / band * 4 * np.pi) * (0.6 if i < band - 6 else -0.9)
        for light, line in (
            (1 + 0.28 * slope, [(i, i), (w - 1 - i, i)]),
            (1 + 0.18 * slope, [(i, i), (i, h - 1 - i)]),
            (1 - 0.28 * slope, [(i, h - 1 - i), (w - 1 - i, h - 1 - i)]),
            (1 - 0.18 * slope, [(w - 1 - i, i), (w - 1 - i, h - 1 - i)]),
        ):
            draw.line(line, fill=tuple(int(min(255, c * light)) for c in gold))
    outer.paste(work, (band, band))
    shade = Image.new("L", work.size, 0)
    ImageDraw.Draw(shade).rectangle((0, 0, width, 9), fill=90)
    outer.paste(Image.new("RGB", work.size), (band, band), shade.filter(ImageFilter.GaussianBlur(4)))
    return outer


def hang(scene: Image.Image, work: Image.Image, x: int, y: int) -> None:
    shadow = Image.new("L", scene.size, 0)
    ImageDraw.Draw(shadow).rectangle((x + 8, y + 14, x + work.width + 14, y + work.height + 26), fill=120)
    scene.paste(Image.new("RGB", scene.size, (40, 36, 34)), (0, 0), shadow.filter(ImageFilter.GaussianBlur(14)))
    scene.paste(work, (x, y))


def main() -> None:
    monet, sisley, out = sys.argv[1:]
    rng = np.random.default_rng(7)
    scene = Image.new("RGB", (WIDTH, HEIGHT), (196, 189, 176))
    draw = ImageDraw.Draw(scene)
    draw.rectangle((0, FLOOR, WIDTH, HEIGHT), fill=(122, 92, 66))
    for x in range(-600, 1900, 150):
        draw.line([(x, HEIGHT), (600 + (x - 600) * 0.62, FLOOR)], fill=(100, 74, 52), width=3)
    draw.rectangle((0, FLOOR - 62, WIDTH, FLOOR), fill=(226, 222, 214))
    draw.line([(0, FLOOR - 62), (WIDTH, FLOOR - 62)], fill=(170, 165, 156), width=3)
    hang(scene, framed(monet, 560, 427, 52, (176, 138, 72)), 210, 420)
    hang(scene, framed(sisley, 330, 247, 34, (92, 66, 44)), 950, 470)
    draw.rectangle((240, 1000, 330, 1055), fill=(240, 238, 232))
    for line in range(4):
        draw.line([(250, 1011 + 10 * line), (318 - 9 * line, 1011 + 10 * line)], fill=(120, 118, 114), width=2)
    # A camera that looks slightly up and from the left.
    scene = scene.transform(scene.size, Image.Transform.QUAD, (30, 0, 12, HEIGHT, WIDTH - 10, HEIGHT - 40, WIDTH - 60, 30), Image.Resampling.BICUBIC)
    pixels = np.asarray(scene, np.float32)
    yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 1.08 - 0.38 * np.hypot((xx - 480) / WIDTH, (yy - 560) / HEIGHT)
    pixels = pixels * light[..., None] * np.array([1.03, 1.0, 0.93]) + rng.normal(0, 3.5, pixels.shape)
    photo = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
    photo.save(out, quality=82)


if __name__ == "__main__":
    main()
