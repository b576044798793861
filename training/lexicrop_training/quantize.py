"""Static int8 (QDQ, per channel) of an exported detector, with the layers that cost quality left in float."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from lexicrop_training.evaluation import Predictor, evaluate, summary
from lexicrop_training.export import onnx_predictor
from lexicrop_training.samples import Sample

METHODS = {
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
    "minmax": CalibrationMethod.MinMax,
}
# The outputs' own layers: their error goes straight into boxes and scores, their cost is nothing.
OUTPUT_LAYERS = ("rpn_score", "rpn_delta", "/cls", "/delta", "/frame", "/salience", "/place")


class _Reader(CalibrationDataReader):
    def __init__(self, images: list[np.ndarray]) -> None:
        self.left: Iterator[dict[str, np.ndarray]] = iter([{"image": i[None]} for i in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def quantize(source: Path, target: Path, images: list[np.ndarray], method: str, keep: list[str]) -> None:
    """Writes `target`: convolutions and matrix products in int8, calibrated on letterboxed uint8 pictures.

    keep: names of nodes that stay in float besides the output layers.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
        onnx.save(store_full(onnx.load(str(source))), str(plain))
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        left = [n for n in quantizable(prepared) if any(part in n for part in OUTPUT_LAYERS)]
        quantize_static(
            str(prepared), str(target), _Reader(images), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=METHODS[method],
            op_types_to_quantize=["Conv", "Gemm"], nodes_to_exclude=[*left, *keep],
            extra_options={"CalibPercentile": 99.99, "CalibMaxIntermediateOutputs": 8},
        )  # fmt: skip


def sensitive(source: Path, images: list[np.ndarray], samples: list[Sample], side: int, method: str,
              most: int) -> tuple[list[str], list[tuple[str, float]]]:  # fmt: skip
    """Finds the groups of layers whose int8 form loses the most IoU, each measured alone; the worst are returned.

    A group is a block of the backbone, a level's convolutions, or a fully connected layer.
    """
    names = quantizable_of(source)
    groups: dict[str, list[str]] = {}
    for name in names:
        if not any(part in name for part in OUTPUT_LAYERS):
            groups.setdefault(_group(name), []).append(name)
    reference = summary(evaluate(onnx_predictor(source), samples, side)).iou_best
    losses = []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "one.onnx"
        for group, members in groups.items():
            quantize(source, target, images, method, [n for n in names if n not in members])
            losses.append((group, reference - summary(evaluate(onnx_predictor(target), samples, side)).iou_best))
    losses.sort(key=lambda pair: -pair[1])
    worst = [g for g, loss in losses[:most] if loss > 0]
    return [n for g in worst for n in groups[g]], losses


def quantizable_of(source: Path) -> list[str]:
    """Names of the convolutions and matrix products of an export, as quantisation will see them."""
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
        onnx.save(store_full(onnx.load(str(source))), str(plain))
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        return quantizable(prepared)


def quantizable(path: Path) -> list[str]:
    return [n.name for n in onnx.load(str(path)).graph.node if n.op_type in ("Conv", "Gemm")]


def store_full(model: onnx.ModelProto) -> onnx.ModelProto:
    """The inverse of export.store_half: weights as float32 again, without the casts."""
    graph = model.graph
    stored = {i.name: i for i in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Cast" and n.input[0] in stored]:
        initializer = stored[node.input[0]]
        array = numpy_helper.to_array(initializer)
        if array.dtype != np.float16:
            continue
        initializer.CopyFrom(numpy_helper.from_array(array.astype(np.float32), node.output[0]))
        graph.node.remove(node)
    return model


def latency(predict: Predictor, side: int, runs: int = 60) -> dict[str, float]:
    """Milliseconds of one picture: median by the clock, and processor time, which a busy machine disturbs less."""
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    for _ in range(5):
        predict(image)
    times = []
    worked = time.process_time()
    for _ in range(runs):
        began = time.perf_counter()
        predict(image)
        times.append(time.perf_counter() - began)
    worked = time.process_time() - worked
    return {"ms": round(float(np.median(times)) * 1000, 2), "cpu_ms": round(worked / runs * 1000, 2)}


def _group(name: str) -> str:
    parts = name.strip("/").split("/")
    return "/".join(parts[:2]) if parts[0] == "backbone" else parts[0]
