"""From scenes and labelled photos to batches: letterboxed pictures with the targets of both stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lexicrop_training import photo
from lexicrop_training.assets import Assets
from lexicrop_training.geometry import letterbox, prominence
from lexicrop_training.losses import NEAR, Target
from lexicrop_training.samples import Sample
from lexicrop_training.scenes import KINDS, make_scene

LEAST_AREA = 0.004  # share of the picture below which a work is neither right nor wrong
LEAST_VISIBLE = 0.4


@dataclass(frozen=True)
class Example:
    """image uint8 [side,side,3]; boxes, ignore and outer in its pixels; labels; wanted as in losses.Target."""

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    wanted: np.ndarray
    ignore: np.ndarray
    outer: np.ndarray

    def target(self, device: torch.device | str = "cpu") -> Target:
        arrays = (self.boxes, self.labels, self.wanted, self.ignore, self.outer)
        return Target(*(torch.from_numpy(a).to(device) for a in arrays))


def example(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    side: int,
    visible: np.ndarray | None = None,
    main: np.ndarray | None = None,
    ignore: np.ndarray | None = None,
    outer: np.ndarray | None = None,
) -> Example:
    """Letterboxes one picture and decides which work was meant: `main` where that is known, else the most prominent.

    Prominence is of `outer`, the boxes with their frames, where they are known (not NaN): what the eye goes by.
    """
    height, width = image.shape[:2]
    visible = np.ones(len(boxes), np.float32) if visible is None else visible
    counted = counts(boxes, visible, width, height)
    outer = np.full_like(boxes, np.nan) if outer is None else outer
    rank = prominence(np.where(np.isnan(outer), boxes, outer), width, height)[counted]
    if main is not None and main[counted].any():
        rank = np.where(main[counted], max(1.0, float(rank.max()) * 1.01), rank).astype(np.float32)
    wanted = np.zeros(len(rank), np.float32)
    if len(rank):
        wanted[rank >= NEAR * rank.max()] = 0.5
        wanted[rank.argmax()] = 1.0
    fitted, box_map = letterbox(image, side)
    unsure = np.concatenate([boxes[~counted], np.zeros((0, 4), np.float32) if ignore is None else ignore])
    return Example(
        fitted,
        box_map.forward(boxes[counted]).astype(np.float32),
        labels[counted],
        wanted,
        box_map.forward(unsure).astype(np.float32),
        box_map.forward(outer[counted]).astype(np.float32),
    )


def counts(boxes: np.ndarray, visible: np.ndarray, width: int, height: int) -> np.ndarray:
    """bool [n]: enough of the work is in view for it to be right or wrong."""
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), 1) / (width * height)
    return (visible >= LEAST_VISIBLE) & (area >= LEAST_AREA)


class Examples(Dataset):
    """An endless, indexable stream: number i is the same in every process and run.

    With labelled photos, `real_share` of the numbers are augmented photos, the rest composed scenes.
    """

    def __init__(
        self, assets: Assets | None, photos: list[Sample], side: int, seed: int, real_share: float, count: int,
        kinds: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.assets, self.photos, self.side, self.seed, self.count = assets, photos, side, seed, count
        self.kinds = kinds or KINDS
        self.real_share = 0.0 if not photos else 1.0 if assets is None else real_share

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng((self.seed, index, 1))
        if rng.random() < self.real_share or self.assets is None:
            return augmented(rng, self.photos[int(rng.integers(len(self.photos)))], self.side)
        scene = make_scene(self.assets, self.seed, index, shares=self.kinds)
        return example(scene.image, scene.boxes, scene.labels, self.side, scene.visible, outer=scene.outer)


def augmented(rng: np.random.Generator, sample: Sample, side: int) -> Example:
    """A labelled photo, cropped so that the main work stays in view, mirrored, and taken by another phone."""
    image, boxes, ignore = sample.pixels(), sample.boxes.copy(), sample.ignore.copy()
    outer = np.full_like(boxes, np.nan) if sample.outer is None else sample.outer.copy()
    height, width = image.shape[:2]
    if rng.random() < 0.7:
        keep = boxes[sample.main] if sample.main.any() else boxes
        x0, y0, x1, y1 = (*keep.min(0)[:2], *keep.max(0)[2:]) if len(keep) else (width / 3, height / 3) * 2
        lx, ly = int(rng.uniform(0, max(1, x0))), int(rng.uniform(0, max(1, y0)))
        hx, hy = int(np.ceil(rng.uniform(min(x1, width - 1), width))), int(np.ceil(rng.uniform(y1, height)))
        hx, hy = min(width, max(hx, lx + 16)), min(height, max(hy, ly + 16))
        image = image[ly:hy, lx:hx]
        boxes, outer, ignore = (b - (lx, ly, lx, ly) for b in (boxes, outer, ignore))
    if rng.random() < 0.5:
        image = image[:, ::-1]
        for b in (boxes, outer, ignore):
            b[:, [0, 2]] = image.shape[1] - b[:, [2, 0]]
    height, width = image.shape[:2]
    limit = np.array([width, height, width, height], np.float32)
    clipped = boxes.clip(0, limit).astype(np.float32)
    area = np.prod(np.maximum(clipped[:, 2:] - clipped[:, :2], 0), 1)
    visible = (area / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], 1), 1e-6)).astype(np.float32)
    seen = area > 0
    ignore = ignore.clip(0, limit).astype(np.float32)
    ignore = ignore[np.prod(np.maximum(ignore[:, 2:] - ignore[:, :2], 0), 1) > 0]
    image = photo.taken(rng, np.ascontiguousarray(image))
    return example(
        image, clipped[seen], sample.labels[seen], side, visible[seen], sample.main[seen], ignore,
        outer.clip(0, limit).astype(np.float32)[seen],
    )  # fmt: skip


def batches(examples: Examples, size: int, first: int, workers: int) -> Iterator[tuple[torch.Tensor, list[Example]]]:
    """Batches from number `first` on, in order; the pictures stacked as uint8 [size,side,side,3]."""
    order = range(first * size, len(examples) - len(examples) % size)
    loader = DataLoader(
        examples, batch_size=size, sampler=order, num_workers=workers, collate_fn=_stack,
        worker_init_fn=_one_thread, prefetch_factor=6 if workers else None,
    )  # fmt: skip
    yield from loader


def _stack(items: list[Example]) -> tuple[torch.Tensor, list[Example]]:
    return torch.from_numpy(np.stack([e.image for e in items])), items


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(1)
