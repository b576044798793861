"""Trains the embedder: every picture is an instance of its own, its views shall lie together and all others apart.

The recipe follows SSCD (Pizzi et al. 2022): a contrastive loss over photo-like views, with a term that spreads all
vectors over the sphere. A run is a folder, as the detector's: config, metrics, checkpoints; it resumes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning.losses import CrossBatchMemory, SupConLoss

from lexicrop_training.embed_network import Embedder, pooled_features
from lexicrop_training.embed_views import Pictures, batches, views
from lexicrop_training.retrieval import Embed, embed_all, report, search
from lexicrop_training.retrieval_photos import Trial
from lexicrop_training.samples import DataError


@dataclass(frozen=True)
class EmbedConfig:
    """Everything a run depends on besides the pictures."""

    steps: int = 3000
    minutes: float = 0.0  # the schedule ends after this time if the steps are not done by then; 0: no limit
    instances: int = 32  # of a batch; each gives two views
    side: int = 176  # of the views; smaller than what is served, for things look smaller in training crops
    seed: int = 1
    variant: str = "lite0"
    dimensions: int = 512
    frozen_blocks: int = 3
    lr: float = 5e-4
    lr_backbone: float = 2e-4
    weight_decay: float = 1e-2
    warmup: int = 30
    final_lr: float = 0.02  # share of the peak at the end of the cosine
    temperature: float = 0.07
    memory: int = 2048  # vectors of earlier batches that serve as negatives
    spread: float = 1.0  # weight of the KoLeo term
    whitening: float = 0.75  # of the projection that training begins with
    fitted: int = 1280  # views of pictures that it is fitted to
    average: float = 0.99  # decay of the averaged weights
    bf16: bool = True
    workers: int = 1
    threads: int = 1
    evaluate_every: int = 200
    checkpoint_every: int = 50


def train_embedder(run: Path, config: EmbedConfig, pictures: Pictures, trial: Trial, weights: Path | None) -> dict:
    """Trains in the folder `run` and returns the last metrics; weights: ImageNet's, a .pth file.

    Metrics are of the averaged model on `trial`, which should be small: it is embedded at every evaluation.
    """
    torch.set_num_threads(config.threads)
    run.mkdir(parents=True, exist_ok=True)
    work = _Work(config)
    if (run / "last.pt").exists():
        work.load(run / "last.pt")
    else:
        _start(work.model, config, pictures, weights)
        work.averaged.load_state_dict(work.model.state_dict())
        (run / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n")
        (run / "metrics.jsonl").write_text(json.dumps({"step": 0} | measure(work.averaged, trial)) + "\n")
    began, parts, metrics = time.monotonic() - work.seconds, [], {}
    stream = batches(pictures, config.seed, config.instances, config.side, work.step, config.steps, config.workers)
    for images, labels in stream:
        timed = (time.monotonic() - began) / 60 / config.minutes if config.minutes else 0.0
        progress = max(work.step / config.steps, timed)
        if progress >= 1:
            break
        parts.append(work.learn(images, labels, _rate(work.step, progress, config)))
        work.seconds = time.monotonic() - began
        if work.step % config.evaluate_every == 0:
            metrics = {"step": work.step, "seconds": round(work.seconds, 1), "loss": float(np.mean(parts))}
            metrics |= measure(work.averaged, trial)
            parts = []
            with (run / "metrics.jsonl").open("a") as lines:
                lines.write(json.dumps(metrics) + "\n")
            torch.save(work.averaged.state_dict(), run / f"step{work.step:06d}.pt")
        if work.step % config.checkpoint_every == 0:
            work.save(run / "last.pt")
    torch.save(work.averaged.state_dict(), run / "model.pt")
    metrics = {"step": work.step, "seconds": round(work.seconds, 1)} | measure(work.averaged, trial)
    (run / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


def load_embedder(run: Path, file: str = "model.pt") -> Embedder:
    """The averaged model of a run, or one of its step*.pt."""
    path = run / file
    if not path.exists():
        raise DataError(f"{path}: no such file; has the run been trained?")
    config = EmbedConfig(**json.loads((run / "config.json").read_text()))
    model = Embedder(config.variant, config.dimensions)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def torch_embed(model: Embedder) -> Embed:
    @torch.no_grad()
    def embed(images: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(images)).numpy()

    return embed


def measure(model: Embedder, trial: Trial) -> dict:
    embed = torch_embed(model)
    return report(*search(embed_all(embed, trial.catalogue), embed_all(embed, trial.photos), trial.work))


def koleo(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Minus the mean logarithm of the distance to the nearest vector of another label (Sablayrolles et al. 2019).

    Vectors [n,D] of length 1, labels [n] with at least two different ones. It is least when all are spread evenly.
    """
    similarity = vectors @ vectors.T
    nearest = similarity.masked_fill(labels[:, None] == labels[None], -2).max(1).values
    return -(2 - 2 * nearest).clamp(min=1e-4).sqrt().log().mean()


class _Work:
    """What changes while training, and what a checkpoint holds."""

    def __init__(self, config: EmbedConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step, self.seconds = config, 0, 0.0
        self.model, self.averaged = (
            Embedder(config.variant, config.dimensions).to(memory_format=torch.channels_last) for _ in range(2)
        )
        for part in [self.model.backbone.stem, *self.model.backbone.blocks[: config.frozen_blocks]]:
            part.requires_grad_(False)
        new = list(self.model.project.parameters())
        old = [p for n, p in self.model.named_parameters() if p.requires_grad and not n.startswith("project.")]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": new, "peak": config.lr, "weight_decay": config.weight_decay},
                {"params": old, "peak": config.lr_backbone, "weight_decay": config.weight_decay},
            ],
            lr=config.lr, betas=(0.9, 0.98),
        )  # fmt: skip
        self.contrast = CrossBatchMemory(SupConLoss(config.temperature), config.dimensions, config.memory)

    def learn(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            vectors = self.model(images)
        loss = self.contrast(vectors, labels) + self.config.spread * koleo(vectors, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(), "averaged": self.averaged.state_dict(), "step": self.step,
            "optimizer": self.optimizer.state_dict(), "seconds": self.seconds, "config": asdict(self.config),
            "memory": self.contrast.state_dict(), "place": self.contrast.queue_idx,
            "full": self.contrast.has_been_filled,
        }  # fmt: skip
        temporary = path.with_suffix(".tmp")  # a run killed while it saves keeps its last whole checkpoint
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        if state["config"] != asdict(self.config):
            raise DataError(f"{path.parent}: holds a run with another configuration")
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.contrast.load_state_dict(state["memory"])
        self.contrast.queue_idx, self.contrast.has_been_filled = state["place"], state["full"]
        self.step, self.seconds = state["step"], state["seconds"]


def _start(model: Embedder, config: EmbedConfig, pictures: Pictures, weights: Path | None) -> None:
    """ImageNet's weights, and a projection whose components have been seen in views of the pictures."""
    if weights is not None:
        model.load_imagenet(weights)
    shown = views(pictures, config.seed + 1, config.instances, config.side, config.fitted)
    model.project_by_pca(pooled_features(model, shown), config.whitening)


def _rate(step: int, progress: float, config: EmbedConfig) -> float:
    """Share of the peak learning rate: linear warm-up, then cosine to final_lr."""
    cosine = config.final_lr + (1 - config.final_lr) * 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
    return float(min(1.0, (step + 1) / max(1, config.warmup)) * cosine)
