"""Studies around training: hyper-parameters, cross validation, and whether more data would help."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna
from optuna.visualization import matplotlib as optuna_plots
from scipy.optimize import curve_fit
from sklearn.model_selection import StratifiedKFold

from lexicrop_training import plots
from lexicrop_training.assets import Assets
from lexicrop_training.batches import counts
from lexicrop_training.evaluation import bootstrap, evaluate, summary, torch_predictor
from lexicrop_training.geometry import prominence
from lexicrop_training.samples import CLASSES, DataError, Sample
from lexicrop_training.scenes import make_scene
from lexicrop_training.trainer import Config, Data, load_run, train

# name -> (low, high), searched on a log scale; the narrow stage looks within a factor of the wide one's best.
WIDE = {
    "lr": (1e-4, 3e-3), "lr_backbone": (1e-5, 3e-4), "weight_decay": (1e-4, 1e-1),
    "box": (0.5, 6.0), "salience": (0.3, 3.0),
}  # fmt: skip
BATCHES = (4, 8, 16)
NARROW_FACTOR = 2.0


def tune(
    out: Path, config: Config, data: Data, wide: int, narrow: int, backbone: Path | None, start: Path | None
) -> Config:
    """Searches wide, then narrow around the best, and writes best.json for `train --config`.

    Every trial sees config.steps * config.batch pictures whatever its batch. Trials are judged by mean IoU on
    composed scenes that no run trains on, never by the validation photos. The study is kept in study.db: a
    second call goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="detector", storage=f"sqlite:///{out / 'study.db'}", direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=config.seed), pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )  # fmt: skip
    pictures = config.steps * config.batch

    def objective(trial: optuna.Trial, space: dict[str, tuple[float, float]], batches: tuple[int, ...]) -> float:
        values = {k: trial.suggest_float(k, *v, log=True) for k, v in space.items()}
        batch = trial.suggest_categorical("batch", BATCHES) if len(batches) > 1 else batches[0]
        trial.set_user_attr("batch", batch)
        tried = _with(config, values | {"batch": batch, "steps": max(1, pictures // batch)})
        tried = replace(tried, evaluate_every=max(1, tried.steps // 4), checkpoint_every=tried.steps)
        run = out / "trials" / str(trial.number)
        shutil.rmtree(run, ignore_errors=True)
        pruned = False

        def report(step: int, metrics: dict) -> bool:
            nonlocal pruned
            trial.report(metrics["scenes"]["iou_main"], step * batch)
            pruned = trial.should_prune()
            return pruned

        metrics = train(run, tried, data, backbone, start, report)
        for weights in run.glob("*.pt"):  # of a trial only its figures are kept
            weights.unlink()
        if pruned:
            raise optuna.TrialPruned
        return metrics["scenes"]["iou_main"]

    done = sum(t.state.is_finished() for t in study.trials)
    if done < wide:
        study.optimize(lambda t: objective(t, WIDE, BATCHES), n_trials=wide - done)
    best = dict(study.best_params)
    batch = int(study.best_trial.user_attrs["batch"])
    close = {k: (best[k] / NARROW_FACTOR, best[k] * NARROW_FACTOR) for k in WIDE}
    rest = wide + narrow - max(done, wide)
    if rest > 0:
        study.optimize(lambda t: objective(t, close, (batch,)), n_trials=rest)
    chosen = _with(
        config, {k: study.best_params[k] for k in WIDE} | {"batch": int(study.best_trial.user_attrs["batch"])}
    )
    (out / "best.json").write_text(json.dumps(asdict(chosen), indent=1) + "\n")
    _trials_csv(study, out / "trials.csv")
    for name, draw in (
        ("history", optuna_plots.plot_optimization_history),
        ("slice", optuna_plots.plot_slice),
    ):
        draw(study)
        plt.savefig(out / f"{name}.png", dpi=100, bbox_inches="tight")
        plt.close("all")
    return chosen


def crossval(out: Path, config: Config, samples: list[Sample], strata: list[str], folds: int, start: Path | None,
             backbone: Path | None) -> dict:  # fmt: skip
    """Stratified k-fold over label x scene kind; each photo is measured by the model that did not see it."""
    counts = Counter(strata)
    rare = sorted(s for s, n in counts.items() if n < folds)
    if len(samples) < 2 * folds or len(rare) == len(counts):
        raise DataError(f"{len(samples)} photos in strata {dict(counts)} are too few for {folds} folds")
    # Strata with fewer members than folds are put together, or they could not be spread.
    strata = ["rare" if s in rare else s for s in strata]
    splitter = StratifiedKFold(folds, shuffle=True, random_state=config.seed)
    table = []
    for fold, (learn, check) in enumerate(splitter.split(np.zeros(len(samples)), strata)):
        held = [samples[i] for i in check]
        run = out / f"fold{fold}"
        train(run, config, Data(None, [samples[i] for i in learn], {"held": held}), backbone, start)
        model, _ = load_run(run)
        rows = evaluate(torch_predictor(model, config.bf16), held, config.shape.side)
        judged = [i for i in check if len(samples[i].boxes)]
        for i, row in zip(judged, rows, strict=True):
            table.append([fold, strata[i], row.file, row.iou_main, row.iou_best, row.label_right])
    plots.write_csv(out / "folds.csv", ["fold", "stratum", "file", "iou_main", "iou_best", "label_right"], table)
    values = np.array([row[3] for row in table])
    result = {
        "photos": len(table), "iou_main": float(values.mean()), "iou_main_95": bootstrap(values),
        "by_fold": [float(np.mean([r[3] for r in table if r[0] == f])) for f in range(folds)],
        "by_stratum": {s: float(np.mean([r[3] for r in table if r[1] == s])) for s in sorted({r[1] for r in table})},
    }  # fmt: skip
    (out / "crossval.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def stratum(sample: Sample) -> str:
    """label x scene kind of a labelled photo: what is meant, and whether it is alone in view, small or large."""
    if not len(sample.boxes):
        return "empty"
    area = np.prod(sample.boxes[:, 2:] - sample.boxes[:, :2], 1)
    main = int(sample.main.argmax()) if sample.main.any() else int(area.argmax())
    height, width = sample.pixels().shape[:2]
    size = "small" if area[main] < 0.2 * width * height else "large"
    return f"{CLASSES[sample.labels[main] - 1]} {'alone' if len(sample.boxes) == 1 else 'several'} {size}"


def composed(assets: Assets, count: int, seed: int, kind: str | None = None) -> tuple[list[Sample], list[str]]:
    """Fixed scenes as labelled photos, with label x kind as their strata; those without a work are left out."""
    samples, strata = [], []
    for i in range(count):
        scene = make_scene(assets, seed, i, kind)
        height, width = scene.image.shape[:2]
        seen = counts(scene.boxes, scene.visible, width, height)
        if not seen.any():
            continue
        boxes, labels, outer = scene.boxes[seen], scene.labels[seen], scene.outer[seen]
        main = np.arange(len(boxes)) == prominence(outer, width, height).argmax()
        samples.append(Sample(Path(f"scene{i}"), boxes, labels, main, scene.boxes[~seen], scene.image, outer))
        strata.append(f"{CLASSES[labels[main.argmax()] - 1]} {scene.kind}")
    return samples, strata


def data_curve(out: Path, config: Config, data: Data, shares: list[float], start: Path | None,
               backbone: Path | None) -> dict:  # fmt: skip
    """Trains the same number of steps on shares of the data and asks whether more would help."""
    if sorted(shares) != shares or len(shares) < 3 or not 0 < shares[0] <= shares[-1] <= 1:
        raise DataError(f"shares {shares}: at least three, rising, between 0 and 1")
    quality, table = [], []
    rng = np.random.default_rng(config.seed)
    order = rng.permutation(len(data.photos))
    for share in shares:
        photos = [data.photos[i] for i in sorted(order[: max(1, round(share * len(order)))])] if len(order) else []
        assets = data.assets.part(share, config.seed) if data.assets else None
        run = out / f"share{share:g}"
        metrics = train(run, config, Data(assets, photos, data.validation), backbone, start)
        model, _ = load_run(run)
        names = list(data.validation) or ["scenes"]
        if data.validation:
            photos_all = [s for samples in data.validation.values() for s in samples]
            score = summary(evaluate(torch_predictor(model, config.bf16), photos_all, config.shape.side)).iou_best
        else:
            score = metrics["scenes"]["iou_main"]
        quality.append(score)
        table.append([share, score, *[metrics[n]["iou_main"] for n in names]])
    fit = power_law(np.array(shares), np.array(quality))
    plots.write_csv(out / "data-curve.csv", ["share", "iou_best", *[f"{n}_iou_main" for n in names]], table)
    plots.data_curve(out / "data-curve.png", shares, quality, fit)
    double = fit[0] - fit[1] * 2 ** -fit[2]
    result = {"shares": shares, "iou": quality, "fit": fit, "at_twice_the_data": double}
    (out / "data-curve.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def power_law(shares: np.ndarray, quality: np.ndarray) -> tuple[float, float, float]:
    """(a, b, c) of quality = a - b * share^-c, a at most 1."""

    def law(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a - b * x**-c

    bounds = ([0.0, 0.0, 0.01], [1.0, 1.0, 3.0])
    guess = (min(1.0, float(quality.max()) + 0.02), 0.02, 0.5)
    values, _ = curve_fit(law, shares, quality, p0=guess, bounds=bounds, maxfev=20_000)
    return tuple(float(v) for v in values)


def _with(config: Config, values: dict) -> Config:
    losses = {k: values.pop(k) for k in ("box", "salience") if k in values}
    return replace(config, **values, weights=replace(config.weights, **losses))


def _trials_csv(study: optuna.Study, path: Path) -> None:
    names = sorted({k for t in study.trials for k in t.params})
    rows = [[t.number, t.state.name, t.value, *[t.params.get(n) for n in names]] for t in study.trials]
    plots.write_csv(path, ["trial", "state", "iou", *names], rows)
