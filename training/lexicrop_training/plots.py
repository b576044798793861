"""Pictures and CSV files of a run: learning curves, data curves, contact sheets of photos with boxes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from lexicrop_training.samples import DataError

GREEN, RED, BLUE, ORANGE = (40, 200, 60), (230, 40, 40), (60, 110, 255), (255, 150, 20)
Marked = tuple[np.ndarray, Sequence[tuple[Sequence[float], tuple[int, int, int]]], str]


def read_metrics(run: Path) -> list[dict]:
    path = run / "metrics.jsonl"
    if not path.exists():
        raise DataError(f"{path}: no such file; has the run been trained?")
    rows = [json.loads(line) for line in path.read_text().splitlines() if line]
    if not rows:
        raise DataError(f"{path}: holds no evaluation yet")
    return rows


def learning_curves(run: Path) -> tuple[Path, Path]:
    """curves.png and curves.csv of a run: losses and IoU against steps."""
    rows = read_metrics(run)
    sets = [k for k, v in rows[-1].items() if isinstance(v, dict) and "iou_main" in v]
    header = [
        "step",
        "pictures",
        "loss",
        "validation_loss",
        *[f"{s}_{m}" for s in sets for m in ("iou_main", "iou_best")],
    ]
    table = [
        [r["step"], r["pictures"], r["loss"], r["validation_loss"],
         *[r[s][m] for s in sets for m in ("iou_main", "iou_best")]]
        for r in rows
    ]  # fmt: skip
    write_csv(run / "curves.csv", header, table)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    steps = [r["step"] for r in rows]
    left.plot(steps, [r["loss"] for r in rows], label="training")
    left.plot(steps, [r["validation_loss"] for r in rows], label="validation scenes")
    left.set(xlabel="steps", ylabel="loss")
    left.legend()
    for name in sets:
        right.plot(steps, [100 * r[name]["iou_main"] for r in rows], label=name)
    right.set(xlabel="steps", ylabel="mean IoU of the main work, %")
    right.legend()
    return _save(figure, run / "curves.png"), run / "curves.csv"


def data_curve(path: Path, shares: Sequence[float], quality: Sequence[float], fit: tuple[float, float, float]) -> Path:
    """Quality against share of the data, with the fitted power law continued to four times the data."""
    figure, axis = plt.subplots(figsize=(6, 4))
    xs = np.geomspace(min(shares), 4, 60)
    axis.plot(shares, quality, "o", label="measured")
    axis.plot(xs, fit[0] - fit[1] * xs ** -fit[2], "--", label="power law, extrapolated beyond 1")
    axis.axvline(1, color="grey", lw=0.5)
    axis.set(xlabel="share of the data", ylabel="mean IoU", xscale="log")
    axis.legend()
    return _save(figure, path)


def sheet(path: Path, items: Iterable[Marked], cell: int = 240, columns: int = 6) -> Path:
    """A contact sheet (PNG) of RGB pictures with boxes and a line of text each."""
    cells = []
    for image, boxes, text in items:
        scale = cell / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((cell + 18, cell, 3), 24, np.uint8)
        for box, colour in boxes:
            x0, y0, x1, y1 = (round(float(v) * scale) for v in box)
            cv2.rectangle(small, (x0, y0), (x1, y1), colour, 2)
        tile[: small.shape[0], : small.shape[1]] = small
        cv2.putText(tile, text, (3, cell + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (235, 235, 235), 1, cv2.LINE_AA)
        cells.append(tile)
    if not cells:
        raise DataError(f"{path}: nothing to draw")
    while len(cells) % columns and len(cells) > columns:
        cells.append(np.zeros_like(cells[0]))
    width = min(columns, len(cells))
    rows = [np.hstack(cells[i : i + width]) for i in range(0, len(cells), width)]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(rows)[:, :, ::-1])
    return path


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _save(figure: plt.Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
