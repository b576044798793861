"""The embedder: EfficientNet-Lite, generalised-mean pooling, a projection, and vectors of length 1.

It takes uint8 NHWC RGB pictures like the file it is exported to, so that what is trained is what is served.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lexicrop_training.backbone import EfficientNetLite, SameConv, _folded
from lexicrop_training.samples import DataError

FEATURES = 1280  # of ImageNet's last layer before its classes
SMALLEST = 1e-6  # keeps the roots' slopes finite where a feature is nowhere active


class Embedder(nn.Module):
    """uint8 [B,S,S,3] RGB -> float32 [B,dimensions], each of length 1."""

    def __init__(self, variant: str = "lite0", dimensions: int = 512) -> None:
        super().__init__()
        self.variant, self.dimensions = variant, dimensions
        self.backbone = EfficientNetLite(variant)
        self.head = SameConv(self.backbone.channels[1], FEATURES, 1)
        self.project = nn.Linear(FEATURES, dimensions)
        for part in self.backbone.modules():  # memory traffic is half of the training time
            if isinstance(part, nn.ReLU6):
                part.inplace = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.project(self.pooled(images)).float(), eps=SMALLEST)

    def pooled(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [B,FEATURES]: the generalised mean (p = 3, Radenovic et al. 2018) of each feature."""
        x = images.permute(0, 3, 1, 2).float()
        _, x = self.backbone(x)
        x = F.relu6(self.head(x)).float()
        return (x * x * x).mean((2, 3)).clamp(min=SMALLEST).pow(1 / 3)

    def load_imagenet(self, path: Path) -> None:
        """Weights of a `efficientnet-liteN-*.pth` file; the projection stays as it is."""
        self.backbone.load(path)
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        weight, bias = _folded(theirs, "_conv_head", "_bn1")
        self.head.load_state_dict({"weight": weight, "bias": bias})

    def project_by_pca(self, pooled: np.ndarray, power: float = 0.5) -> None:
        """Sets the projection to the principal components of pooled features [n,FEATURES].

        Each component is divided by its deviation to `power`: 1 whitens, 0 keeps the distances. Components that the
        n pictures do not show at all are left at zero.
        """
        mean = pooled.mean(0)
        matrix = components(pooled - mean, self.dimensions, power)
        with torch.no_grad():
            self.project.weight.copy_(torch.from_numpy(matrix))
            self.project.bias.copy_(torch.from_numpy(-matrix @ mean))


class Mirrored(nn.Module):
    """What is served: the vectors of a picture and of its mirror image, joined on their principal components.

    uint8 [B,S,S,3] RGB -> float32 [B,dimensions], each of length 1, by two passes of the trained network. What it
    gains stands in docs/models/embedder.md.
    """

    def __init__(self, model: Embedder, views: np.ndarray, power: float = 0.5) -> None:
        """views: uint8 [n,S,S,3] of pictures that the model was trained on; power: as of project_by_pca."""
        super().__init__()
        self.model, self.dimensions = model.eval(), model.dimensions
        self.join = nn.Linear(2 * model.dimensions, model.dimensions, bias=False)
        with torch.no_grad():
            parts = [self.pairs(torch.from_numpy(views[i : i + 16])).numpy() for i in range(0, len(views), 16)]
            self.join.weight.copy_(torch.from_numpy(components(np.concatenate(parts), self.dimensions, power)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.join(self.pairs(images)), eps=SMALLEST)

    def pairs(self, images: torch.Tensor) -> torch.Tensor:
        """float32 [B,2*dimensions]: the picture's vector, then its mirror image's."""
        images = images.float()
        # By index, for not every runtime has slices with negative steps; and by constants, for ONNX Runtime 1.23 gets
        # an order wrong that is computed from the shape of the picture.
        backwards = images.index_select(2, torch.tensor([*range(int(images.shape[2]) - 1, -1, -1)]))
        both = self.model(torch.cat([images, backwards])).reshape(2, -1, self.dimensions)
        return torch.cat([both[0], both[1]], 1)


def components(rows: np.ndarray, dimensions: int, power: float) -> np.ndarray:
    """float32 [dimensions,D]: the principal axes of rows [n,D], each divided by its deviation from 0 to `power`.

    Axes that the rows do not show at all are left at zero.
    """
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    axes, deviation = axes[:dimensions], sizes[:dimensions] / np.sqrt(len(rows))
    if not deviation[0] > 0:
        raise DataError("all pictures have the same features: nothing to fit a projection on")
    scale = np.where(deviation > 1e-4 * deviation[0], np.maximum(deviation, 1e-12) ** -power, 0)
    matrix = np.zeros((dimensions, rows.shape[1]), np.float32)
    matrix[: len(axes)] = axes * scale[:, None]
    return matrix


@torch.no_grad()
def pooled_features(model: Embedder, images: np.ndarray, batch: int = 32) -> np.ndarray:
    """float32 [n,FEATURES] of uint8 [n,S,S,3]."""
    parts = [model.pooled(torch.from_numpy(images[i : i + batch])).numpy() for i in range(0, len(images), batch)]
    return np.concatenate(parts)
