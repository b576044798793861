"""The torchvision road: fine-tune torchvision's own Faster R-CNNs and export them both ways.

`export_original` gives what the original service loads: opset 11, one image, boxes/labels/scores, NMS inside.
`export_fixed` rebuilds the same network without shapes that depend on data (top-k instead of NMS, RoIAlign on
every level with a choice by size), so that it batches and serves under the `candidates` contract.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align

from lexicrop_training.batches import Examples, batches
from lexicrop_training.detector import CANDIDATES
from lexicrop_training.export import export
from lexicrop_training.samples import CLASSES, DataError

MODELS = ("fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn_v2")
LOG_LIMIT = float(np.log(1000.0 / 16))  # torchvision's own clamp of log sizes


def build(name: str, weights: Path | None, side: int = 320) -> FasterRCNN:
    """The named model with our classes; weights: a COCO checkpoint of torchvision, None for random ones."""
    if name not in MODELS:
        raise DataError(f"unknown torchvision model {name!r}; known are {', '.join(MODELS)}")
    maker = getattr(detection, name)
    model = maker(
        weights=None,
        weights_backbone=None,
        min_size=side,
        max_size=side,
        trainable_backbone_layers=6 if "mobilenet" in name else 5,
    )
    if weights is not None:
        if not weights.exists():
            raise DataError(f"{weights}: no such file (torchvision weights)")
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    inputs = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = FastRCNNPredictor(inputs, len(CLASSES) + 1)
    return model


def finetune(model: FasterRCNN, examples: Examples, steps: int, batch: int, lr: float, workers: int = 0) -> list[float]:
    """Trains by torchvision's own losses (SGD, momentum 0.9); returns the loss of each step."""
    model.train()
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=lr, momentum=0.9, weight_decay=5e-4
    )
    history = []
    for images, items in batches(examples, batch, 0, workers):
        if len(history) == steps:
            break
        pictures = [i.permute(2, 0, 1).float() / 255 for i in images]
        targets = [{"boxes": torch.from_numpy(e.boxes), "labels": torch.from_numpy(e.labels)} for e in items]
        total = sum(model(pictures, targets).values())
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        history.append(float(total.detach()))
    return history


def export_original(model: FasterRCNN, path: Path, width: int = 320, height: int = 480) -> None:
    """As the original service exported it: opset 11, `images` float [3,h,w] in 0..1 of one picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, ([torch.rand(3, height, width)],), str(path), opset_version=11, dynamo=False,
            input_names=["images"], output_names=["boxes", "labels", "scores"],
            dynamic_axes={"images": {1: "h", 2: "w"}, "boxes": {0: "n"}, "labels": {0: "n"}, "scores": {0: "n"}},
        )  # fmt: skip
    onnx.checker.check_model(onnx.load(str(path)))


def export_fixed(model: FasterRCNN, path: Path, side: int, half: bool = True) -> None:
    export(FixedShape(model, side), path, side, outputs=("boxes", "probs"), half=half)


class FixedShape(nn.Module):
    """uint8 [B,side,side,3] -> boxes [B,32,4] xyxy in input pixels, probs [B,32,3], with torchvision's weights.

    The box of a candidate is refined for its likelier class, as torchvision refines one box a class.
    """

    def __init__(self, model: FasterRCNN, side: int) -> None:
        super().__init__()
        self.model, self.side = model.eval(), side
        with torch.no_grad():
            empty = torch.zeros(1, 3, side, side)
            levels = list(model.backbone(empty).values())
            anchors = model.rpn.anchor_generator(ImageList(empty, [(side, side)]), levels)[0]
        self.register_buffer("anchors", anchors)
        names = model.roi_heads.box_roi_pool.featmap_names
        self.pooled = [i for i, name in enumerate(model.backbone(empty)) if name in names]
        self.strides = [side / levels[i].shape[-1] for i in self.pooled]
        transform = model.transform
        self.register_buffer("mean", torch.tensor(transform.image_mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(transform.image_std).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        levels = list(self.model.backbone(x).values())
        scores, deltas = self.model.rpn.head(levels)
        score = torch.cat([s.permute(0, 2, 3, 1).flatten(1) for s in scores], 1)
        delta = torch.cat(
            [
                d.view(d.shape[0], -1, 4, *d.shape[-2:]).permute(0, 3, 4, 1, 2).reshape(d.shape[0], -1, 4)
                for d in deltas
            ],
            1,
        )
        index = score.topk(CANDIDATES, 1).indices
        chosen = delta.gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
        boxes = _decode(self.anchors[index], chosen, self.model.rpn.box_coder.weights, self.side)
        hidden = self.model.roi_heads.box_head(self._pool(levels, boxes))
        logits, refine = self.model.roi_heads.box_predictor(hidden)
        probs = logits.softmax(-1).view(boxes.shape[0], CANDIDATES, -1)
        by_class = refine.view(boxes.shape[0], CANDIDATES, -1, 4)
        best = probs[..., 1:].argmax(-1) + 1
        own = by_class.gather(2, best.view(*best.shape, 1, 1).expand(-1, -1, 1, 4)).squeeze(2)
        return _decode(boxes, own, self.model.roi_heads.box_coder.weights, self.side), probs

    def _pool(self, levels: list[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
        batch, n = boxes.shape[:2]
        owner = torch.arange(batch, device=boxes.device, dtype=boxes.dtype).view(-1, 1, 1).expand(-1, n, 1)
        rois = torch.cat([owner, boxes], 2).reshape(-1, 5)
        pool = self.model.roi_heads.box_roi_pool
        size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=1e-6).sqrt()
        # The level of a box as in the FPN paper (Lin et al. 2017, eq. 1), clamped to those there are.
        first = float(np.log2(self.strides[0]))
        level = torch.floor(pool.canonical_level + torch.log2(size / pool.canonical_scale) + 1e-6) - first
        level = level.clamp(0, len(self.strides) - 1)
        out = None
        for i, (at, stride) in enumerate(zip(self.pooled, self.strides, strict=True)):
            part = roi_align(levels[at], rois, pool.output_size, 1 / stride, pool.sampling_ratio, aligned=False)
            part = part * (level == i).to(part.dtype).view(-1, 1, 1, 1)
            out = part if out is None else out + part
        return out


def _decode(anchors: torch.Tensor, deltas: torch.Tensor, weights: tuple, side: int) -> torch.Tensor:
    size = anchors[..., 2:] - anchors[..., :2]
    centre = anchors[..., :2] + size / 2 + deltas[..., :2] / torch.tensor(weights[:2]) * size
    size = size * torch.exp((deltas[..., 2:] / torch.tensor(weights[2:])).clamp(max=LOG_LIMIT))
    return torch.cat([centre - size / 2, centre + size / 2], -1).clamp(0, side)
