"""What hangs inside a frame: pictures, made of reproductions, photos or procedures, with mat and frame.

All pictures are RGB uint8 HWC. Modern art is where real photos differ most from the old masters of the
reproductions, so a fifth of the works is procedural.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lexicrop_training.assets import Assets

Rng = np.random.Generator


@dataclass(frozen=True)
class Work:
    """A framed work seen straight on.

    image: RGB uint8 [h,w,3] including the frame; alpha: uint8 [h,w]; inner: float32 [n,2] outline of what one
    sees inside the frame, in pixels of `image`.
    """

    image: np.ndarray
    alpha: np.ndarray
    inner: np.ndarray


FRAMES = {  # name -> colour ranges (low, high) of the main band
    "gold": ((120, 85, 30), (215, 175, 95)),
    "wood": ((60, 32, 15), (175, 125, 80)),
    "black": ((8, 8, 8), (45, 42, 42)),
    "white": ((195, 190, 180), (250, 248, 244)),
    "silver": ((130, 130, 130), (205, 205, 205)),
    "any": ((20, 20, 20), (220, 220, 220)),
}


def picture(rng: Rng, assets: Assets) -> np.ndarray:
    """One picture without frame, at the aspect ratio it shall hang in."""
    kind = rng.random()
    if kind < 0.66:
        i = int(rng.integers(len(assets.artworks)))
        image = assets.artworks[i]
        if assets.square[i]:
            image = _to_aspect(image, _aspect(rng))
        if rng.random() < 0.3:  # details differ in composition from whole works
            image = _crop(rng, image, 0.45)
    elif kind < 0.75:
        image = _crop(rng, assets.backgrounds[int(rng.integers(len(assets.backgrounds)))], 0.4)
    else:
        image = abstract(rng, assets)
    style = rng.random()
    if style < 0.10:  # prints and photographs
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2)
    elif style < 0.15:
        image = _drawing(rng, image)
    elif style < 0.20:  # nearly black pictures
        image = (image * rng.uniform(0.12, 0.4)).astype(np.uint8)
    return image


def abstract(rng: Rng, assets: Assets) -> np.ndarray:
    """Procedural modern art, longer side about 240 pixels."""
    aspect = _aspect(rng)
    h, w = (240, max(60, int(240 * aspect))) if aspect < 1 else (max(60, int(240 / aspect)), 240)
    makers = (_fields, _stripes, _texture, _scribble, _monochrome, _shapes, _still_life, _tiles, _assemblage)
    return makers[int(rng.integers(len(makers)))](rng, assets, h, w)


def framed(rng: Rng, image: np.ndarray, long_side: float) -> Work:
    """Puts mat, frame, glass and the frame's shadow around a picture whose inside is `long_side` pixels long."""
    scale = max(12.0, long_side) / max(image.shape[:2])
    w, h = max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale))
    inside = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.26:
        inside = _with_mat(rng, inside)
    opening = "rectangle"
    style = rng.random()
    widths = ((0.24, 0, 0), (0.58, 0.01, 0.045), (0.88, 0.045, 0.11), (1.0, 0.11, 0.24))
    low, high = next((a, b) for limit, a, b in widths if style < limit)
    band = int(np.ceil(rng.uniform(low, high) * max(w, h))) if high else 0
    if band and rng.random() < 0.09:
        opening = str(rng.choice(["oval", "oval", "arch", "octagon"]))
    if rng.random() < 0.15:
        inside = _with_glass(rng, inside)
    h, w = inside.shape[:2]
    if not band:
        if rng.random() < 0.4:  # the canvas edge, seen as a thin line lit from one side
            edge = max(1, round(0.006 * max(w, h)))
            shade = rng.uniform(0.4, 1.3)
            inside = inside.copy()
            for side in (np.s_[:edge], np.s_[-edge:], np.s_[:, :edge], np.s_[:, -edge:])[: rng.integers(1, 5)]:
                inside[side] = np.clip(inside[side] * shade, 0, 255).astype(np.uint8)
        return Work(inside, np.full((h, w), 255, np.uint8), _rectangle(0, 0, w, h))
    frame = _frame(rng, h + 2 * band, w + 2 * band, band)
    inside = _shaded(rng, inside, band)
    outline = _outline(opening, band, band, w, h)
    if opening == "rectangle":
        frame[band : band + h, band : band + w] = inside
    else:
        mask = np.zeros(frame.shape[:2], np.uint8)
        cv2.fillPoly(mask, [outline.round().astype(np.int32)], 255)
        spandrel = frame[0, 0].astype(np.float32) * rng.uniform(0.5, 1.1)
        relief = _noise(rng, h, w, 6)[:, :, None] * rng.uniform(5, 40)
        frame[band : band + h, band : band + w] = np.clip(spandrel + relief, 0, 255)
        lip = max(1, band // 6)
        cv2.polylines(frame, [outline.round().astype(np.int32)], True, frame[band // 2, w // 2].tolist(), lip * 2)
        hole = mask[band : band + h, band : band + w] > 0
        frame[band : band + h, band : band + w][hole] = inside[hole]
    return Work(frame, np.full(frame.shape[:2], 255, np.uint8), outline)


def wallpaper(rng: Rng, h: int, w: int) -> np.ndarray:
    """A wall: plain, panelled, brick, papered or rough, RGB uint8 [h,w,3]."""
    base = _wall_colour(rng)
    wall = np.tile(base.astype(np.float32), (h, w, 1))
    kind = rng.random()
    if kind < 0.5:
        wall += _noise(rng, h, w, int(rng.integers(2, 40)))[:, :, None] * rng.uniform(0, 7)
    elif kind < 0.6:  # panels
        step = int(rng.integers(40, 160))
        dark = rng.uniform(0.75, 0.95)
        wall[:, ::step] *= dark
        wall[:, 1::step] *= 2 - dark
        if rng.random() < 0.5:
            wall[:: step * 2] *= dark
    elif kind < 0.7:  # bricks
        bh, bw = int(rng.integers(8, 26)), int(rng.integers(20, 60))
        tone = rng.normal(1, 0.08, (h // bh + 1, w // bw + 2))
        ys, xs = np.arange(h)[:, None], np.arange(w)[None, :]
        row = ys // bh
        column = (xs + (row % 2) * (bw // 2)) // bw
        wall *= tone[row, column][:, :, None]
        joint = (ys % bh < 1) | ((xs + (row % 2) * (bw // 2)) % bw < 1)
        wall[joint] = wall.mean((0, 1)) * rng.uniform(0.6, 1.3)
    elif kind < 0.85:  # wallpaper or damask: a tile repeated
        tile = int(rng.integers(16, 64))
        motif = _noise(rng, tile, tile, int(rng.integers(2, 8)))
        motif = np.concatenate([motif, motif[:, ::-1]], 1)
        motif = np.concatenate([motif, motif[::-1]], 0)
        reps = (h // motif.shape[0] + 1, w // motif.shape[1] + 1)
        other = _wall_colour(rng) - base
        wall += np.tile(np.clip(motif * 0.5 + 0.5, 0, 1), reps)[:h, :w, None] * other * rng.uniform(0.05, 0.5)
    else:  # concrete, plaster
        wall += _noise(rng, h, w, 6)[:, :, None] * rng.uniform(4, 18)
        wall += _noise(rng, h, w, 60)[:, :, None] * rng.uniform(2, 10)
    if rng.random() < 0.25:  # floor with skirting
        y = int(h * rng.uniform(0.62, 0.95))
        floor = _noise(rng, h - y, w, int(rng.integers(3, 30)))[:, :, None] * rng.uniform(3, 20)
        wall[y:] = rng.uniform(40, 200, 3) * np.array([1, 0.9, 0.8]) + floor
        skirting = max(2, int(h * rng.uniform(0.01, 0.04)))
        wall[y - skirting : y] = base * rng.uniform(0.5, 1.2)
        wall[y : y + 2] *= 0.5
    return np.clip(wall, 0, 255).astype(np.uint8)


# --- frames and mats ---


def _frame(rng: Rng, h: int, w: int, band: int) -> np.ndarray:
    """1 to 5 bevelled bands, each side lit differently, as RGB uint8 [h,w,3]."""
    xs, ys = np.minimum(np.arange(w), w - 1 - np.arange(w)), np.minimum(np.arange(h), h - 1 - np.arange(h))
    depth = np.minimum(xs[None, :], ys[:, None]).clip(0, band - 1)
    names, low_high = list(FRAMES), list(FRAMES.values())
    kind = int(rng.choice(len(names), p=(0.32, 0.25, 0.16, 0.1, 0.07, 0.1)))
    low, high = (np.asarray(c, np.float32) for c in low_high[kind])
    profile = np.empty((band, 3), np.float32)
    for part in np.array_split(np.arange(band), int(rng.integers(1, 6))):
        if not len(part):
            continue
        if rng.random() < 0.12:
            low2, high2 = (np.asarray(c, np.float32) for c in low_high[int(rng.integers(len(names)))])
        else:
            low2, high2 = low, high
        colour = low2 + (high2 - low2) * rng.random()
        bevel = np.linspace(rng.uniform(0.6, 1.2), rng.uniform(0.7, 1.3), len(part), dtype=np.float32)
        profile[part] = colour * bevel[:, None]
    if rng.random() < 0.3:  # gap of a floater frame or a dark lip
        profile[-max(1, band // 8) :] *= rng.uniform(0.1, 0.5)
    elif rng.random() < 0.3:  # bright inner lip
        profile[-max(1, band // 10) :] = profile.max(0) * rng.uniform(0.9, 1.25)
    frame = profile[depth]
    lights = rng.uniform(0.65, 1.2, 4).astype(np.float32) if rng.random() < 0.6 else np.ones(4, np.float32)
    left = np.arange(w) < w / 2
    top = np.arange(h) < h / 2
    vertical = xs[None, :] < ys[:, None]
    light = np.where(
        vertical,
        np.where(left, lights[0], lights[1])[None, :],
        np.where(top, lights[2], lights[3])[:, None],
    )
    frame = frame * light[:, :, None]
    if band > 5 and rng.random() < 0.5:  # ornament
        ornament = _noise(rng, h, w, int(rng.integers(2, 6)))
        frame += (ornament * (depth > band * 0.2))[:, :, None] * rng.uniform(5, 45)
    return np.clip(frame, 0, 255).astype(np.uint8)


def _with_mat(rng: Rng, image: np.ndarray) -> np.ndarray:
    """The picture in a mat; the mat belongs to what one sees inside the frame, so the total size is kept."""
    h, w = image.shape[:2]
    mx, my = (int(s * rng.uniform(0.06, 0.28)) for s in (w, h))
    dark = rng.random() < 0.15
    tone = rng.uniform(10, 90) if dark else rng.uniform(185, 250)
    mat = np.clip(np.tile(tone + rng.uniform(-12, 8, 3), (h, w, 1)), 0, 255).astype(np.uint8)
    inner = cv2.resize(image, (max(4, w - 2 * mx), max(4, h - 2 * my)), interpolation=cv2.INTER_AREA)
    y, x = (h - inner.shape[0]) // 2, (w - inner.shape[1]) // 2
    if rng.random() < 0.6:
        shade = int(np.clip(tone * rng.uniform(0.6, 1.15), 0, 255))
        cv2.rectangle(mat, (x - 2, y - 2), (x + inner.shape[1] + 1, y + inner.shape[0] + 1), (shade,) * 3, -1)
    mat[y : y + inner.shape[0], x : x + inner.shape[1]] = inner
    return mat


def _with_glass(rng: Rng, image: np.ndarray) -> np.ndarray:
    """A window or lamp mirrored in the glass."""
    h, w = image.shape[:2]
    shine = np.zeros((h, w), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        centre = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        axes = (max(1, int(w * rng.uniform(0.05, 0.3))), max(1, int(h * rng.uniform(0.05, 0.4))))
        cv2.ellipse(shine, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
    k = (max(h, w) // 8) * 2 + 1
    shine = cv2.blur(shine, (k, k)) * rng.uniform(40, 190)
    return np.clip(image + shine[:, :, None], 0, 255).astype(np.uint8)


def _shaded(rng: Rng, image: np.ndarray, band: int) -> np.ndarray:
    """The shadow that the frame throws on the canvas, from above and one side."""
    if rng.random() < 0.4:
        return image
    h, w = image.shape[:2]
    reach = max(1.0, band * rng.uniform(0.1, 0.8))
    strength = rng.uniform(0.2, 0.7)
    fall_y = 1 - strength * np.clip(1 - np.arange(h) / reach, 0, 1)
    fall_x = 1 - strength * np.clip(1 - np.arange(w) / reach, 0, 1) * (rng.random() < 0.6)
    if rng.random() < 0.5:
        fall_x = fall_x[::-1]
    return (image * fall_y[:, None, None] * fall_x[None, :, None]).astype(np.uint8)


def _outline(opening: str, x: float, y: float, w: float, h: float) -> np.ndarray:
    if opening == "rectangle":
        return _rectangle(x, y, w, h)
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    if opening == "oval":
        return np.stack([x + w / 2 + w / 2 * np.cos(t), y + h / 2 + h / 2 * np.sin(t)], 1).astype(np.float32)
    if opening == "octagon":
        cx, cy = w * 0.22, h * 0.22
        corners = [(cx, 0), (w - cx, 0), (w, cy), (w, h - cy), (w - cx, h), (cx, h), (0, h - cy), (0, cy)]
        return (np.asarray(corners) + (x, y)).astype(np.float32)
    rise = min(h * 0.5, w * 0.5)
    arc = np.linspace(np.pi, 2 * np.pi, 17)
    top = np.stack([x + w / 2 + w / 2 * np.cos(arc), y + rise + rise * np.sin(arc)], 1)
    return np.concatenate([top, [(x + w, y + h), (x, y + h)]]).astype(np.float32)


def _rectangle(x: float, y: float, w: float, h: float) -> np.ndarray:
    return np.asarray([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], np.float32)


# --- procedural pictures ---


def _fields(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    image = np.tile(_colour(rng), (h, w, 1)).astype(np.float32)
    for _ in range(int(rng.integers(1, 7))):
        x, y = sorted(rng.integers(0, w + 1, 2)), sorted(rng.integers(0, h + 1, 2))
        image[y[0] : y[1], x[0] : x[1]] = _colour(rng)
    if rng.random() < 0.5:
        image = cv2.blur(image, (int(rng.integers(2, 24)),) * 2)
    return _rough(rng, image)


def _stripes(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    palette = np.stack([_colour(rng) for _ in range(int(rng.integers(2, 6)))])
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    along = xs * np.cos(angle) + ys * np.sin(angle)
    if rng.random() < 0.3:
        along = np.hypot(xs - rng.uniform(0, w), ys - rng.uniform(0, h))
    bands = np.floor(along / rng.uniform(4, 40)).astype(int)
    order = rng.integers(len(palette), size=997)
    return _rough(rng, palette[order[bands % 997]].astype(np.float32))


def _texture(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    base, other = _colour(rng), _colour(rng)
    mix = _noise(rng, h, w, int(rng.integers(2, 8))) + _noise(rng, h, w, int(rng.integers(8, 60)))
    mix = 1 / (1 + np.exp(-mix * rng.uniform(0.5, 5)))
    return _rough(rng, base + (other - base) * mix[:, :, None])


def _scribble(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    paper = rng.random() < 0.6
    image = np.tile(rng.uniform(190, 250) if paper else rng.uniform(5, 60), (h, w, 3)).astype(np.uint8)
    ink = (_colour(rng) * (0.4 if paper else 1)).tolist() if rng.random() < 0.4 else [20.0 if paper else 220.0] * 3
    for _ in range(int(rng.integers(5, 90))):
        centre = rng.uniform(0.1, 0.9, 2) * (w, h)
        walk = centre + np.cumsum(rng.normal(0, max(h, w) / rng.uniform(12, 50), (int(rng.integers(4, 30)), 2)), 0)
        cv2.polylines(image, [walk.astype(np.int32)], False, ink, int(rng.integers(1, 4)), cv2.LINE_AA)
    return image


def _monochrome(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    a, b = _colour(rng), _colour(rng)
    t = np.linspace(0, rng.uniform(0, 0.5), h)[:, None, None]
    image = np.tile(a + (b - a) * t, (1, w, 1))
    if rng.random() < 0.6:  # one thing on it
        size = rng.uniform(0.08, 0.35) * min(h, w)
        centre = rng.uniform(0.25, 0.75, 2) * (w, h)
        spikes = centre + rng.normal(0, size / 2, (int(rng.integers(3, 9)), 2))
        image = np.ascontiguousarray(image)
        cv2.fillPoly(image, [cv2.convexHull(spikes.astype(np.int32))], _colour(rng).tolist())
    return _rough(rng, image)


def _shapes(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    image = np.tile(_colour(rng), (h, w, 1)).astype(np.uint8)
    for _ in range(int(rng.integers(2, 25))):
        colour = _colour(rng).tolist()
        centre = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        size = rng.uniform(0.03, 0.35) * min(h, w)
        if rng.random() < 0.5:
            axes = (max(1, int(size)), max(1, int(size * rng.uniform(0.3, 1))))
            cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            points = np.asarray(centre) + rng.normal(0, size, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(image, [points.astype(np.int32)], colour, cv2.LINE_AA)
    return _rough(rng, image.astype(np.float32))


def _still_life(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    """Painted things before a quiet ground: inside a frame they are a painting, not an object."""
    a, b = _colour(rng, 0.35), _colour(rng, 0.35)
    image = np.tile(a, (h, w, 1)).astype(np.float32)
    image[int(h * rng.uniform(0.5, 0.85)) :] = b
    image += _noise(rng, h, w, 40)[:, :, None] * rng.uniform(2, 20)
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        if not assets.cutouts:
            break
        cut = assets.cutouts[int(rng.integers(len(assets.cutouts)))]
        scale = rng.uniform(0.25, 0.7) * h / cut.shape[0]
        cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        ch, cw = cut.shape[:2]
        if cw >= w or ch >= h or min(cw, ch) < 2:
            continue
        x, y = int(rng.integers(0, w - cw)), int(min(h - ch, h * rng.uniform(0.6, 0.95) - ch))
        y = max(0, y)
        alpha = cut[:, :, 3:].astype(np.float32) / 255
        image[y : y + ch, x : x + cw] = (image[y : y + ch, x : x + cw] * (1 - alpha) + cut[:, :, :3] * alpha).astype(
            np.uint8
        )
    return cv2.bilateralFilter(image, 5, 40, 5) if rng.random() < 0.5 else image


def _assemblage(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    """Small things fixed in rows on a board: together they are one work, hung like a picture."""
    image = wallpaper(rng, h, w)
    columns, rows = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    if not assets.cutouts:
        return image
    kinds = [assets.cutouts[int(rng.integers(len(assets.cutouts)))] for _ in range(int(rng.integers(1, 4)))]
    for i in range(columns * rows):
        cut = kinds[int(rng.integers(len(kinds)))]
        scale = rng.uniform(0.3, 0.8) * min(w / columns / cut.shape[1], h / rows / cut.shape[0])
        cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        ch, cw = cut.shape[:2]
        x = int((i % columns + 0.5) * w / columns - cw / 2)
        y = int((i // columns + 0.5) * h / rows - ch / 2)
        alpha = cut[:, :, 3:].astype(np.float32) / 255
        region = image[y : y + ch, x : x + cw]
        region[:] = (region * (1 - alpha) + cut[:, :, :3] * alpha).astype(np.uint8)
    return image


def _tiles(rng: Rng, assets: Assets, h: int, w: int) -> np.ndarray:
    """One motif repeated: stones, scales, windows."""
    image = np.tile(_colour(rng), (h, w, 1)).astype(np.uint8)
    step = int(rng.integers(8, 48))
    base = _colour(rng)
    round_, jitter = rng.random() < 0.5, rng.uniform(0, 0.3) * step
    for row, y in enumerate(range(0, h + step, step)):
        for x in range(-(row % 2) * step // 2, w + step, step):
            colour = np.clip(base * rng.uniform(0.5, 1.4), 0, 255).tolist()
            cx, cy = x + rng.normal(0, jitter + 1e-3), y + rng.normal(0, jitter + 1e-3)
            r = max(2, int(step * rng.uniform(0.25, 0.5)))
            if round_:
                cv2.ellipse(image, (int(cx), int(cy)), (r, max(1, r * 2 // 3)), 0, 0, 360, colour, -1, cv2.LINE_AA)
            else:
                cv2.rectangle(image, (int(cx) - r, int(cy) - r), (int(cx) + r, int(cy) + r), colour, -1)
    return image


def _drawing(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Charcoal or pen after the picture's edges."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), rng.uniform(0.6, 1.6))
    edges = np.clip(np.abs(cv2.Laplacian(grey, cv2.CV_32F)) * rng.uniform(4, 14), 0, 255)
    paper = np.array([1, rng.uniform(0.92, 1), rng.uniform(0.8, 1)]) * rng.uniform(200, 252)
    return np.clip(paper - edges[:, :, None] * rng.uniform(0.5, 1), 0, 255).astype(np.uint8)


def _rough(rng: Rng, image: np.ndarray) -> np.ndarray:
    if rng.random() < 0.7:
        image = image + _noise(rng, *image.shape[:2], int(rng.integers(1, 8)))[:, :, None] * rng.uniform(1, 16)
    return np.clip(image, 0, 255).astype(np.uint8)


def _noise(rng: Rng, h: int, w: int, grain: int) -> np.ndarray:
    """Smooth noise of unit deviation (before smoothing), float32 [h,w], features about `grain` pixels."""
    grain = max(1, grain)
    small = rng.standard_normal((max(1, -(-h // grain)) + 1, max(1, -(-w // grain)) + 1), np.float32)
    return small[:h, :w] if grain == 1 else cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def _colour(rng: Rng, saturation: float | None = None) -> np.ndarray:
    s = rng.random() if saturation is None else saturation * rng.random()
    grey = rng.uniform(5, 250)
    return np.clip(grey + (rng.uniform(0, 255, 3) - grey) * s, 0, 255).astype(np.float32)


def _wall_colour(rng: Rng) -> np.ndarray:
    if rng.random() < 0.7:  # museum walls are mostly pale, or one deep colour
        return np.clip(rng.uniform(110, 245) + rng.normal(0, 9, 3) + rng.normal(0, 6) * np.array([1, 0, -1]), 0, 255)
    return _colour(rng)


def _aspect(rng: Rng) -> float:
    """Width over height."""
    return float(np.exp(np.clip(rng.normal(0, 0.38), -0.9, 0.9)))


def _to_aspect(image: np.ndarray, aspect: float) -> np.ndarray:
    area = image.shape[0] * image.shape[1]
    size = (max(8, int(np.sqrt(area * aspect))), max(8, int(np.sqrt(area / aspect))))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _crop(rng: Rng, image: np.ndarray, least: float) -> np.ndarray:
    h, w = image.shape[:2]
    ch, cw = int(h * rng.uniform(least, 1)), int(w * rng.uniform(least, 1))
    y, x = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
    return image[y : y + ch, x : x + cw]
