"""What the embedder learns from: two views of one picture, in a catalogue and in a phone's photo.

Every picture is an instance of its own. `batch_of(pictures, seed, number)` is a pure function of its arguments, so
that any process makes the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lexicrop_training import art, photo, scenes
from lexicrop_training.assets import Assets
from lexicrop_training.geometry import iou_numpy
from lexicrop_training.retrieval_photos import Work

Rng = np.random.Generator

PROCEDURAL = 1500  # pictures made by art.py
LEAST_IOU = 0.6  # of the box that a view is cut out by
# What a batch is made of: works of one painter, who are each other's hardest negatives, works of all, other pictures.
ONE_PAINTER, ALL_PAINTERS = 0.4, 0.35


@dataclass(frozen=True)
class Pictures:
    """works: pictures by painters, with `painter` of each; others: photos that are pictures as well; assets: walls
    and the stuff of procedural pictures. Labels: 2i and 2i+1 are work i and its mirror image, then come others."""

    works: list[Work]
    painter: list[str]
    others: list[np.ndarray]
    assets: Assets

    @property
    def count(self) -> int:
        return 2 * len(self.works) + len(self.others) + PROCEDURAL

    def picture(self, rng: Rng, label: int) -> np.ndarray:
        """RGB uint8 of an instance: one of a work's reproductions, in an aspect ratio that it may have."""
        if label < 2 * len(self.works):
            work = self.works[label // 2]
            image = (work.image, *work.more)[int(rng.integers(1 + len(work.more)))]
            if work.square:
                image = art._to_aspect(image, float(np.exp(rng.normal(-0.05, 0.3)).clip(0.45, 2.2)))
            return np.ascontiguousarray(image[:, ::-1]) if label % 2 else image
        label -= 2 * len(self.works)
        if label < len(self.others):
            return self.others[label]
        return art.abstract(np.random.default_rng((label, 3)), self.assets)


def make_pictures(works: list[Work], assets: Assets) -> Pictures:
    others = [*assets.backgrounds, *(s.pixels() for s in assets.object_photos)]
    # Of works, the given ones alone: the others are held out.
    assets = replace(assets, artworks=[], square=[])
    return Pictures(works, [w.name.rsplit("_", 1)[0] for w in works], others, assets)


def batch_of(pictures: Pictures, seed: int, number: int, instances: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [2*instances,side,side,3] and labels [2*instances]; the second half is the first half's other views."""
    rng = np.random.default_rng((seed, number))
    labels = _chosen(rng, pictures, instances)
    first, second = [], []
    for label in labels:
        one, two = (pictures.picture(rng, int(label)) for _ in range(2))
        catalogued = rng.random() < 0.8
        first.append(catalogue_view(rng, one, side) if catalogued else phone_view(rng, one, pictures.assets, side))
        second.append(phone_view(rng, two, pictures.assets, side))
    return np.stack(first + second), np.tile(labels, 2)


def views(pictures: Pictures, seed: int, instances: int, side: int, count: int) -> np.ndarray:
    """uint8 [n,side,side,3]: `count` views or a few more, whole batches of `instances` pictures."""
    batch_numbers = range(-(-count // (2 * instances)))
    return np.concatenate([batch_of(pictures, seed, number, instances, side)[0] for number in batch_numbers])


def catalogue_view(rng: Rng, image: np.ndarray, side: int) -> np.ndarray:
    """As a museum or a book shows it: almost whole, other colours, compressed."""
    h, w = image.shape[:2]
    if rng.random() < 0.4:
        cut = rng.uniform(0, 0.04, 4)
        image = image[int(cut[0] * h) : h - int(cut[1] * h), int(cut[2] * w) : w - int(cut[3] * w)]
    image = _resized(image, side)
    if rng.random() < 0.8:
        levels = (np.arange(256)[:, None] / 255) ** np.exp(rng.normal(0, 0.15))
        cast = np.exp(rng.normal(0, 0.05, 3))
        table = np.clip(levels * cast * rng.uniform(0.85, 1.15) * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table[None])
    if rng.random() < 0.4:
        image = _saturated(image, rng.uniform(0.0 if rng.random() < 0.1 else 0.6, 1.4))
    return _compressed(image, int(rng.integers(40, 96)))


def phone_view(rng: Rng, image: np.ndarray, assets: Assets, side: int) -> np.ndarray:
    """Framed on a wall, seen at an angle, taken by a phone, cut out by a box that is more or less wrong."""
    work = art.framed(rng, image, float(rng.uniform(140, 300)))
    h, w = work.image.shape[:2]
    place = np.array([0, 0, w, h]) / np.sqrt(h * w)
    view = scenes._view(rng, 0.5, [place])
    to_wall = np.diag([1 / np.sqrt(h * w)] * 2 + [1.0])
    inner = scenes.view_points(view @ to_wall, work.inner.astype(np.float64))
    low, high = inner.min(0), inner.max(0)
    long = rng.uniform(110, 320) if rng.random() < 0.85 else rng.uniform(60, 110)
    scale = long / (high - low).max()
    margin = 0.22 * (high - low) * scale
    width, height = (int(v) for v in np.ceil((high - low) * scale + 2 * margin))
    shift = margin - low * scale
    view = scenes._similarity(scale, shift[0], shift[1]) @ view
    room = rng.random() < 0.2
    scene = scenes._room(rng, assets, width, height) if room else scenes._wall(rng, view, width, height)
    placed = scenes._paste_work(rng, scene, work, place, view, rng.uniform(-0.02, 0.06, 2), rng.uniform(0.004, 0.02))
    if placed is not None:
        inner = placed.inner
    scene = photo.lit(rng, scene)
    if rng.random() < 0.3:
        scene = _mirrored_light(rng, scene)
    scene = photo.taken(rng, scene)
    if rng.random() < 0.2:
        scene = _saturated(scene, rng.uniform(0.2, 1.7))
    if rng.random() < 0.2:
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.002, 0.012) * long)
    box = np.concatenate([inner.min(0), inner.max(0)]).clip(0, [width, height] * 2)
    x0, y0, x1, y1 = _wrong_box(rng, box, width, height).round().astype(int)
    crop = scene[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]
    return _compressed(_resized(crop, side), int(rng.integers(25, 85)))


def batches(pictures: Pictures, seed: int, instances: int, side: int, first: int, count: int,
            workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:  # fmt: skip
    """Batches number `first` to `count`, made by worker processes."""
    loader = DataLoader(
        _Batches(pictures, seed, instances, side, count), batch_size=None, sampler=range(first, count),
        num_workers=workers, prefetch_factor=4 if workers else None, worker_init_fn=_one_thread,
    )  # fmt: skip
    yield from loader


class _Batches(Dataset):
    def __init__(self, pictures: Pictures, seed: int, instances: int, side: int, count: int) -> None:
        self.pictures, self.seed, self.instances, self.side, self.count = pictures, seed, instances, side, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = batch_of(self.pictures, self.seed, number, self.instances, self.side)
        return torch.from_numpy(images), torch.from_numpy(labels)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)


def _chosen(rng: Rng, pictures: Pictures, instances: int) -> np.ndarray:
    """Different labels: works of one painter, of all, and other pictures. No work comes with its own mirror image."""
    works = len(pictures.works)
    same = np.flatnonzero(np.array(pictures.painter) == pictures.painter[int(rng.integers(works))])
    one = rng.permutation(same)[: round(ONE_PAINTER * instances)]
    rest = rng.permutation(np.setdiff1d(np.arange(works), one))[: round(ALL_PAINTERS * instances)]
    chosen = np.concatenate([one, rest])
    labels = 2 * chosen + (rng.random(len(chosen)) < 0.35)
    others = 2 * works + rng.permutation(pictures.count - 2 * works)[: instances - len(labels)]
    return np.concatenate([labels, others])


def _wrong_box(rng: Rng, box: np.ndarray, width: int, height: int) -> np.ndarray:
    size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    reach = rng.uniform(0, 0.16)
    while True:
        moved = (box + rng.uniform(-1, 1, 4) * reach * size).clip(0, [width, height] * 2)
        if iou_numpy(moved[None], box[None])[0, 0] >= LEAST_IOU:
            return moved
        reach *= 0.8


def _mirrored_light(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Lamps and windows in the glass, over all."""
    h, w = image.shape[:2]
    shine = np.zeros((h, w), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        size = rng.uniform(0.01, 0.16) * max(h, w) * np.exp(rng.normal(0, 0.4, 2))
        turned = ((rng.uniform(0, w), rng.uniform(0, h)), (2 * size[0], 2 * size[1]), rng.uniform(0, 90))
        if rng.random() < 0.5:
            cv2.ellipse(shine, turned, rng.uniform(50, 230), -1)
        else:
            cv2.fillConvexPoly(shine, cv2.boxPoints(turned).astype(np.int32), rng.uniform(50, 230))
    shine = cv2.GaussianBlur(shine, (0, 0), rng.uniform(0.004, 0.05) * max(h, w))
    return cv2.add(image, np.repeat(shine[:, :, None], 3, 2), dtype=cv2.CV_8U)


def _saturated(image: np.ndarray, keep: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, keep, grey, 1 - keep, 0)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    shrinks = min(image.shape[:2]) > side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
