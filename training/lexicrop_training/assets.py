"""The pictures that scenes are composed of, read into memory once.

Layout of the folder (see the project's data notes): artworks/ plain reproductions, backgrounds/ interiors,
objects/ cut-outs with alpha, object_photos/ photos of one object with labels.json. All arrays are RGB uint8
HWC (RGBA for cut-outs).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lexicrop_training.samples import DataError, Sample, read_image, read_labels

# The gallery of these works is the one photographed in val_crowded/.
HELD_BACK = "estense_"
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Assets:
    artworks: list[np.ndarray]
    square: list[bool]  # artworks whose true aspect ratio was lost upstream
    backgrounds: list[np.ndarray]
    cutouts: list[np.ndarray]
    object_photos: list[Sample]  # with their pixels in .image

    def part(self, share: float, seed: int) -> Assets:
        """The same kinds of pictures, but only this share of each (for learning curves)."""
        rng = np.random.default_rng(seed)

        def some(items: list) -> list:
            if not items:
                return []
            keep = max(1, round(share * len(items)))
            return [items[i] for i in sorted(rng.permutation(len(items))[:keep])]

        pairs = some(list(zip(self.artworks, self.square, strict=True)))
        return Assets(
            [a for a, _ in pairs], [s for _, s in pairs],
            some(self.backgrounds), some(self.cutouts), some(self.object_photos),
        )  # fmt: skip


def load_assets(folder: Path) -> Assets:
    """Reads every picture below `folder`; DataError names the folder or file that is missing or broken."""
    artworks, square = [], []
    for path in pictures_in(folder / "artworks"):
        if path.name.startswith(HELD_BACK):
            continue
        image = _at_most(read_image(path), 352)
        artworks.append(image)
        square.append(image.shape[0] == image.shape[1])
    backgrounds = [_at_most(read_image(p), 480) for p in pictures_in(folder / "backgrounds")]
    cutouts = [_trimmed(read_cutout(p), p) for p in pictures_in(folder / "objects")]
    photos = []
    labels = folder / "object_photos" / "labels.json"
    if labels.exists():
        photos = [s.with_image(read_image(s.path)) for s in read_labels(labels)]
    return Assets(artworks, square, backgrounds, cutouts, photos)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; DataError where there is no folder or none in it."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
    if not found:
        raise DataError(f"{folder}: holds no pictures")
    return found


def read_cutout(path: Path) -> np.ndarray:
    """RGBA uint8 [h,w,4]; a picture without alpha is an error, for it would be pasted as a rectangle."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DataError(f"{path}: not a readable picture")
    if image.ndim != 3 or image.shape[2] != 4:
        raise DataError(f"{path}: a cut-out needs an alpha channel")
    return np.ascontiguousarray(image[:, :, [2, 1, 0, 3]])


def _at_most(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    return image if scale >= 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _trimmed(cutout: np.ndarray, path: Path) -> np.ndarray:
    """Without the transparent margin, so that the cut-out's rectangle is the object's box."""
    ys, xs = np.nonzero(cutout[:, :, 3] > 127)
    if not len(ys):
        raise DataError(f"{path}: the cut-out is wholly transparent")
    return np.ascontiguousarray(cutout[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
