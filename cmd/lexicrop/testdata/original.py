"""Exports torchvision's Faster R-CNN as the original service did, with random weights:
original.py OUT.onnx SCORE_THRESHOLD"""

import os
import sys
from pathlib import Path

import torch
from lexicrop_training import zoo

out = Path(sys.argv[1])
torch.manual_seed(1)
model = zoo.build("fasterrcnn_mobilenet_v3_large_320_fpn", None)
model.roi_heads.score_thresh = float(sys.argv[2])
part = out.with_suffix(f".{os.getpid()}.part")
zoo.export_original(model, part)
part.rename(out)
