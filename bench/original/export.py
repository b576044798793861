"""Writes the network of the original service with random weights: they take as long as trained ones but for the
number of boxes that come out.

torchvision fasterrcnn_mobilenet_v3_large_320_fpn, 3 classes, at most one detection, opset 11, one picture
[3,480,320] of 0..1. Run it in the environment of training/ with that folder on the path.
"""

import sys
from pathlib import Path

import torch
from lexicrop_training import zoo

torch.manual_seed(1)
model = zoo.build("fasterrcnn_mobilenet_v3_large_320_fpn", None)
# build() asks for squares; torchvision's own sizes for this network keep a picture of 320x480 as it is.
model.transform.min_size, model.transform.max_size = (320,), 640
model.roi_heads.detections_per_img = 1
zoo.export_original(model, Path(sys.argv[1]), width=320, height=480)
