"""The service that lexicrop replaces, rebuilt from its description, to be measured beside it.

FastAPI and uvicorn; POST /detect takes a multipart picture, Pillow decodes and resizes it, ONNX Runtime runs a
torchvision Faster R-CNN (opset 11, one picture [3,480,320] of 0..1), and the best box is answered in 0..1.

Settings by environment, so that its best ones can be looked for:
  MODEL    the ONNX file
  THREADS  intra-op threads of ONNX Runtime (0: its default, one a core)
  HANDLER  "sync" answers in FastAPI's pool of threads, "async" on the event loop
"""

import io
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, UploadFile
from PIL import Image, ImageOps, UnidentifiedImageError

WIDTH, HEIGHT = 320, 480
NOTHING_FOUND = [0.25, 0.25, 0.75, 0.75]

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


def detect(data: bytes) -> dict[str, list[float]]:
    try:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise HTTPException(400, "not a picture") from error
    # A JPEG of exactly this size, as the app sends it, is not resampled.
    if picture.size != (WIDTH, HEIGHT):
        picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    tensor = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    boxes, _, scores = session.run(["boxes", "labels", "scores"], {"images": np.ascontiguousarray(tensor)})
    if len(scores) == 0:
        return {"bbox": NOTHING_FOUND}
    x1, y1, x2, y2 = (float(v) for v in boxes[scores.argmax()])
    return {"bbox": [x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT]}


if os.environ.get("HANDLER", "sync") == "sync":

    @app.post("/detect")
    def detect_in_pool(image: UploadFile) -> dict[str, list[float]]:
        return detect(image.file.read())

else:

    @app.post("/detect")
    async def detect_on_loop(image: UploadFile) -> dict[str, list[float]]:
        return detect(await image.read())


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}
