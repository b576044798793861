"""What a phone does to a scene: light, reflections, colour, blur, noise, compression. RGB uint8 HWC in and out."""

from __future__ import annotations

import cv2
import numpy as np

Rng = np.random.Generator


def lit(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Uneven light over the whole scene: a soft field, sometimes a spot or a lamp's glare."""
    h, w = image.shape[:2]
    small = 1 + rng.normal(0, rng.uniform(0, 0.16), (3, 3)).astype(np.float32)
    field = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.2:
        xs, ys = np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)
        cx, cy = rng.uniform(-0.6, 0.6, 2)
        spread = rng.uniform(0.3, 1.2)
        spot = np.exp(-((xs[None, :] - cx) ** 2 + (ys[:, None] - cy) ** 2) / spread)
        field = field * (rng.uniform(0.45, 0.8) + rng.uniform(0.2, 0.7) * spot)
    out = cv2.multiply(image, np.repeat(field[:, :, None], 3, 2), dtype=cv2.CV_8U)
    if rng.random() < 0.08:  # glare
        glare = np.zeros((h, w), np.float32)
        centre = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        cv2.circle(glare, centre, int(max(h, w) * rng.uniform(0.01, 0.06)), rng.uniform(80, 255), -1)
        glare = cv2.GaussianBlur(glare, (0, 0), max(h, w) * rng.uniform(0.01, 0.04))
        out = cv2.add(out, np.repeat(glare[:, :, None], 3, 2), dtype=cv2.CV_8U)
    return out


def taken(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Exposure, white balance, contrast, blur, noise and JPEG."""
    gain = rng.uniform(0.55, 1.35) if rng.random() < 0.7 else 1.0
    if rng.random() < 0.06:
        gain *= rng.uniform(0.3, 0.6)
    cast = np.exp(rng.normal(0, 0.07, 3)) if rng.random() < 0.6 else np.ones(3)
    gamma = np.exp(rng.normal(0, 0.18))
    levels = np.arange(256)[:, None] / 255
    table = np.clip((levels**gamma) * gain * cast * 255 + rng.uniform(-12, 12), 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[None])
    if rng.random() < 0.25:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        keep = rng.uniform(0, 1.4)
        image = cv2.addWeighted(image, keep, grey, 1 - keep, 0)
    blur = rng.random()
    if blur < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    elif blur < 0.26:
        image = cv2.filter2D(image, -1, _motion(rng))
    if rng.random() < 0.35:
        sigma = rng.uniform(1, 11)
        noise = rng.standard_normal(image.shape[:2], np.float32) * sigma
        image = cv2.add(image, np.repeat(noise[:, :, None], 3, 2), dtype=cv2.CV_8U)
    if rng.random() < 0.6:
        ok, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(28, 93))))
        if ok:
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image


def _motion(rng: Rng) -> np.ndarray:
    size = int(rng.integers(3, 10)) | 1
    kernel = np.zeros((size, size), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * size / 2
    middle = np.array([size // 2, size // 2])
    cv2.line(kernel, tuple((middle - reach).astype(int)), tuple((middle + reach).astype(int)), 1.0)
    return kernel / max(kernel.sum(), 1e-6)
