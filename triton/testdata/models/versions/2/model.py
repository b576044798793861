"""Echoes; which of the versions did so, Triton tells."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [answer(request) for request in requests]


def answer(request: Any) -> Any:
    command = pb_utils.get_input_tensor_by_name(request, "command").as_numpy()
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("echo", command),
            pb_utils.Tensor("half", command.astype(np.float32) / 2),
        ]
    )
