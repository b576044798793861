"""From a trained model to the ONNX file that is served, and the checks that both say the same.

The file takes `image` uint8 [batch,side,side,3] RGB, letterboxed, and answers `boxes` [batch,32,4] xyxy in input
pixels, `probs` [batch,32,3], `salience` [batch,32]; nothing in it but the batch dimension is free. Weights are
stored as float16 and cast back when the file is loaded: half the size, and 10 bits of mantissa are more than the
bf16 in which the network runs on most hardware.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from lexicrop_training.evaluation import Predictor

OPSET = 17
OUTPUTS = ("boxes", "probs", "salience")


def export(model: nn.Module, path: Path, side: int, outputs: Sequence[str] = OUTPUTS, half: bool = True) -> None:
    """Writes the model to `path`; with `half`, weights are stored as float16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model.eval().cpu().float()
    example = torch.full((2, side, side, 3), 114, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every Python number
        torch.onnx.export(
            model, (example,), str(path), input_names=["image"], output_names=list(outputs), opset_version=OPSET,
            dynamic_axes={name: {0: "batch"} for name in ("image", *outputs)}, dynamo=False,
        )  # fmt: skip
    graph = onnx.load(str(path))
    merge_pads(graph)
    if half:
        store_half(graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def merge_pads(model: onnx.ModelProto) -> None:
    """Moves constant zero padding before a convolution into the convolution, and drops what computed it."""
    graph = model.graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    makers = {o: n for n in graph.node for o in n.output}
    for node in graph.node:
        if node.op_type != "Conv" or node.input[0] not in makers:
            continue
        pad = makers[node.input[0]]
        if pad.op_type != "Pad":
            continue
        amounts = _constant(pad.input[1], makers, constants)
        if amounts is None or len(amounts) != 8 or amounts[[0, 1, 4, 5]].any():
            continue
        attribute = next(a for a in node.attribute if a.name == "pads")
        del attribute.ints[:]
        attribute.ints.extend(int(v) for v in amounts[[2, 3, 6, 7]])
        node.input[0] = pad.input[0]
    _drop_unused(graph)


def store_half(model: onnx.ModelProto) -> None:
    """Stores float initialisers as float16, each with a Cast to float32 that runtimes fold when loading."""
    graph = model.graph
    casts = []
    for initializer in list(graph.initializer):
        array = numpy_helper.to_array(initializer)
        if array.dtype != np.float32 or array.size < 64:
            continue
        if np.abs(array).max() > np.finfo(np.float16).max:
            raise ValueError(f"{initializer.name}: too large for float16")
        name = initializer.name
        graph.initializer.remove(initializer)
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float16), name + "_fp16"))
        casts.append(helper.make_node("Cast", [name + "_fp16"], [name], name=name + "_cast", to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def onnx_predictor(path: Path, threads: int = 1) -> Predictor:
    """Runs the file in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = dict(zip(names, session.run(names, {"image": images}), strict=True))
        return (
            found["boxes"],
            found["probs"],
            found.get("salience", np.ones(found["boxes"].shape[:2], np.float32)),
        )

    return predict


def openvino_predictor(path: Path, precision: str = "f32", threads: int = 1) -> Predictor:
    """Runs the file in OpenVINO on the CPU; precision is the one it may calculate in: f32 or bf16."""
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
    }  # fmt: skip
    compiled = core.compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = request.infer({"image": images})
        outputs = {n: np.array(found[o]) for o in compiled.outputs for n in o.names}
        boxes = outputs["boxes"].astype(np.float32)
        salience = outputs.get("salience", np.ones(boxes.shape[:2], np.float32))
        return boxes, outputs["probs"].astype(np.float32), salience.astype(np.float32)

    return predict


def _constant(name: str, makers: dict[str, onnx.NodeProto], constants: dict[str, np.ndarray]) -> np.ndarray | None:
    """Value of a tensor that depends on constants only, by running the few nodes that make it."""
    nodes: list[onnx.NodeProto] = []
    initializers: dict[str, np.ndarray] = {}
    pending = [name]
    while pending:
        current = pending.pop()
        if not current or current in initializers:
            continue
        if current in constants:
            initializers[current] = constants[current]
        elif current in makers and makers[current] not in nodes:
            nodes.append(makers[current])
            pending.extend(makers[current].input)
        elif current not in makers:
            return None
    if not nodes:
        return initializers.get(name)
    if any(n.op_type in ("Shape", "Conv") for n in nodes):
        return None
    ordered: list[onnx.NodeProto] = []
    made = set(initializers) | {""}
    while len(ordered) < len(nodes):
        ready = [n for n in nodes if n not in ordered and all(i in made for i in n.input)]
        if not ready:
            return None
        ordered += ready
        made.update(o for n in ready for o in n.output)
    graph = helper.make_graph(
        ordered, "constant", [], [helper.make_tensor_value_info(name, TensorProto.INT64, None)],
        [numpy_helper.from_array(v, k) for k, v in initializers.items()],
    )  # fmt: skip
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])).run(None, {})[0]


def _drop_unused(graph: onnx.GraphProto) -> None:
    while True:
        used = {i for n in graph.node for i in n.input} | {o.name for o in graph.output}
        unused = [n for n in graph.node if not any(o in used for o in n.output)]
        if not unused:
            break
        for node in unused:
            graph.node.remove(node)
    for initializer in [i for i in graph.initializer if i.name not in used]:
        graph.initializer.remove(initializer)
