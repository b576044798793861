"""Boxes and the letterbox, for numpy and torch. Boxes are xyxy; coordinates are pixels of the frame named."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

PAD = 114
BOX_SCALE = (0.1, 0.1, 0.2, 0.2)
LOG_SIZE_LIMIT = 2.0


@dataclass(frozen=True)
class Letterbox:
    """How a picture was fitted into a square: input = picture * scale + (left, top), per axis."""

    scale_x: float
    scale_y: float
    left: int
    top: int

    def forward(self, boxes: np.ndarray) -> np.ndarray:
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        return boxes * scale + np.array([self.left, self.top] * 2, np.float32)

    def back(self, boxes: np.ndarray) -> np.ndarray:
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        return (boxes - np.array([self.left, self.top] * 2, np.float32)) / scale


def letterbox(image: np.ndarray, side: int) -> tuple[np.ndarray, Letterbox]:
    """Fits RGB uint8 [h,w,3] into [side,side,3], aspect kept, centred, padded with PAD."""
    h, w = image.shape[:2]
    scale = side / max(h, w)
    nw, nh = min(side, max(1, round(w * scale))), min(side, max(1, round(h * scale)))
    resized = cv2.resize(image, (nw, nh), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (side - nw) // 2, (side - nh) // 2
    out = np.full((side, side, 3), PAD, np.uint8)
    out[top : top + nh, left : left + nw] = resized
    return out, Letterbox(nw / w, nh / h, left, top)


def log_prominence(boxes: torch.Tensor, size: torch.Tensor, side: int) -> torch.Tensor:
    """Logarithm of `prominence` [B,n] of boxes [B,n,4] in a letterboxed input, whose picture has size [B,2]."""
    low = ((side - size) / 2).unsqueeze(1)
    high = side - low
    corner, end = boxes[..., :2].maximum(low).minimum(high), boxes[..., 2:].maximum(low).minimum(high)
    extent = (end - corner).clamp(min=1) / size.unsqueeze(1)
    off = (corner + end - side) / 2 / size.unsqueeze(1)
    return 0.5 * extent.log().sum(-1) - 2.0 * (off * off).sum(-1)


def picture_size(image: torch.Tensor) -> torch.Tensor:
    """Width and height [B,2] in pixels of the picture within its letterbox [B,side,side,3], by the padding's grey.

    Every eighth line is looked at: a column of the picture that is the padding's very grey in all of them is unheard
    of, and looking at every pixel would take a fifth as long as the network.
    """
    columns, rows = image[:, ::8], image[:, :, ::8]
    filled = [(lines.float() - PAD).abs().amax((axis, 3)) for lines, axis in ((columns, 1), (rows, 2))]
    return torch.stack([(f > 0.5).float().sum(1) for f in filled], 1).clamp(min=1)


def prominence(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """How much each box [n,4] looks meant: side of its area times how central it lies in the picture."""
    if not len(boxes):
        return np.zeros(0, np.float32)
    size = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), 1) / (width * height))
    off = (boxes[:, :2] + boxes[:, 2:]) / 2 / (width, height) - 0.5
    return (size * np.exp(-2.0 * (off**2).sum(1))).astype(np.float32)


def iou_numpy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU [n,m] of boxes [n,4] and [m,4]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0), 2)
    area_a, area_b = (np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), 1) for x in (a, b))
    return common / np.maximum(area_a[:, None] + area_b[None, :] - common, 1e-9)


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU of boxes that broadcast against each other, [...,4] -> [...]."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) - common
    return common / union.clamp(min=1e-6)


def giou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Generalised IoU (Rezatofighi et al. 2019): IoU minus the empty share of the smallest enclosing box."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1) + (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1) - common
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull_area = hull.clamp(min=0).prod(-1).clamp(min=1e-6)
    return common / union.clamp(min=1e-6) - (hull_area - union) / hull_area


def decode(anchors: torch.Tensor, deltas: torch.Tensor, side: int) -> torch.Tensor:
    """Applies deltas [...,4] to anchors [...,4]; the result is clipped to the input square."""
    x0, y0, x1, y1 = anchors.unbind(-1)
    w, h = x1 - x0, y1 - y0
    dx, dy, dw, dh = deltas.float().unbind(-1)
    cx, cy = x0 + 0.5 * w + dx * BOX_SCALE[0] * w, y0 + 0.5 * h + dy * BOX_SCALE[1] * h
    w = w * torch.exp((dw * BOX_SCALE[2]).clamp(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT))
    h = h * torch.exp((dh * BOX_SCALE[3]).clamp(-LOG_SIZE_LIMIT, LOG_SIZE_LIMIT))
    boxes = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1)
    return boxes.clamp(0, side)


def choose(boxes: np.ndarray, probs: np.ndarray, salience: np.ndarray) -> tuple[np.ndarray, float, int, np.ndarray]:
    """The model contract's rule: the box that was meant, its score, its class id, and the scores of all.

    Winner by salience * sqrt(1 - background); the candidates overlapping it by IoU >= 0.7 are averaged with
    those weights.
    """
    scores = salience * np.sqrt(np.clip(1 - probs[:, 0], 0, 1))
    best = int(scores.argmax())
    near = iou_numpy(boxes[best : best + 1], boxes)[0] >= 0.7
    near[best] = True
    weights = np.maximum(scores[near], 1e-9)
    box = (boxes[near] * weights[:, None]).sum(0) / weights.sum()
    return box, float(scores[best]), int(probs[best, 1:].argmax()) + 1, scores


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> list[int]:
    """Indices kept by non-maximum suppression, best first."""
    order, kept = list(np.argsort(-scores)), []
    while order:
        best = order.pop(0)
        kept.append(int(best))
        if order:
            overlap = iou_numpy(boxes[best : best + 1], boxes[order])[0]
            order = [o for o, v in zip(order, overlap, strict=True) if v < threshold]
    return kept
