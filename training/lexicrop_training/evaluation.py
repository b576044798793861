"""How good a detector is on labelled photos: IoU with `inner`, misses, labels; intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from lexicrop_training.detector import Detector
from lexicrop_training.geometry import choose, iou_numpy, letterbox
from lexicrop_training.samples import Sample

MISS = 0.5
# uint8 [B,side,side,3] -> boxes [B,n,4], probs [B,n,3], salience [B,n]
Predictor = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Row:
    """One photo: the chosen box in its pixels, IoU with the main work and with the best-matching one."""

    file: str
    box: tuple[float, float, float, float]
    score: float
    label: int
    iou_main: float
    iou_best: float
    label_right: bool
    several: bool  # works in view
    choice_right: bool  # the work that was found is the main one


@dataclass(frozen=True)
class Summary:
    """choice_right: share of the photos with several works in which the main one was taken; None without such."""

    photos: int
    iou_main: float
    misses_main: int
    iou_best: float
    misses_best: int
    labels_right: float
    choice_right: float | None


def torch_predictor(model: Detector, bf16: bool = False) -> Predictor:
    device = next(model.parameters()).device

    @torch.no_grad()
    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        model.eval()
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = model(torch.from_numpy(images).to(device))
        boxes, probs, salience = (o.float().cpu().numpy() for o in outputs)
        return boxes, probs, salience

    return predict


def evaluate(predict: Predictor, samples: list[Sample], side: int, batch: int = 8) -> list[Row]:
    """One row a photo, in order. Photos without works are left out: there is no box to compare with."""
    rows = []
    samples = [s for s in samples if len(s.boxes)]
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        fitted = [letterbox(s.pixels(), side) for s in part]
        boxes, probs, salience = predict(np.stack([f[0] for f in fitted]))
        for i, (sample, (_, box_map)) in enumerate(zip(part, fitted, strict=True)):
            box, score, label, _ = choose(boxes[i], probs[i], salience[i])
            box = box_map.back(box[None])[0]
            overlap = iou_numpy(box[None], sample.boxes)[0]
            # Where nobody said which work was meant, any is right.
            main = int(np.flatnonzero(sample.main)[0]) if sample.main.any() else int(overlap.argmax())
            best = int(overlap.argmax())
            allowed = iou_numpy(box[None], sample.ignore)[0].max() if len(sample.ignore) else 0.0
            rows.append(
                Row(
                    sample.path.name, tuple(float(v) for v in box), score, label, float(overlap[main]),
                    float(max(overlap[best], allowed)), bool(label == sample.labels[best]),
                    len(sample.boxes) > 1, best == main,
                )
            )  # fmt: skip
    return rows


def summary(rows: list[Row]) -> Summary:
    main, best = np.array([r.iou_main for r in rows]), np.array([r.iou_best for r in rows])
    choices = [r.choice_right for r in rows if r.several]
    return Summary(
        len(rows), float(main.mean()), int((main < MISS).sum()), float(best.mean()), int((best < MISS).sum()),
        float(np.mean([r.label_right for r in rows])), float(np.mean(choices)) if choices else None,
    )  # fmt: skip


def bootstrap(values: np.ndarray, seed: int = 0, rounds: int = 10_000) -> tuple[float, float]:
    """95 % percentile interval of the mean (Efron 1979), resampling the photos."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (rounds, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def report(rows: list[Row]) -> dict:
    """Summary with intervals, ready for JSON."""
    main, best = np.array([r.iou_main for r in rows]), np.array([r.iou_best for r in rows])
    return asdict(summary(rows)) | {
        "iou_main_95": bootstrap(main),
        "iou_best_95": bootstrap(best),
        "miss_rate_main_95": bootstrap((main < MISS).astype(float)),
        "miss_rate_best_95": bootstrap((best < MISS).astype(float)),
    }
