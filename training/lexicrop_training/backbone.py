"""Backbones: MobileNetV3-Large x0.75 (default) and EfficientNet-Lite, each giving stride 16 and stride 32.

Both take raw RGB 0..255 as float NCHW. Batch normalisation is folded into the convolutions, so there is none
at training time either: batches are small here, and a folded network exports as it trains.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lexicrop_training.samples import DataError

# in, kernel, expanded, out, squeeze-excite channels, stride, hard-swish
MOBILENET = (
    (16, 3, 16, 16, 0, 1, False), (16, 3, 64, 24, 0, 2, False), (24, 3, 72, 24, 0, 1, False),
    (24, 5, 72, 32, 24, 2, False), (32, 5, 96, 32, 24, 1, False), (32, 5, 96, 32, 24, 1, False),
    (32, 3, 192, 64, 0, 2, True), (64, 3, 160, 64, 0, 1, True), (64, 3, 144, 64, 0, 1, True),
    (64, 3, 144, 64, 0, 1, True), (64, 3, 384, 88, 96, 1, True), (88, 3, 528, 88, 136, 1, True),
    (88, 5, 528, 120, 136, 2, True), (120, 5, 720, 120, 184, 1, True), (120, 5, 720, 120, 184, 1, True),
)  # fmt: skip


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: at stride 2 the odd pixel goes to the right and bottom."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(cin, cout, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups)
        before = (kernel - 2) // 2
        self.border = (before, kernel - 2 - before) * 2 if stride == 2 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = x if self.border is None else F.pad(x, self.border)
        if self.groups == 1 or not torch.is_autocast_enabled(x.device.type):
            return super().forward(padded)
        # The bf16 gradient of depthwise kernels is up to ten times slower on CPU than the f32 one.
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(padded.float()).to(x.dtype)


class Block(nn.Module):
    """Inverted residual: expand, depthwise, squeeze-excite, project."""

    def __init__(self, cin: int, kernel: int, mid: int, cout: int, squeeze: int, stride: int, act: str) -> None:
        super().__init__()
        self.expand = SameConv(cin, mid, 1) if mid != cin else None
        self.depthwise = SameConv(mid, mid, kernel, stride, groups=mid)
        self.squeeze = nn.Conv2d(mid, squeeze, 1) if squeeze else None
        self.excite = nn.Conv2d(squeeze, mid, 1) if squeeze else None
        self.project = SameConv(mid, cout, 1)
        self.residual = stride == 1 and cin == cout
        self.act = {"relu": nn.ReLU(), "relu6": nn.ReLU6(), "hardswish": nn.Hardswish()}[act]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.expand is None else self.act(self.expand(x))
        y = self.act(self.depthwise(y))
        if self.squeeze is not None and self.excite is not None:
            y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        y = self.project(y)
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """float [B,3,S,S] in 0..255 -> ([B,88,S/16,S/16], [B,120,S/32,S/32])."""

    channels = (88, 120)
    frozen_blocks = 4

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 16, 3, 2)
        self.blocks = nn.ModuleList(
            Block(cin, k, mid, cout, se, stride, "hardswish" if hs else "relu6")
            for cin, k, mid, cout, se, stride, hs in MOBILENET
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.hardswish(self.stem(x))
        level4 = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == 11:
                level4 = x
        return level4, x

    def load(self, path: Path) -> None:
        """Loads the converted COCO weights (names of torchvision's MobileNetV3, batch norm folded)."""
        if not path.exists():
            raise DataError(f"{path}: no such file (backbone weights)")
        arrays = dict(np.load(path))
        state = {"stem.weight": arrays["features.0.0.weight"], "stem.bias": arrays["features.0.0.bias"]}
        for i, block in enumerate(self.blocks):
            parts = ["expand"] if block.expand is not None else []
            parts += ["depthwise", *(["se"] if block.squeeze is not None else []), "project"]
            for j, part in enumerate(parts):
                names = (("squeeze", f"{j}.fc1"), ("excite", f"{j}.fc2")) if part == "se" else ((part, f"{j}.0"),)
                for own, theirs in names:
                    for kind in ("weight", "bias"):
                        state[f"blocks.{i}.{own}.{kind}"] = arrays[f"features.{i + 1}.block.{theirs}.{kind}"]
        self.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
