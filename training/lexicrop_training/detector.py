"""Faster R-CNN without any shape that depends on data: what is trained is what is exported.

A region proposal network scores anchors on two levels; a fixed number of them, without NMS, goes through one
RoIAlign on stride 16 and a box head that runs twice, the second time on its own refined boxes. Frame of all
boxes: pixels of the square input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from lexicrop_training.backbone import MobileNet
from lexicrop_training.geometry import decode, log_prominence, picture_size
from lexicrop_training.samples import DataError

CANDIDATES = 32
PEAKS = 12  # of the candidates, taken among local maxima of the score map: these are the other works in view
RATIOS = (0.5, 1.0, 2.0)  # height over width
ROI = 7
# How many logits of salience an e-fold loss of prominence costs. With more, a box that takes in two works often beats
# both, as it is more prominent than either; with less, neighbours are taken more often (docs/models/detector.md).
CONTRAST = 3.0


@dataclass(frozen=True)
class Shape:
    """Sizes that must agree between training and export."""

    side: int = 320
    channels: int = 128
    hidden: int = 512
    # Anchor sides at an input of 320; they scale with the input.
    small: tuple[float, ...] = (44, 68, 100)
    large: tuple[float, ...] = (145, 205, 285)


class Detector(nn.Module):
    """uint8 or float [B,side,side,3] RGB 0..255 -> boxes [B,32,4], probs [B,32,3], salience [B,32]."""

    anchors: torch.Tensor

    def __init__(self, shape: Shape | None = None, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        self.backbone = backbone or MobileNet()
        c4, c5 = self.backbone.channels
        width = shape.channels
        self.lateral4, self.lateral5 = nn.Conv2d(c4, width, 1), nn.Conv2d(c5, width, 1)
        self.smooth4, self.smooth5 = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        per_cell = len(shape.small) * len(RATIOS)
        self.rpn = nn.Conv2d(width, width, 3, 1, 1)
        self.rpn_score = nn.Conv2d(width, per_cell, 1)
        self.rpn_delta = nn.Conv2d(width, per_cell * 4, 1)
        self.fc1, self.fc2 = nn.Linear(width * ROI * ROI, shape.hidden), nn.Linear(shape.hidden, shape.hidden)
        self.place = nn.Linear(4, shape.hidden)
        self.cls, self.delta = nn.Linear(shape.hidden, 3), nn.Linear(shape.hidden, 4)
        self.frame, self.salience = nn.Linear(shape.hidden, 4), nn.Linear(shape.hidden, 1)
        self.register_buffer("anchors", make_anchors(shape), persistent=False)
        for layer in (self.rpn_score, self.rpn_delta, self.cls, self.delta, self.frame, self.salience):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.rpn_score.bias, -4.0)  # few anchors are works: start there (focal loss)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        level4, scores, deltas, peaks = self.features(image)
        boxes = self.propose(scores, deltas, peaks)
        boxes = decode(boxes, self.each(self.delta, self.head(level4, boxes)), self.shape.side)
        hidden = self.head(level4, boxes)
        refined = decode(boxes, self.each(self.delta, hidden), self.shape.side)
        probs = self.each(self.cls, hidden).float().softmax(-1)
        frames = decode(refined, self.each(self.frame, hidden), self.shape.side)
        return refined, probs, self.meant(picture_size(image), hidden, frames, probs).sigmoid()

    def meant(
        self, size: torch.Tensor, hidden: torch.Tensor, frames: torch.Tensor, probs: torch.Tensor
    ) -> torch.Tensor:
        """Logits [B,n] that a box is good and its work the one that was meant.

        The head sees one box at a time, but which work is meant depends on the others: so what it learns is added to
        how much less prominent the box is, with its frame [B,n,4], than the most prominent work of the picture.
        """
        rank = log_prominence(frames, size, self.shape.side)
        work = (2 * (1 - probs[..., 0])).clamp(1e-6, 1)  # what is rather a work than not counts in full
        behind = (rank - (rank + work.log()).amax(1, keepdim=True)).clamp(-1, 0)
        return self.each(self.salience, hidden)[..., 0].float() + CONTRAST * behind

    @staticmethod
    def each(layer: nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
        """A linear layer on [B,n,hidden], as one matrix product that exports under the layer's own name."""
        return layer(hidden.flatten(0, 1)).view(*hidden.shape[:2], -1)

    def features(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Stride 16 features [B,C,h,w]; anchor logits [B,A]; anchor deltas [B,A,4]; local maxima bool [B,A]."""
        x = image.permute(0, 3, 1, 2).float()
        c4, c5 = self.backbone(x)
        top = self.lateral5(c5)
        level4 = F.relu(self.smooth4(F.relu(self.lateral4(c4) + F.interpolate(top, scale_factor=2.0))))
        level5 = F.relu(self.smooth5(F.relu(top)))
        scores, deltas, peaks = [], [], []
        for level in (level4, level5):
            hidden = F.relu(self.rpn(level))
            score = self.rpn_score(hidden).float()
            best = score.amax(1, keepdim=True)
            peaks.append((score >= F.max_pool2d(best, 3, 1, 1)).permute(0, 2, 3, 1).flatten(1))
            scores.append(score.permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.rpn_delta(hidden).permute(0, 2, 3, 1).reshape(image.shape[0], -1, 4))
        return level4, torch.cat(scores, 1), torch.cat(deltas, 1), torch.cat(peaks, 1)

    def propose(self, scores: torch.Tensor, deltas: torch.Tensor, peaks: torch.Tensor) -> torch.Tensor:
        """The best anchors, plain and among local maxima, refined: [B,32,4]."""
        value, first = scores.topk(CANDIDATES - PEAKS, 1)
        # Peaks already among the first are pushed down, not removed: the number of candidates never changes.
        rest = torch.where(peaks & (scores < value[:, -1:]), scores, scores - 100.0)
        rest = torch.where(scores >= value[:, -1:], scores - 200.0, rest)
        index = torch.cat([first, rest.topk(PEAKS, 1).indices], 1)
        chosen = deltas.gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
        return decode(self.anchors[index], chosen, self.shape.side)

    def head(self, level4: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Hidden vectors [B,n,hidden] of boxes [B,n,4]."""
        batch, n = boxes.shape[:2]
        owner = torch.arange(batch, device=boxes.device, dtype=boxes.dtype).view(-1, 1, 1).expand(-1, n, 1)
        rois = torch.cat([owner, boxes], 2).reshape(-1, 5)
        pooled = roi_align(level4.float(), rois, (ROI, ROI), 1 / 16, sampling_ratio=1, aligned=True)
        flat = boxes.reshape(-1, 4)
        place = torch.cat([(flat[:, :2] + flat[:, 2:]) / 2, flat[:, 2:] - flat[:, :2]], 1) / self.shape.side - 0.5
        hidden = F.relu(self.fc1(pooled.flatten(1)) + self.place(place))
        return F.relu(self.fc2(hidden)).view(batch, n, -1)

    @torch.no_grad()
    def thin(self, images: torch.Tensor, rank: int) -> float:
        """Makes fc1 two layers, hidden -> rank -> hidden, and returns the share of its variance that is kept.

        Its weights are most of the box head's time. Kept are the directions in which its outputs for the proposals of
        `images` vary most: the best choice for these, where the singular vectors of the weights alone, as Girshick
        takes them (Fast R-CNN, 2015, section 3.1), know nothing of what comes in.
        """
        rows: list[torch.Tensor] = []
        hook = self.fc1.register_forward_hook(lambda layer, _, out: rows.append((out - layer.bias).float()))
        for part in images.split(8):
            self(part)
        hook.remove()
        outputs = torch.cat(rows)
        sizes, axes = torch.linalg.eigh(outputs.T @ outputs)  # ascending
        axes = axes[:, -rank:]
        down, up = nn.Linear(self.fc1.in_features, rank), nn.Linear(rank, self.fc1.out_features)
        down.weight.copy_(axes.T @ self.fc1.weight)
        up.weight.copy_(axes)
        nn.init.zeros_(down.bias)
        up.bias.copy_(self.fc1.bias)
        self.fc1 = nn.Sequential(down, up)
        return float(sizes[-rank:].sum() / sizes.sum())

    @torch.no_grad()
    def calibrate(self, image: torch.Tensor) -> None:
        """Scales new lateral layers to the backbone's channels, which differ wildly (batch norm is folded)."""
        c4, c5 = self.backbone(image.permute(0, 3, 1, 2).float())
        for layer, x in ((self.lateral4, c4), (self.lateral5, c5)):
            mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3)).clamp(min=1e-3)
            layer.weight /= std.view(1, -1, 1, 1)
            layer.bias -= (layer.weight[:, :, 0, 0] * mean).sum(1)


def make_anchors(shape: Shape) -> torch.Tensor:
    """float32 [A,4] in the order of the score maps: level, row, column, side, ratio."""
    levels = []
    for stride, sides in ((16, shape.small), (32, shape.large)):
        cells = shape.side // stride
        centre = (torch.arange(cells, dtype=torch.float32) + 0.5) * stride
        sizes = torch.tensor([(s / r**0.5, s * r**0.5) for s in sides for r in RATIOS]) * (shape.side / 320)
        cy, cx = torch.meshgrid(centre, centre, indexing="ij")
        middle = torch.stack([cx, cy], -1).view(-1, 1, 2)
        levels.append(torch.cat([middle - sizes / 2, middle + sizes / 2], -1).view(-1, 4))
    return torch.cat(levels)


# The names inside of detector_start.onnx, an earlier export of this same network.
_EARLIER = {
    "bk.stem.c": "backbone.stem", "l4": "lateral4", "l5": "lateral5", "o4": "smooth4", "o5": "smooth5", "rc": "rpn",
    "ro": "rpn_score", "rr": "rpn_delta", "f1": "fc1", "f2": "fc2", "g": "place", "c": "cls", "d": "delta",
    "sal": "salience",
}  # fmt: skip
_EARLIER_BLOCK = {
    "ex.c": "expand", "dw.c": "depthwise", "f1": "squeeze", "f2": "excite", "pw.c": "project",
}  # fmt: skip


def load_onnx(model: Detector, path: Path) -> None:
    """Takes all weights from an ONNX export: of this package, or the earlier start model."""
    graph = onnx.load(str(path)).graph
    arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    # Weights stored as float16 are used under the name that their cast gives them.
    arrays |= {n.output[0]: arrays[n.input[0]] for n in graph.node if n.op_type == "Cast" and n.input[0] in arrays}
    if "fc1.0.weight" in arrays:  # Detector.thin
        down, up = arrays["fc1.0.weight"].astype(np.float32), arrays["fc1.1.weight"].astype(np.float32)
        arrays["fc1.weight"], arrays["fc1.bias"] = up @ down, up @ arrays["fc1.0.bias"] + arrays["fc1.1.bias"]
    state = {}
    for name, array in arrays.items():
        if name.startswith("bk.b."):
            number, rest = name[5:].split(".", 1)
            part, kind = rest.rsplit(".", 1)
            name = f"backbone.blocks.{number}.{_EARLIER_BLOCK[part]}.{kind}"
        elif name.rsplit(".", 1)[0] in _EARLIER:
            part, kind = name.rsplit(".", 1)
            name = f"{_EARLIER[part]}.{kind}"
        if name in model.state_dict():
            state[name] = torch.from_numpy(np.array(array, np.float32))
    own = model.state_dict()
    other = [name for name, array in state.items() if array.shape != own[name].shape]
    if other:
        raise DataError(f"{path}: an export of another network, of another --backbone perhaps: {other[0]} differs")
    missing, _ = model.load_state_dict(state, strict=False)
    if set(missing) - {"frame.weight", "frame.bias"}:  # exports from before there was a frame lack it: it starts anew
        raise DataError(f"{path}: not an export of this network, it lacks {', '.join(missing[:3])}")
