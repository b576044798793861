"""Runs the ONNX file beside this one by OpenVINO on one core; any ONNX file
whose input and output names stand in the model configuration."""

import json
from pathlib import Path
from typing import Any

import openvino
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self.inputs: list[str] = [i["name"] for i in config["input"]]
        self.outputs: list[str] = [o["name"] for o in config["output"]]
        # One core an instance. Pinning would put every instance's core on the
        # same one, because each counts cores from the first.
        model = openvino.Core().compile_model(
            Path(__file__).parent / "model.onnx",
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": 1,
                "ENABLE_CPU_PINNING": False,
            },
        )
        self.request = model.create_infer_request()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        """One request's failure is its own, not its neighbours'."""
        try:
            tensors = {
                name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
                for name in self.inputs
            }
            results = self.request.infer(tensors, share_inputs=True, share_outputs=True)
            return pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, results[name]) for name in self.outputs]
            )
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
