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
from lexicrop_training.losses import Target, Weights, losses
from lexicrop_training.samples import DataError, Sample
from lexicrop_training.scenes import KINDS


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
    kinds: dict[str, float] = field(default_factory=lambda: dict(KINDS))  # shares of composed scenes
    backbone: str = "mobilenet"
    frozen_blocks: int | None = None  # None: as the backbone says
    only: tuple[str, ...] = ()  # layers of the detector that learn while the rest stays as it is; empty: all
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
    run: Path,
    config: Config,
    data: Data,
    backbone: Path | None = None,
    start: Path | None = None,
    report: Report | None = None,
) -> dict:
    """Trains in the folder `run` and returns the last metrics; an unfinished run there is continued.

    start: an ONNX export whose weights to begin with; backbone: pretrained backbone weights otherwise.
    """
    if data.assets is None and not data.photos:
        raise DataError("nothing to train on: neither pictures for scenes nor labelled photos")
    torch.set_num_threads(config.threads)
    stream, unseen = _streams(config, data)
    run.mkdir(parents=True, exist_ok=True)
    if (run / "last.pt").exists():
        work = _resume(run, config)
    else:
        work = _begin(config, stream, backbone, start)
        origin = {"commit": _commit(), "torch": torch.__version__, "start": str(start), "backbone_file": str(backbone)}
        _write(run / "config.json", asdict(config) | origin)
        (run / "metrics.jsonl").write_text("")
    began, totals, metrics = time.monotonic() - work.seconds, [], {}
    for images, examples in batches(stream, config.batch, work.step, config.workers):
        progress = max(work.step / config.steps, _timed(began, config))
        if progress >= 1:
            break
        rate = _rate(work.step, progress, config)
        totals.append(_step(work, rate, images, [e.target() for e in examples], config))
        done = work.step == config.steps or _timed(began, config) >= 1
        stop = False
        if done or work.step % config.evaluate_every == 0:
            losses_ = {k: float(np.mean([t[k] for t in totals])) for k in totals[0]}
            metrics = {
                "step": work.step,
                "pictures": work.step * config.batch,
                "seconds": round(time.monotonic() - began, 1),
                "rate": rate,
                "loss": sum(losses_.values()),
                "losses": losses_,
            } | measure(work.averaged, unseen, data.validation, config)
            totals = []
            with (run / "metrics.jsonl").open("a") as lines:
                lines.write(json.dumps(metrics) + "\n")
            torch.save(work.averaged.state_dict(), run / f"step{work.step:06d}.pt")
            stop = report is not None and report(work.step, metrics)
        if done or work.step % config.checkpoint_every == 0:
            work.seconds = time.monotonic() - began
            _save(run / "last.pt", work, config)
        if done or stop:
            break
    torch.save(work.averaged.state_dict(), run / "model.pt")
    if metrics:
        _write(run / "metrics.json", metrics)
    elif (run / "metrics.json").exists():  # there was nothing left to do
        metrics = json.loads((run / "metrics.json").read_text())
    return metrics


def measure(model: Detector, unseen: Examples, validation: dict[str, list[Sample]], config: Config) -> dict:
    """Validation loss and IoU on scenes never trained on, and IoU and misses on each validation set."""
    rng = torch.Generator().manual_seed(0)
    totals, rows = [], []
    predict = torch_predictor(model, config.bf16)
    for images, examples in batches(unseen, min(config.batch, max(1, len(unseen))), 0, 0):
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


def load_runs(runs: list[Path], file: str = "model.pt") -> tuple[Detector, Config]:
    """The mean of the weights of runs that began with the same weights (a model soup, Wortsman et al. 2022)."""
    model, config = load_run(runs[0], file)
    others = [load_run(run, file) for run in runs[1:]]
    for run, (_, other) in zip(runs[1:], others, strict=True):
        if (other.shape, other.backbone) != (config.shape, config.backbone):
            raise DataError(f"{run}: another network than {runs[0]}, their weights cannot be averaged")
    states = [model.state_dict(), *[m.state_dict() for m, _ in others]]
    model.load_state_dict({k: sum(s[k] for s in states) / len(states) for k in states[0]})
    return model, config


def read_config(path: Path) -> Config:
    """config.json of a run (its folder or the file), or the best.json that tuning wrote."""
    path = path / "config.json" if path.is_dir() else path
    if not path.exists():
        raise DataError(f"{path}: no such file")
    try:
        raw = json.loads(path.read_text())
        known = {k: v for k, v in raw.items() if k in Config.__dataclass_fields__}
        known["only"] = tuple(known.get("only", ()))
        shape = {k: tuple(v) if isinstance(v, list) else v for k, v in known.pop("shape", {}).items()}
        return Config(**(known | {"shape": Shape(**shape), "weights": Weights(**known.get("weights", {}))}))
    except (json.JSONDecodeError, TypeError, AttributeError) as err:
        raise DataError(f"{path}: not a configuration of a run: {err}") from err


@dataclass
class _Work:
    """What changes while training, and what a checkpoint holds."""

    model: Detector
    averaged: Detector
    optimizer: torch.optim.Optimizer
    rng: torch.Generator
    step: int = 0
    seconds: float = 0.0


def _begin(config: Config, stream: Examples, backbone: Path | None, start: Path | None) -> _Work:
    work = _fresh(config)
    if start is not None:
        load_onnx(work.model, start)
    else:
        if backbone is not None:
            work.model.backbone.load(backbone)
        images, _ = next(iter(batches(stream, config.batch, 0, 0)))
        work.model.calibrate(images)
    work.averaged.load_state_dict(work.model.state_dict())
    return work


def _resume(run: Path, config: Config) -> _Work:
    state = torch.load(run / "last.pt", weights_only=False)
    if asdict(Config()) | state["config"] != asdict(config):
        raise DataError(f"{run}: holds a run with another configuration")
    work = _fresh(config)
    work.model.load_state_dict(state["model"])
    work.averaged.load_state_dict(state["averaged"])
    work.optimizer.load_state_dict(state["optimizer"])
    work.rng.set_state(state["rng"])
    work.step, work.seconds = state["step"], state["spent"]
    return work


def _fresh(config: Config) -> _Work:
    torch.manual_seed(config.seed)
    model, averaged = (make_detector(config).to(memory_format=torch.channels_last) for _ in range(2))
    frozen = config.frozen_blocks if config.frozen_blocks is not None else model.backbone.frozen_blocks
    _freeze(model, frozen)
    if config.only:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.split(".")[0] in config.only)
    return _Work(model, averaged, _optimizer(model, config), torch.Generator().manual_seed(config.seed))


def _streams(config: Config, data: Data) -> tuple[Examples, Examples]:
    """What to train on, and examples of another seed that are never trained on."""
    side, share = config.shape.side, config.real_share
    learn = Examples(data.assets, data.photos, side, config.seed, share, config.steps * config.batch, config.kinds)
    unseen = Examples(
        data.assets, data.photos, side, config.seed + 1_000_003, share, config.validation_scenes, config.kinds
    )
    return learn, unseen


def _step(work: _Work, rate: float, images: torch.Tensor, targets: list[Target], config: Config) -> dict[str, float]:
    for group in work.optimizer.param_groups:
        group["lr"] = group["peak"] * rate
    work.model.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
        parts = losses(work.model, images, targets, config.weights, work.rng)
    work.optimizer.zero_grad(set_to_none=True)
    sum(parts.values()).backward()
    head = []
    for name, parameter in work.model.named_parameters():
        if parameter.grad is None:
            continue
        if name.startswith("backbone."):
            # Each tensor is clipped alone: their spikes would otherwise swamp the head's gradient.
            torch.nn.utils.clip_grad_norm_(parameter, 1.0)
        else:
            head.append(parameter)
    torch.nn.utils.clip_grad_norm_(head, 10.0)
    work.optimizer.step()
    work.step += 1
    decay = min(config.average, (1 + work.step) / (10 + work.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(work.averaged.parameters()), list(work.model.parameters()), 1 - decay)
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
    if not named:
        raise DataError(f"nothing to learn: no layer is called {', '.join(config.only)}")
    groups = [
        {"params": new, "lr": config.lr, "peak": config.lr, "weight_decay": config.weight_decay},
        {"params": backbone, "lr": config.lr_backbone, "peak": config.lr_backbone, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def _rate(step: int, progress: float, config: Config) -> float:
    """Share of the peak learning rate: linear warm-up, then cosine to final_lr."""
    cosine = config.final_lr + (1 - config.final_lr) * 0.5 * (1 + np.cos(np.pi * min(1.0, progress)))
    return float(min(1.0, (step + 1) / max(1, config.warmup)) * cosine)


def _timed(began: float, config: Config) -> float:
    """Share of the time limit that is used up, 0 without a limit."""
    return (time.monotonic() - began) / 60 / config.minutes if config.minutes else 0.0


def _save(path: Path, work: _Work, config: Config) -> None:
    state = {
        "model": work.model.state_dict(),
        "averaged": work.averaged.state_dict(),
        "optimizer": work.optimizer.state_dict(),
        "rng": work.rng.get_state(),
        "step": work.step,
        "spent": work.seconds,
        "config": asdict(config),
    }
    temporary = path.with_suffix(".tmp")  # a run killed while it saves keeps its last whole checkpoint
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
