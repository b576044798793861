"""Prints the seconds that one inference takes, as OpenVINO alone computes it on one core: MODEL SECONDS."""

import sys
import time

import numpy as np
import openvino

# The settings and the calls of modelrepo/models/detector/1/model.py.
settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
request = openvino.Core().compile_model(sys.argv[1], "CPU", settings).create_infer_request()
picture = np.random.default_rng(1).integers(0, 256, (1, 320, 320, 3), np.uint8)


def infer() -> None:
    request.set_input_tensor(openvino.Tensor(picture, shared_memory=True))
    request.start_async()
    request.wait()


for _ in range(5):
    infer()
start, n = time.perf_counter(), 0
while (passed := time.perf_counter() - start) < float(sys.argv[2]):
    infer()
    n += 1
print(passed / n)
