"""Runs the ONNX file beside this one on one core; any ONNX file whose input and
output names stand in the model configuration.

OpenVINO runs it, and ONNX Runtime a graph that OpenVINO cannot compile. The
parameter `engine` of the configuration asks for one of them, the environment
variable LEXICROP_ENGINE does so for all models: openvino or onnxruntime.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

# From a picture by input to the outputs in the order of their names.
Engine = Callable[[dict[str, Any]], list[Any]]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self.inputs: list[str] = [i["name"] for i in config["input"]]
        self.outputs: list[str] = [o["name"] for o in config["output"]]
        declared = config.get("parameters", {}).get("engine", {}).get("string_value", "")
        wanted = os.environ.get("LEXICROP_ENGINE") or declared
        self.run = load(args["model_name"], Path(__file__).parent / "model.onnx", self.outputs, wanted)

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        """One request's failure is its own, not its neighbours'."""
        try:
            tensors = {
                name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs
            }
            results = self.run(tensors)
            return pb_utils.InferenceResponse(
                [pb_utils.Tensor(*pair) for pair in zip(self.outputs, results, strict=True)]
            )
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))


def load(model: str, path: Path, outputs: list[str], wanted: str) -> Engine:
    if wanted and wanted not in ENGINES:
        raise ValueError(f"engine {wanted!r}: it must be one of {', '.join(ENGINES)}")
    failures = []
    for name in [wanted] if wanted else list(ENGINES):
        try:
            engine = ENGINES[name](path, outputs)
        except Exception as error:
            failures.append(f"{name}: {error}")
            pb_utils.Logger.log_warn(f"{model} cannot be run by {failures[-1]}")
            continue
        pb_utils.Logger.log_info(f"{model} is run by {name}")
        return engine
    raise RuntimeError("; ".join(failures))


def openvino_engine(path: Path, outputs: list[str]) -> Engine:
    import openvino

    # One core an instance. Pinning would put every instance's core on the same
    # one, because each counts cores from the first.
    model = openvino.Core().compile_model(
        path,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": 1,
            "ENABLE_CPU_PINNING": False,
        },
    )
    ports = [model.output(name) for name in outputs]
    request = model.create_infer_request()

    # Not request.infer(tensors): what it does in Python around the same costs 0.1 ms.
    def run(tensors: dict[str, Any]) -> list[Any]:
        for name, tensor in tensors.items():
            request.set_tensor(name, openvino.Tensor(tensor, shared_memory=True))
        request.start_async()
        request.wait()
        # Copies: the next of several requests that came together overwrites the tensors of this one
        # before Triton reads them.
        return [request.get_tensor(port).data.copy() for port in ports]

    return run


def onnxruntime_engine(path: Path, outputs: list[str]) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of much in graphs that run well
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    missing = set(outputs) - {o.name for o in session.get_outputs()}
    if missing:
        raise ValueError(f"the graph has no output {', '.join(sorted(missing))}")
    return lambda tensors: session.run(outputs, tensors)


# The first that can, runs a model.
ENGINES: dict[str, Callable[[Path, list[str]], Engine]] = {
    "openvino": openvino_engine,
    "onnxruntime": onnxruntime_engine,
}
