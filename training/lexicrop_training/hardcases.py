"""Which unlabelled photos would teach the most: where two opinions differ, or where the choice was close."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lexicrop_training import plots
from lexicrop_training.evaluation import Predictor
from lexicrop_training.geometry import choose, iou_numpy, letterbox, nms
from lexicrop_training.samples import DataError, read_image

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class Case:
    """score: 0 nothing to learn .. 2; disagreement: 1 - lowest IoU with another opinion; margin: how far the
    second best separate work lies behind the chosen one, 0..1 of its score."""

    path: Path
    score: float
    disagreement: float
    margin: float
    box: np.ndarray  # [4] in the photo's pixels
    others: list[np.ndarray]


def rank(folder: Path, predict: Predictor, side: int, second: Predictor | None = None) -> list[Case]:
    """Cases of all pictures in `folder`, most instructive first. Broken pictures stop the run with their name."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not paths:
        raise DataError(f"{folder}: holds no pictures")
    return sorted((_case(p, predict, side, second) for p in paths), key=lambda c: -c.score)


def write(out: Path, cases: list[Case], shown: int = 48) -> None:
    """hard-cases.csv with all, hard-cases.png with the first: green the choice, orange other opinions."""
    plots.write_csv(
        out / "hard-cases.csv",
        ["file", "score", "disagreement", "margin", "x1", "y1", "x2", "y2"],
        [[c.path, round(c.score, 4), round(c.disagreement, 4), round(c.margin, 4), *c.box.round(1)] for c in cases],
    )
    items = [
        (read_image(c.path), [(c.box, plots.GREEN), *[(o, plots.ORANGE) for o in c.others]],
         f"{c.path.name} {c.score:.2f}")
        for c in cases[:shown]
    ]  # fmt: skip
    plots.sheet(out / "hard-cases.png", items)


def _case(path: Path, predict: Predictor, side: int, second: Predictor | None) -> Case:
    image = read_image(path)
    box, margin = _opinion(image, predict, side)
    others = []
    mirrored, _ = _opinion(np.ascontiguousarray(image[:, ::-1]), predict, side)
    others.append(np.array([image.shape[1] - mirrored[2], mirrored[1], image.shape[1] - mirrored[0], mirrored[3]]))
    edge = round(0.06 * max(image.shape[:2]))  # the same from one step further back
    wider, _ = _opinion(cv2.copyMakeBorder(image, *(edge,) * 4, cv2.BORDER_REPLICATE), predict, side)
    others.append(wider - edge)
    if second is not None:
        others.append(_opinion(image, second, side)[0])
    disagreement = 1 - float(iou_numpy(box[None], np.stack(others)).min())
    return Case(path, disagreement + (1 - margin), disagreement, margin, box, others)


def _opinion(image: np.ndarray, predict: Predictor, side: int) -> tuple[np.ndarray, float]:
    fitted, box_map = letterbox(image, side)
    boxes, probs, salience = (o[0] for o in predict(fitted[None]))
    box, best, _, scores = choose(boxes, probs, salience)
    kept = nms(boxes, scores)
    second = float(scores[kept[1]]) if len(kept) > 1 else 0.0
    return box_map.back(box[None])[0], 1 - second / max(best, 1e-9)
