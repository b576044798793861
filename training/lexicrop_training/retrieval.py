"""How well an embedder finds works again: recall, micro-AP, how far right and wrong matches lie apart."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
from sklearn.metrics import roc_auc_score

# uint8 [B,S,S,3] RGB -> float32 [B,D]
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Found:
    """A photo of the catalogued `work`: rank of the work from 1, its similarity, that of the best other work."""

    rank: int
    right: float
    wrong: float
    work: int


def embed_all(embed: Embed, images: np.ndarray, batch: int = 16) -> np.ndarray:
    """Vectors [n,D], divided by their length."""
    vectors = np.concatenate([embed(images[i : i + batch]) for i in range(0, len(images), batch)])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def once(embed: Embed) -> Embed:
    """The same, but a picture that was embedded before is remembered: trials share most of their catalogues."""
    known: dict[bytes, np.ndarray] = {}

    def remembered(images: np.ndarray) -> np.ndarray:
        keys = [hashlib.blake2b(image.tobytes()).digest() for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in known}
        if new:
            known.update(zip(new, embed(images[list(new.values())]), strict=True))
        return np.stack([known[key] for key in keys])

    return remembered


def search(catalogue: np.ndarray, photos: np.ndarray, work: np.ndarray) -> tuple[list[Found], np.ndarray]:
    """Results of the photos of catalogued works, and the best similarity of each photo of a work outside."""
    similarity = photos @ catalogue.T
    found = []
    for row, right in zip(similarity[work >= 0], work[work >= 0], strict=True):
        others = np.delete(row, right)
        found.append(Found(1 + int((others >= row[right]).sum()), float(row[right]), float(others.max()), int(right)))
    return found, similarity[work < 0].max(1)


def report(found: list[Found], outside: np.ndarray) -> dict:
    """recall@1, recall@5, micro-AP, areas under the curve and the threshold, ready for JSON.

    Names that end in _95 are 95 % intervals, bootstrapped over works: photos of one work are not independent.
    """
    rank = np.array([f.rank for f in found])
    right, wrong = np.array([f.right for f in found]), np.array([f.wrong for f in found])
    out = {
        "photos": len(found),
        "recall@1": float((rank == 1).mean()),
        "recall@5": float((rank <= 5).mean()),
        "auc_wrong": area(right, wrong),
        "right_p05": float(np.percentile(right, 5)),
        "right_median": float(np.median(right)),
        "wrong_p95": float(np.percentile(wrong, 95)),
        "wrong_p99": float(np.percentile(wrong, 99)),
    }
    out["recall@1_95"], out["auc_wrong_95"] = _intervals(found)
    if len(outside):
        threshold = float(np.percentile(outside, 99))
        out |= {
            "outside": len(outside),
            "micro_ap": micro_ap(found, outside),
            "auc_outside": area(right, outside),
            "threshold": threshold,
            "recall_above_threshold": float(((rank == 1) & (right > threshold)).mean()),
        }
    return out


def micro_ap(found: list[Found], outside: np.ndarray) -> float:
    """Average precision over the best match of every photo, surest first (as in DISC21, Douze et al. 2021).

    A photo of a work outside can only lower the precision; all photos of catalogued works count as to be found.
    """
    sure = np.array([max(f.right, f.wrong) for f in found] + list(outside))
    right = np.array([f.rank == 1 for f in found] + [False] * len(outside))
    right = right[np.argsort(-sure, kind="stable")]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precision[right].sum() / max(1, len(found)))


def area(high: np.ndarray, low: np.ndarray) -> float:
    """Area under the ROC curve: how often a value of `high` is above one of `low`."""
    return float(roc_auc_score(np.r_[np.ones(len(high)), np.zeros(len(low))], np.r_[high, low]))


def _intervals(found: list[Found], rounds: int = 500) -> tuple[list[float], list[float]]:
    """Of recall@1 and of the area of right against wrong, resampling works with all their photos."""
    works, place = np.unique([f.work for f in found], return_inverse=True)
    photos = [np.flatnonzero(place == i) for i in range(len(works))]
    first = np.array([f.rank == 1 for f in found])
    right, wrong = np.array([f.right for f in found]), np.array([f.wrong for f in found])
    rng, recalls, areas = np.random.default_rng(0), [], []
    for _ in range(rounds):
        drawn = np.concatenate([photos[i] for i in rng.integers(0, len(works), len(works))])
        recalls.append(first[drawn].mean())
        areas.append(area(right[drawn], wrong[drawn]))
    return tuple([float(v) for v in np.percentile(values, (2.5, 97.5))] for values in (recalls, areas))


def onnx_embed(path: Path, threads: int = 1) -> Embed:
    """Any ONNX file with one picture input and one vector output, in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def openvino_embed(path: Path, precision: str = "bf16", threads: int = 1) -> Embed:
    """The same in OpenVINO; precision is the one it may calculate in: f32 or bf16."""
    settings = {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
    }  # fmt: skip
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request, output = compiled.create_infer_request(), compiled.output(0)
    return lambda images: np.array(request.infer([images])[output], np.float32)


def milliseconds(embed: Embed, image: np.ndarray, rounds: int = 50) -> dict[str, float]:
    """Medians of one picture [S,S,3] at a time, by the clock and of processor time."""
    clock, processor = [], []
    for _ in range(rounds):
        began, spent = time.perf_counter(), time.process_time()
        embed(image[None])
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - spent)
    return {"ms": 1000 * float(np.median(clock[5:])), "processor_ms": 1000 * float(np.median(processor[5:]))}
