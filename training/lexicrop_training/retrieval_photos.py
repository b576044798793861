"""Photos to measure an embedder by: of works never trained on, made in a way nothing is trained on, and real ones.

A test photo is a real photo of a framed work in which another work has taken the place of the picture: frame, wall
and surroundings are real. The photo is then tilted, lit, blurred and compressed, and cut out by a box that is as
wrong as a detector's.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from lexicrop_training.assets import HELD_BACK, pictures_in
from lexicrop_training.geometry import iou_numpy, letterbox
from lexicrop_training.samples import DataError, Sample, read_image

Rng = np.random.Generator


@dataclass(frozen=True)
class Work:
    """image: the catalogue picture, RGB uint8 [h,w,3]; square where its true aspect ratio was lost upstream;
    more: other reproductions of the work."""

    name: str
    image: np.ndarray
    square: bool
    more: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Split:
    """train: works to learn from; held: never trained on, in the catalogue; outside: never in the catalogue."""

    train: list[Work]
    held: list[Work]
    outside: list[Work]


@dataclass(frozen=True)
class Trial:
    """catalogue uint8 [n,S,S,3], photos uint8 [q,S,S,3]; work [q] the photo's place in the catalogue, -1: outside."""

    catalogue: np.ndarray
    photos: np.ndarray
    work: np.ndarray


def split_works(folder: Path, same: Path | None = None) -> Split:
    """Every fifth work of each painter is held out; the gallery of `estense_*` is outside the catalogue.

    same: a file that names pictures of one and the same work in one line; without it each picture is a work.
    """
    others = {} if same is None else _read_same(same)
    pictures = {p.stem: read_image(p) for p in pictures_in(folder)}
    train, held, outside = [], [], []
    painters: dict[str, int] = {}
    for name, image in pictures.items():
        if others.get(name) in pictures:
            continue
        more = tuple(pictures[n] for n, first in others.items() if first == name and n in pictures)
        work = Work(name, image, image.shape[0] == image.shape[1], more)
        if name.startswith(HELD_BACK):
            outside.append(work)
            continue
        painter = name.rsplit("_", 1)[0]
        number = painters[painter] = painters.get(painter, -1) + 1
        (held if number % 5 == 2 else train).append(work)
    if len(held) < 2:
        raise DataError(f"{folder}: too few works to hold two out")
    return Split(train, held, outside)


def make_trial(split: Split, walls: list[Sample], side: int, views: int, seed: int, resize: str = "stretch") -> Trial:
    """Held-out and trained-on works in the catalogue, `views` photos of each held-out and each outside work."""
    catalogue = [*split.held, *split.train]
    aspects = [_aspect(np.random.default_rng((seed, 1, i)), w) for i, w in enumerate(catalogue + split.outside)]
    works = [_to_aspect(w.image, a) for w, a in zip(catalogue + split.outside, aspects, strict=True)]
    photos, answer = [], []
    for i in [*range(len(split.held)), *range(len(catalogue), len(works))]:
        for view in range(views):
            rng = np.random.default_rng((seed, 2, i, view))
            crop = photographed(rng, works[i], walls[int(rng.integers(len(walls)))])
            photos.append(_compressed(fit(crop, side, resize), 40))
            answer.append(i if i < len(catalogue) else -1)
    pictures = np.stack([fit(w, side, resize) for w in works[: len(catalogue)]])
    return Trial(pictures, np.stack(photos), np.array(answer))


def gallery_trial(split: Split, labels: Path, photos: Path, side: int, resize: str = "stretch") -> Trial:
    """Real photos of a gallery's walls, cut out by the boxes of `labels`, against all works.

    labels: CSV of file,x1,y1,x2,y2,work, boxes in pixels of the files in `photos`, work a name of the split.
    """
    catalogue = [*split.outside, *split.held, *split.train]
    place = {work.name: i for i, work in enumerate(catalogue)}
    crops, answer = [], []
    for row in csv.DictReader(_lines(labels)):
        if row["work"] not in place:
            raise DataError(f"{labels}: there is no work {row['work']}")
        x0, y0, x1, y1 = (round(float(row[k])) for k in ("x1", "y1", "x2", "y2"))
        crops.append(fit(read_image(photos / row["file"])[y0:y1, x0:x1], side, resize))
        answer.append(place[row["work"]])
    return Trial(_catalogue(catalogue, side, resize), np.stack(crops), np.array(answer))


def again_trial(split: Split, walls: list[Sample], side: int, views: int, seed: int, resize: str = "stretch",
                same: Path | None = None) -> Trial:  # fmt: skip
    """Real photos against themselves: cut out exactly, and taken once more from elsewhere, by a wrong box.

    A weak test, for both come from one file; but its works, frames and light are real. same: as of split_works; it
    names a photo `folder/stem`, for its main work. Of a work in two photos the first is in the catalogue, so that the
    other one's crops are looked for in a photo really taken at another time.
    """
    firsts = {} if same is None else _read_same(same)
    places: dict[str, int] = {}
    exact, again, answer = [], [], []
    for number, (wall, i) in enumerate((w, i) for w in walls for i in range(len(w.boxes))):
        photo, box = wall.pixels(), wall.boxes[i]
        name = f"{wall.path.parent.name}/{wall.path.stem}" + ("" if wall.main[i] else f"/{i}")
        work = firsts.get(name, name)
        if work not in places:
            places[work] = len(exact)
            x0, y0, x1, y1 = box.round().astype(int)
            exact.append(fit(photo[y0:y1, x0:x1], side, resize))
        for view in range(views):
            rng = np.random.default_rng((seed, 3, number, view))
            again.append(_compressed(fit(_seen(rng, photo, box), side, resize), 40))
            answer.append(places[work])
    catalogue = [*split.outside, *split.held, *split.train]
    return Trial(np.concatenate([np.stack(exact), _catalogue(catalogue, side, resize)]), np.stack(again),
                 np.array(answer))  # fmt: skip


def turned_trial(split: Split, side: int, how: str, resize: str = "stretch") -> Trial:
    """The held-out catalogue pictures themselves, `how` = rotated (by 90 degrees) or mirrored, against all."""
    catalogue = [*split.held, *split.train]
    turn = {"rotated": np.rot90, "mirrored": np.fliplr}[how]
    photos = np.stack([fit(np.ascontiguousarray(turn(w.image)), side, resize) for w in split.held])
    return Trial(_catalogue(catalogue, side, resize), photos, np.arange(len(split.held)))


def photographed(rng: Rng, work: np.ndarray, wall: Sample) -> np.ndarray:
    """The crop of a phone photo of `work` hanging where the main work of the photo `wall` hangs."""
    return _seen(rng, *_hung(rng, work, wall))


def wrong_box(rng: Rng, box: np.ndarray, width: int, height: int, least: float = 0.6) -> np.ndarray:
    """A box within the photo whose IoU with `box` is at least `least`, more often too large than too small."""
    size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    spread = rng.uniform(0.0, 0.12)
    for _ in range(50):
        outward = rng.normal(0.25 * spread, spread, 4) * (-1, -1, 1, 1)
        moved = (box + outward * size).clip(0, [width, height] * 2)
        if (moved[2:] - moved[:2] >= 4).all() and iou_numpy(moved[None], box[None])[0, 0] >= least:
            return moved
    return box


def fit(image: np.ndarray, side: int, resize: str) -> np.ndarray:
    """RGB uint8 [h,w,3] to [side,side,3], as the model contract's `resize` says."""
    if resize == "letterbox":
        return letterbox(image, side)[0]
    shrinks = min(image.shape[:2]) > side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _read_same(path: Path) -> dict[str, str]:
    """The pictures that are no works of their own, each with the first picture of its work."""
    groups = [line.split() for line in _lines(path) if not line.startswith("#")]
    return {name: group[0] for group in groups for name in group[1:]}


def _lines(path: Path) -> list[str]:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    return path.read_text().splitlines()


def _catalogue(works: list[Work], side: int, resize: str) -> np.ndarray:
    return np.stack([fit(w.image, side, resize) for w in works])


def _aspect(rng: Rng, work: Work) -> float:
    """Width by height: the true one where it is known, else one that works have."""
    h, w = work.image.shape[:2]
    return float(np.exp(rng.normal(-0.05, 0.3)).clip(0.5, 2.0)) if work.square else w / h


def _to_aspect(image: np.ndarray, aspect: float) -> np.ndarray:
    side = np.sqrt(image.shape[0] * image.shape[1])
    size = (max(8, round(side * np.sqrt(aspect))), max(8, round(side / np.sqrt(aspect))))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def _hung(rng: Rng, work: np.ndarray, wall: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The photo with `work` inside the frame of its main work, and the box of the work in it."""
    photo = wall.pixels()
    box = wall.boxes[int(np.flatnonzero(wall.main)[0])]
    # Stretched so that the opening has the work's aspect, and no larger than a reduced phone photo.
    aspect = work.shape[1] / work.shape[0] / ((box[2] - box[0]) / (box[3] - box[1]))
    scale = rng.uniform(380, 620) / max(photo.shape[0] / np.sqrt(aspect), photo.shape[1] * np.sqrt(aspect))
    fx, fy = scale * np.sqrt(aspect), scale / np.sqrt(aspect)
    photo = cv2.resize(photo, None, fx=fx, fy=fy, interpolation=cv2.INTER_AREA)
    box = box * (fx, fy, fx, fy)
    x0, y0, x1, y1 = box.round().astype(int)
    inside = cv2.resize(work, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32)
    edge = max(2, int(0.02 * (y1 - y0)))
    inside[:edge] *= np.linspace(rng.uniform(0.5, 1), 1, edge)[:, None, None]
    # The light of the place: the work takes up part of the old picture's brightness and colour.
    old = photo[y0:y1, x0:x1].reshape(-1, 3).mean(0)
    light = (old / max(1.0, old.mean())) ** 0.3 * (max(20.0, old.mean()) / 110) ** 0.25
    photo[y0:y1, x0:x1] = np.clip(inside * light, 0, 255).astype(np.uint8)
    return photo, box


def _seen(rng: Rng, photo: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The work in `box`, photographed from elsewhere and cut out by a wrong box."""
    photo, quad = _tilted(rng, photo, box)
    photo = _taken(rng, photo)
    height, width = photo.shape[:2]
    tight = np.concatenate([quad.min(0), quad.max(0)]).clip(0, [width, height] * 2)
    x0, y0, x1, y1 = wrong_box(rng, tight, width, height).round().astype(int)
    return photo[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]


def _tilted(rng: Rng, photo: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo seen from elsewhere: its corners moved by up to a tenth; and the work's corners [4,2]."""
    h, w = photo.shape[:2]
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
    moved = corners + rng.uniform(-1, 1, (4, 2)) * rng.uniform(0, 0.1) * (w, h)
    moved -= moved.min(0)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    size = tuple(int(v) for v in np.ceil(moved.max(0)))
    seen = cv2.warpPerspective(photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    x0, y0, x1, y1 = box
    quad = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], np.float32)
    return seen, cv2.perspectiveTransform(quad, matrix)[0]


def _taken(rng: Rng, photo: np.ndarray) -> np.ndarray:
    """Exposure, colour, reflections, shadow, blur and noise, by other means than in training."""
    image = Image.fromarray(photo)
    for enhance, low, high in (
        (ImageEnhance.Brightness, 0.55, 1.4), (ImageEnhance.Contrast, 0.65, 1.3), (ImageEnhance.Color, 0.5, 1.5),
    ):  # fmt: skip
        image = enhance(image).enhance(rng.uniform(low, high))
    warmth = rng.uniform(-0.15, 0.15)
    tint = np.array([1 + warmth, 1, 1 - warmth])
    if rng.random() < 0.5:
        image = _reflection(rng, image)
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2.2)))
    pixels = np.asarray(image).astype(np.float32) * tint
    if rng.random() < 0.4:  # somebody's shadow
        across = np.linspace(-1, 1, pixels.shape[1])[None] * rng.choice([-1, 1])
        pixels *= (1 - rng.uniform(0.2, 0.5) / (1 + np.exp(-(across - rng.uniform(-0.5, 0.5)) * 8)))[..., None]
    pixels += rng.normal(0, rng.uniform(0, 8), pixels.shape)
    return _compressed(np.clip(pixels, 0, 255).astype(np.uint8), int(rng.integers(40, 90)))


def _reflection(rng: Rng, image: Image.Image) -> Image.Image:
    """Lamps or a window, mirrored in the glass."""
    shine = Image.new("L", image.size)
    draw = ImageDraw.Draw(shine)
    w, h = image.size
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0, w), rng.uniform(0, h)
        dx, dy = rng.uniform(0.02, 0.15) * w, rng.uniform(0.02, 0.15) * h
        shape = draw.rectangle if rng.random() < 0.5 else draw.ellipse
        shape((x - dx, y - dy, x + dx, y + dy), fill=int(rng.uniform(60, 230)))
    shine = shine.filter(ImageFilter.GaussianBlur(rng.uniform(0.005, 0.04) * max(w, h)))
    return Image.composite(Image.new("RGB", image.size, "white"), image, shine)


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
