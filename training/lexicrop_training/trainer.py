"""The training loop: one run is a folder with config, metrics, plots and checkpoints; it resumes where it ended."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from lexicrop_training.assets import Assets
from lexicrop_training.backbone import make_backbone
from lexicrop_training.batches import Examples, batches
from lexicrop_training.detector import Detector, Shape, load_onnx
from lexicrop_training.evaluation import evaluate, summary, torch_predictor
from lexicrop_training.losses import Weights, losses
from lexicrop_training.samples import DataError, Sample


@dataclass(frozen=True)
class Config:
    """Everything a run depends on besides the pictures. Written to the run's folder as config.json."""

    steps: int = 8000
    batch: int = 8
    seed: int = 1
    lr: float = 7e-4
    lr_backbone: float = 1e-4
    weight_decay: float = 1e-2
    warmup: int = 150
    final_lr: float = 0.02  # share of the peak at the end of the cosine
    average: float = 0.998  # decay of the averaged weights
    bf16: bool = True
    minutes: float = 0.0  # the cosine ends after this time if the steps are not done by then; 0: no limit
    evaluate_every: int = 500
    checkpoint_every: int = 250
    validation_scenes: int = 128
    workers: int = 1
    threads: int = 1
    real_share: float = 0.5  # of labelled photos among the examples, when there are any
    backbone: str = "mobilenet"
    frozen_blocks: int | None = None  # None: as the backbone says
    shape: Shape = field(default_factory=Shape)
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True)
class Data:
    """assets: pictures for composed scenes, or None; photos: labelled photos to train on; validation: by name."""

    assets: Assets | None
    photos: list[Sample]
    validation: dict[str, list[Sample]]


Report = Callable[[int, dict], bool]  # called after each evaluation; True ends the run early (pruning)


def train(
    run: Path, config: Config, data: Data, backbone: Path | None = None, start: Path | None = None,
    report: Report | None = None,
) -> dict:  # fmt: skip
    """Trains in the folder `run` and returns the last metrics; an unfinished run there is continued.

    start: an ONNX export whose weights to begin with; backbone: pretrained backbone (.npz) otherwise.
    """
    if data.assets is None and not data.photos:
        raise DataError("nothing to train on: neither pictures for scenes nor labelled photos")
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    model = make_detector(config)
    run.mkdir(parents=True, exist_ok=True)
    checkpoint = run / "last.pt"
    state = torch.load(checkpoint, weights_only=False) if checkpoint.exists() else None
    if state is None:
        _write(
            run / "config.json",
            asdict(config) | {"commit": _commit(), "start": str(start), "torch": torch.__version__},
        )
        (run / "metrics.jsonl").write_text("")
        if start is not None:
            load_onnx(model, start)
        elif backbone is not None:
            model.backbone.load(backbone)
    elif asdict(Config()) | state["config"] != asdict(config):
        raise DataError(f"{run}: holds an unfinished run with another configuration")
    model = model.to(memory_format=torch.channels_last)
    averaged = make_detector(config).to(memory_format=torch.channels_last)
    frozen = config.frozen_blocks if config.frozen_blocks is not None else model.backbone.frozen_blocks
    _freeze(model, frozen)
    optimizer = _optimizer(model, config)
    rng = torch.Generator().manual_seed(config.seed)
    step, spent = 0, 0.0
    stream = Examples(
        data.assets,
        data.photos,
        config.shape.side,
        config.seed,
        config.real_share,
        config.steps * config.batch,
    )
    if state is None:
        if start is None:
            images, _ = next(iter(batches(stream, config.batch, 0, 0)))
            model.calibrate(images)
        averaged.load_state_dict(model.state_dict())
    else:
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        rng.set_state(state["rng"])
        step, spent = state["step"], state["spent"]
    unseen = Examples(
        data.assets,
        data.photos,
        config.shape.side,
        config.seed + 1_000_003,
        config.real_share,
        config.validation_scenes,
    )
    began, totals, metrics = time.monotonic() - spent, {}, {}
    for images, examples in batches(stream, config.batch, step, config.workers):
        progress = step / config.steps
        if config.minutes:
            progress = max(progress, (time.monotonic() - began) / 60 / config.minutes)
        if progress >= 1:
            break
        _set_rate(optimizer, _rate(step, progress, config))
        parts = _step(model, optimizer, images, [e.target() for e in examples], config, rng)
        step += 1
        decay = min(config.average, (1 + step) / (10 + step))
        _blend(averaged, model, decay)
        for name, value in parts.items():
            totals.setdefault(name, []).append(value)
        done = step == config.steps or (config.minutes and time.monotonic() - began >= config.minutes * 60)
        if step % config.evaluate_every == 0 or done:
            metrics = {
                "step": step, "pictures": step * config.batch, "seconds": round(time.monotonic() - began, 1),
                "rate": _rate(step, progress, config), "loss": float(np.mean([sum(v) for v in zip(*totals.values(), strict=True)])),
                "losses": {k: float(np.mean(v)) for k, v in totals.items()},
            } | measure(averaged, unseen, data.validation, config)  # fmt: skip
            totals = {}
            with (run / "metrics.jsonl").open("a") as stream_out:
                stream_out.write(json.dumps(metrics) + "\n")
            torch.save(averaged.state_dict(), run / f"step{step:06d}.pt")
            if report is not None and report(step, metrics):
                break
        if step % config.checkpoint_every == 0 or done:
            _save(checkpoint, model, averaged, optimizer, rng, step, time.monotonic() - began, config)
        if done:
            break
    torch.save(averaged.state_dict(), run / "model.pt")
    if metrics:
        _write(run / "metrics.json", metrics)
    return metrics


def measure(model: Detector, unseen: Examples, validation: dict[str, list[Sample]], config: Config) -> dict:
    """Validation loss and IoU on scenes never trained on, and IoU and misses on each validation set."""
    rng = torch.Generator().manual_seed(0)
    totals, rows = [], []
    predict = torch_predictor(model, config.bf16)
    for images, examples in batches(unseen, config.batch, 0, 0):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
            parts = losses(model, images, [e.target() for e in examples], config.weights, rng)
        totals.append(float(sum(parts.values())))
        found = [
            Sample(Path(str(i)), e.boxes, e.labels, e.wanted == 1, e.ignore, e.image) for i, e in enumerate(examples)
        ]
        rows += evaluate(predict, found, config.shape.side)
    out = {"validation_loss": float(np.mean(totals)) if totals else None}
    if rows:
        out["scenes"] = asdict(summary(rows))
    for name, samples in validation.items():
        out[name] = asdict(summary(evaluate(predict, samples, config.shape.side)))
    return out


def make_detector(config: Config) -> Detector:
    return Detector(config.shape, make_backbone(config.backbone))


def load_run(run: Path, file: str = "model.pt") -> tuple[Detector, Config]:
    """The averaged model of a run (or one of its step*.pt) and the run's configuration."""
    path = run / file
    if not path.exists():
        raise DataError(f"{path}: no such file; has the run been trained?")
    config = read_config(run)
    model = make_detector(config)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval(), config


def read_config(path: Path) -> Config:
    """config.json of a run (its folder or the file), or the best.json that tuning wrote."""
    path = path / "config.json" if path.is_dir() else path
    if not path.exists():
        raise DataError(f"{path}: no such file")
    try:
        raw = json.loads(path.read_text())
        known = {k: v for k, v in raw.items() if k in Config.__dataclass_fields__}
        shape = {k: tuple(v) if isinstance(v, list) else v for k, v in known.pop("shape", {}).items()}
        return Config(**(known | {"shape": Shape(**shape), "weights": Weights(**known.get("weights", {}))}))
    except (json.JSONDecodeError, TypeError, AttributeError) as err:
        raise DataError(f"{path}: not a configuration of a run: {err}") from err


def _step(model, optimizer, images, targets, config, rng) -> dict[str, float]:  # noqa: ANN001
    model.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
        parts = losses(model, images, targets, config.weights, rng)
    optimizer.zero_grad(set_to_none=True)
    sum(parts.values()).backward()
    # One clip a backbone tensor: their spikes would otherwise swamp the head's gradient.
    head = []
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        if name.startswith("backbone."):
            torch.nn.utils.clip_grad_norm_(parameter, 1.0)
        else:
            head.append(parameter)
    torch.nn.utils.clip_grad_norm_(head, 10.0)
    optimizer.step()
    return {k: float(v.detach()) for k, v in parts.items()}


def _freeze(model: Detector, blocks: int) -> None:
    if blocks <= 0:
        return
    for part in [model.backbone.stem, *model.backbone.blocks[:blocks]]:
        part.requires_grad_(False)


def _optimizer(model: Detector, config: Config) -> torch.optim.Optimizer:
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    backbone = [p for n, p in named if n.startswith("backbone.")]
    new = [p for n, p in named if not n.startswith("backbone.")]
    groups = [
        {"params": new, "lr": config.lr, "peak": config.lr, "weight_decay": config.weight_decay},
        {"params": backbone, "lr": config.lr_backbone, "peak": config.lr_backbone, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def _rate(step: int, progress: float, config: Config) -> float:
    """Share of the peak learning rate: linear warm-up, then cosine to final_lr."""
    cosine = config.final_lr + (1 - config.final_lr) * 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
    return float(min(1.0, (step + 1) / max(1, config.warmup)) * cosine)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rate


@torch.no_grad()
def _blend(averaged: Detector, model: Detector, decay: float) -> None:
    mine, new = list(averaged.parameters()), [p.detach() for p in model.parameters()]
    torch._foreach_lerp_(mine, new, 1 - decay)


def _save(path, model, averaged, optimizer, rng, step, spent, config) -> None:  # noqa: ANN001
    state = {
        "model": model.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict(),
        "rng": rng.get_state(), "step": step, "spent": spent, "config": asdict(config),
    }  # fmt: skip
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _write(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _commit() -> str:
    here = Path(__file__).parent
    try:
        out = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return out.stdout.strip()
