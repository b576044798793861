"""Targets and losses of both stages. Boxes are pixels of the input; targets live on the model's device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from lexicrop_training.detector import Detector
from lexicrop_training.geometry import decode, giou, iou, log_prominence, picture_size

NEAR = 0.8  # a work this close to the main one's prominence could have been meant as well


@dataclass(frozen=True)
class Target:
    """Works of one picture: boxes [n,4], labels [n] (1, 2), wanted [n] (1 main, 0.5 nearly, 0 other), boxes [m,4]
    that may be found without fault (mostly outside, tiny, unlabelled), and the works with their frames [n,4], NaN
    where those are not known."""

    boxes: torch.Tensor
    labels: torch.Tensor
    wanted: torch.Tensor
    ignore: torch.Tensor
    outer: torch.Tensor


@dataclass(frozen=True)
class Weights:
    rpn_score: float = 1.0
    rpn_box: float = 1.0
    cls: float = 1.0
    box: float = 2.0
    salience: float = 1.0
    choice: float = 1.0
    frame: float = 0.5


def losses(
    model: Detector, images: torch.Tensor, targets: list[Target], weights: Weights, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """All losses of a batch, already weighted; their sum is what to minimise."""
    level4, scores, deltas, peaks = model.features(images)
    rpn_score, rpn_box = rpn_losses(model.anchors, scores, deltas, targets, model.shape.side)
    with torch.no_grad():
        proposals = model.propose(scores, deltas, peaks)
        boxes = torch.stack([head_boxes(p, t, model.shape.side, rng) for p, t in zip(proposals, targets, strict=True)])
    hidden, size, side = model.head(level4, boxes), picture_size(images), model.shape.side
    logits, deltas = model.cls(hidden).float(), model.delta(hidden).float()
    frames = decode(decode(boxes, deltas, side).detach(), model.frame(hidden), side)
    meant = model.meant(size, hidden, frames.detach(), logits.detach().softmax(-1))
    cls, box, salience = head_losses(boxes, logits, deltas, meant, targets, side)
    return {
        "rpn_score": rpn_score * weights.rpn_score,
        "rpn_box": rpn_box * weights.rpn_box,
        "cls": cls * weights.cls,
        "box": box * weights.box,
        "salience": salience * weights.salience,
        "choice": choice_loss(boxes, meant, targets) * weights.choice,
        "frame": frame_loss(boxes, frames, size, targets, side) * weights.frame,
    }


def rpn_losses(
    anchors: torch.Tensor, scores: torch.Tensor, deltas: torch.Tensor, targets: list[Target], side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Focal loss of the anchors' scores and GIoU loss of the positive anchors, each a mean over positives.

    scores [B,A], deltas [B,A,4]. Positive from IoU 0.55, negative below 0.4, the best anchor of each work
    always positive; anchors on ignored boxes count as neither.
    """
    focal, box, positives = scores.new_zeros(()), scores.new_zeros(()), 0
    for score, delta, target in zip(scores, deltas, targets, strict=True):
        labels, matched = match_anchors(anchors, target)
        used = labels >= 0
        focal = focal + focal_loss(score[used], labels[used].float()).sum()
        chosen = labels == 1
        if bool(chosen.any()):
            boxes = decode(anchors[chosen], delta[chosen], side)
            box = box + (1 - giou(boxes, target.boxes[matched[chosen]])).sum()
            positives += int(chosen.sum())
    count = max(1, positives)
    return focal / count, box / count


def match_anchors(anchors: torch.Tensor, target: Target) -> tuple[torch.Tensor, torch.Tensor]:
    """Label of each anchor (1 positive, 0 negative, -1 unused) and the index of its work."""
    labels = anchors.new_zeros(len(anchors), dtype=torch.long)
    matched = labels.clone()
    if len(target.boxes):
        overlap = iou(anchors[:, None], target.boxes[None])
        best, matched = overlap.max(1)
        labels = torch.where(best >= 0.55, 1, torch.where(best < 0.4, 0, -1))
        top = overlap.argmax(0)
        labels[top] = 1
        matched[top] = torch.arange(len(target.boxes), device=anchors.device)
    if len(target.ignore):
        on_ignored = iou(anchors[:, None], target.ignore[None]).amax(1) >= 0.4
        labels = torch.where(on_ignored & (labels == 0), -1, labels)
    return labels, matched


def focal_loss(logits: torch.Tensor, targets: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Binary focal loss (Lin et al. 2017) without class weights, one value an element."""
    plain = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return plain * (1 - torch.exp(-plain)) ** gamma


@torch.no_grad()
def head_boxes(proposals: torch.Tensor, target: Target, side: int, rng: torch.Generator) -> torch.Tensor:
    """The 48 boxes the head learns from: 24 proposals, 20 jittered works, 4 random ones; [48,4].

    Half of the jittered ones are of the main work; the jitter ranges from touching up to a poor proposal.
    """

    def uniform(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=rng).to(proposals.device)

    order = torch.randperm(len(proposals), generator=rng)[:24].to(proposals.device)
    random = uniform(24, 4) * side
    random = torch.cat([torch.minimum(random[:, :2], random[:, 2:]), torch.maximum(random[:, :2], random[:, 2:])], 1)
    random[:, 2:] = torch.maximum(random[:, 2:], random[:, :2] + 8)
    if not len(target.boxes):
        return torch.cat([proposals[order], random])
    main = int(target.wanted.argmax())
    others = torch.randint(len(target.boxes), (10,), generator=rng).to(proposals.device)
    works = target.boxes[torch.cat([torch.full_like(others, main), others])]
    size = works[:, 2:] - works[:, :2]
    strength = (0.03 + 0.3 * uniform(20, 1) ** 2) * 2
    shift = (uniform(20, 2) - 0.5) * strength * size
    grow = torch.exp((uniform(20, 2) - 0.5) * strength * 2)
    middle, half = (works[:, :2] + works[:, 2:]) / 2 + shift, size * grow / 2
    jittered = torch.cat([middle - half, middle + half], 1).clamp(0, side)
    return torch.cat([proposals[order], jittered, random[:4]])


def head_losses(
    boxes: torch.Tensor,
    logits: torch.Tensor,
    deltas: torch.Tensor,
    salience: torch.Tensor,
    targets: list[Target],
    side: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross entropy of the class, GIoU of the refined box, binary cross entropy of salience.

    boxes [B,n,4], logits [B,n,3], deltas [B,n,4], salience logits [B,n]. The target of salience is the
    stretched IoU after refinement times how much the work was wanted.
    """
    cls, box, sal = logits.new_zeros(()), logits.new_zeros(()), logits.new_zeros(())
    classed = positives = 0
    for b, target in enumerate(targets):
        n = len(boxes[b])
        best = boxes.new_zeros(n)
        index = torch.zeros(n, dtype=torch.long, device=boxes.device)
        if len(target.boxes):
            best, index = iou(boxes[b][:, None], target.boxes[None]).max(1)
        unused = (best < 0.5) & (best >= 0.4)
        if len(target.ignore):
            unused |= (iou(boxes[b][:, None], target.ignore[None]).amax(1) >= 0.4) & (best < 0.5)
        positive = best >= 0.5
        label = torch.zeros_like(index)
        wanted = boxes.new_zeros(n)
        if bool(positive.any()):
            label[positive] = target.labels[index[positive]]
            works = target.boxes[index[positive]]
            refined = decode(boxes[b][positive], deltas[b][positive], side)
            box = box + (1 - giou(refined, works)).sum()
            quality = ((iou(refined.detach(), works) - 0.4) / 0.6).clamp(0, 1)
            wanted[positive] = quality * target.wanted[index[positive]]
            positives += int(positive.sum())
        used = ~unused
        cls = cls + F.cross_entropy(logits[b][used], label[used], reduction="sum")
        sal = sal + F.binary_cross_entropy_with_logits(salience[b][used], wanted[used], reduction="sum")
        classed += int(used.sum())
    return cls / max(1, classed), box / max(1, positives), sal / max(1, classed)


def choice_loss(boxes: torch.Tensor, salience: torch.Tensor, targets: list[Target]) -> torch.Tensor:
    """Cross entropy of the main work winning among the works of its picture, each by its most salient box.

    boxes [B,n,4], salience logits [B,n]; a mean over pictures with several works. Binary cross entropy judges every
    box alone; what decides in the end is the order within a picture.
    """
    total, pictures = salience.new_zeros(()), 0
    for box, logits, target in zip(boxes, salience, targets, strict=True):
        if len(target.boxes) < 2:
            continue
        best, index = iou(box[:, None], target.boxes[None]).max(1)
        best_of = [logits[(best >= 0.5) & (index == k)] for k in range(len(target.boxes))]
        main = int(target.wanted.argmax())
        if not len(best_of[main]):
            continue
        rivals = torch.stack([b.max() for b in best_of if len(b)])
        total = total + rivals.logsumexp(0) - best_of[main].max()
        pictures += 1
    return total / max(1, pictures)


def frame_loss(
    boxes: torch.Tensor, frames: torch.Tensor, size: torch.Tensor, targets: list[Target], side: int
) -> torch.Tensor:
    """GIoU loss of the frames plus the error of their log prominence, the one number that they are for.

    boxes [B,n,4] say which work a frame [B,n,4] is of; works whose frame is not known do not count.
    """
    total, positives = frames.new_zeros(()), 0
    for b, target in enumerate(targets):
        if not len(target.boxes):
            continue
        best, index = iou(boxes[b][:, None], target.boxes[None]).max(1)
        truth = target.outer[index]
        used = (best >= 0.5) & torch.isfinite(truth).all(1)
        if not bool(used.any()):
            continue
        found, truth = frames[b][used], truth[used]
        ranks = [log_prominence(x[None], size[b : b + 1], side)[0] for x in (found, truth)]
        total = total + (1 - giou(found, truth)).sum() + (ranks[0] - ranks[1]).abs().sum()
        positives += int(used.sum())
    return total / max(1, positives)
