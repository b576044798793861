"""Procedural objects, as RGBA cut-outs: turned things (vases, columns, lamps, statuettes) and boxes.

The cut-outs of real objects are of a few dozen classes; a detector of "any object that was meant" needs more kinds of
outlines, above all tall and thin ones and ones made of parts.
"""

from __future__ import annotations

import cv2
import numpy as np

from lexicrop_training import art

Rng = np.random.Generator


def thing(rng: Rng) -> np.ndarray:
    """RGBA uint8 [h,w,4], trimmed to what is opaque."""
    made = _turned(rng) if rng.random() < 0.7 else _box(rng)
    if rng.random() < 0.08:  # glass
        made[:, :, 3] = (made[:, :, 3] * rng.uniform(0.3, 0.7)).astype(np.uint8)
    ys, xs = np.nonzero(made[:, :, 3] > 0)
    return np.ascontiguousarray(made[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])


def _turned(rng: Rng) -> np.ndarray:
    """A solid of revolution: parts one above the other, each with its own outline and colour, lit from one side."""
    h = 220
    widest = h * float(np.exp(rng.uniform(np.log(0.06), np.log(0.62))))
    rows = np.arange(h)
    radius, colours = np.zeros(h), np.zeros((h, 3), np.float32)
    cuts = np.sort(rng.integers(8, h - 8, int(rng.integers(0, 6))))
    base = art._colour(rng)
    for part in np.split(rows, cuts):
        if not len(part):
            continue
        size = rng.uniform(0.12, 1.0) * widest
        t = np.linspace(0, 1, len(part))
        shape = rng.integers(4)
        if shape == 0:  # cylinder or cone
            outline = np.interp(t, [0, 1], rng.uniform(0.5, 1.0, 2))
        elif shape == 1:  # belly
            outline = 0.35 + 0.65 * np.sin(np.pi * np.clip(t * rng.uniform(0.7, 1.0) + rng.uniform(0, 0.2), 0, 1))
        elif shape == 2:  # waist
            outline = 1 - rng.uniform(0.3, 0.8) * np.sin(np.pi * t)
        else:  # anything smooth
            knots = rng.uniform(0.3, 1.0, int(rng.integers(3, 7)))
            outline = np.interp(t, np.linspace(0, 1, len(knots)), knots)
        radius[part] = np.maximum(2.0, size * outline)
        colours[part] = base if rng.random() < 0.6 else art._colour(rng)
    half = int(np.ceil(radius.max())) + 2
    across = (np.arange(2 * half) - half + 0.5)[None, :] / np.maximum(radius, 1)[:, None]
    inside = np.abs(across) <= 1
    slope = np.sqrt(np.clip(1 - across**2, 0, 1))
    light = rng.uniform(0.25, 0.6) + rng.uniform(0.3, 0.8) * np.clip(slope + rng.uniform(-0.9, 0.9) * across, 0, 1.5)
    image = colours[:, None, :] * light[:, :, None]
    if rng.random() < 0.5:  # glaze
        where = rng.uniform(-0.6, 0.6)
        image += (np.exp(-((across - where) ** 2) / rng.uniform(0.005, 0.08)) * rng.uniform(30, 170))[:, :, None]
    if rng.random() < 0.6:  # pattern or rough stone
        image *= 1 + rng.uniform(0.05, 0.4) * art._noise(rng, h, 2 * half, int(rng.integers(1, 14)))[:, :, None]
    made = np.dstack([np.clip(image, 0, 255), np.where(inside, 255, 0)]).astype(np.uint8)
    if rng.random() < 0.25:  # handles
        side = rng.choice([-1, 1])
        y = int(rng.uniform(0.2, 0.7) * h)
        reach = int(rng.uniform(0.15, 0.5) * half + 4)
        made = cv2.copyMakeBorder(made, 0, 0, reach, reach, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
        centre = (int(made.shape[1] / 2 + side * radius[y] * 0.95), y)
        axes = (reach, int(rng.uniform(0.06, 0.2) * h))
        colour = (*np.clip(base * rng.uniform(0.5, 1), 0, 255).tolist(), 255)
        behind = np.zeros_like(made)
        cv2.ellipse(behind, centre, axes, 0, 0, 360, colour, int(rng.integers(3, 10)), cv2.LINE_AA)
        made = np.where(made[:, :, 3:] > 0, made, behind)
    return made


def _box(rng: Rng) -> np.ndarray:
    """A chest, case or block seen from above one corner: three faces of different light."""
    size = 240
    w, d, h = rng.uniform(0.4, 1.0), rng.uniform(0.25, 0.9), rng.uniform(0.15, 1.1)
    yaw, pitch = rng.uniform(0.15, 1.4), rng.uniform(0.15, 0.7)
    corners = np.array([(x, y, z) for x in (0, w) for y in (0, d) for z in (0, h)])
    turned = np.stack([corners[:, 0] * np.cos(yaw) - corners[:, 1] * np.sin(yaw),
                       corners[:, 0] * np.sin(yaw) + corners[:, 1] * np.cos(yaw)], 1)  # fmt: skip
    depth = 4.0 + turned[:, 1]
    flat = np.stack([turned[:, 0], -corners[:, 2] * np.cos(pitch) - turned[:, 1] * np.sin(pitch)], 1) / depth[:, None]
    flat = (flat - flat.min(0)) / np.ptp(flat, 0).max() * (size - 8) + 4
    made = np.zeros((size, size, 4), np.uint8)
    skin = art.wallpaper(rng, 120, 120) if rng.random() < 0.7 else np.tile(art._colour(rng), (120, 120, 1))
    # The top and the two sides towards the camera; corner number is 4x + 2y + z.
    for face in ((1, 5, 7, 3), (0, 4, 5, 1), (0, 2, 3, 1)):
        light = rng.uniform(0.45, 1.1)
        quad = flat[list(face)].astype(np.float32)
        source = np.array([(0, 119), (119, 119), (119, 0), (0, 0)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, quad)
        pixels = np.dstack([np.clip(skin * light, 0, 255), np.full((120, 120), 255)]).astype(np.uint8)
        cv2.rectangle(pixels, (0, 0), (119, 119), (*(pixels[60, 60, :3] * 0.6).tolist(), 255), int(rng.integers(1, 5)))
        warped = cv2.warpPerspective(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR)
        made = np.where(warped[:, :, 3:] > 127, warped, made)
    return made
