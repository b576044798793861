"""Does what its input says: byte 0 is the command (0 echo, 1 fail, 2 sleep,
3 die), byte 1 its argument."""

import os
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [answer(request) for request in requests]


def answer(request: Any) -> Any:
    command = pb_utils.get_input_tensor_by_name(request, "command").as_numpy()
    match command[0, 0]:
        case 1:
            error = pb_utils.TritonError("told to fail")
            return pb_utils.InferenceResponse(error=error)
        case 2:
            time.sleep(0.1 * command[0, 1])
        case 3:
            os._exit(1)
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("echo", command),
            pb_utils.Tensor("half", command.astype(np.float32) / 2),
        ]
    )
