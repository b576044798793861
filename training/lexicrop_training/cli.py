"""The command line: every step from pictures to a served model, one subcommand each."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch

from lexicrop_training import contract, hardcases, plots, quantize, studies, zoo
from lexicrop_training.assets import Assets, load_assets
from lexicrop_training.backbone import packaged_weights
from lexicrop_training.batches import Examples
from lexicrop_training.embed_network import Mirrored
from lexicrop_training.embed_training import EmbedConfig, load_embedder, torch_embed, train_embedder
from lexicrop_training.embed_views import make_pictures, views
from lexicrop_training.evaluation import MISS, Predictor, Row, evaluate, report, torch_predictor
from lexicrop_training.export import export, onnx_predictor, openvino_predictor
from lexicrop_training.geometry import letterbox
from lexicrop_training.retrieval import Embed, embed_all, milliseconds, once, onnx_embed, openvino_embed
from lexicrop_training.retrieval import report as retrieval_report
from lexicrop_training.retrieval import search as retrieval_search
from lexicrop_training.retrieval_photos import (
    Split,
    again_trial,
    gallery_trial,
    make_trial,
    split_works,
    turned_trial,
)
from lexicrop_training.samples import CLASSES, DataError, Sample, check_readable, read_any
from lexicrop_training.scenes import KINDS, make_scene
from lexicrop_training.trainer import Config, Data, load_run, load_runs, read_config, train


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        options.command(options)
    except DataError as err:
        print(f"lexicrop-train: {err}", file=sys.stderr)
        return 1
    return 0


# --- commands ---


def _data(o: argparse.Namespace) -> None:
    """Checks everything, says what there is, and draws scenes or writes them as a data set."""
    document: dict = {"sets": {}}
    for path in o.photos:
        samples = read_any(path, o.images)
        check_readable(samples)
        strata = [studies.stratum(s) for s in samples]
        document["sets"][str(path)] = {s: strata.count(s) for s in sorted(set(strata))}
    if o.assets:
        assets = load_assets(o.assets)
        document["assets"] = {
            "artworks": len(assets.artworks), "backgrounds": len(assets.backgrounds),
            "cutouts": len(assets.cutouts), "object_photos": len(assets.object_photos),
        }  # fmt: skip
        scenes = [make_scene(assets, o.seed, i) for i in range(o.scenes)]
        kinds = [s.kind for s in scenes]
        document["scenes"] = {k: kinds.count(k) for k in sorted(set(kinds))}
        if scenes:
            colours = (plots.GREEN, plots.BLUE)
            plots.sheet(
                o.out / "scenes.png",
                [(s.image, [(b, colours[c - 1]) for b, c in zip(s.boxes, s.labels, strict=True)], s.kind)
                 for s in scenes[:60]], columns=10, cell=180,
            )  # fmt: skip
        if o.write:
            _write_coco(o.out, scenes)
    if not document["sets"] and not o.assets:
        raise DataError("name --assets, --photos or both")
    _print(document, o.out / "data.json")


def _train(o: argparse.Namespace) -> None:
    config = _config(o)
    data = Data(_assets(o), _photos(o), _validation(o))
    for samples in (data.photos, *data.validation.values()):
        check_readable(samples)
    _print(train(o.run, config, data, _backbone(o, config), o.start))
    plots.learning_curves(o.run)


def _tune(o: argparse.Namespace) -> None:
    config = _config(o)
    chosen = studies.tune(
        o.out, config, Data(_assets(o), _photos(o), {}), o.wide, o.narrow, _backbone(o, config), o.start
    )
    _print(asdict(chosen))


def _crossval(o: argparse.Namespace) -> None:
    config = _config(o)
    samples = [s.with_image(s.pixels()) for s in _photos(o)]
    strata = [studies.stratum(s) for s in samples]
    if o.scenes:
        assets = _assets(o)
        if assets is None:
            raise DataError("--scenes needs --assets")
        made, kinds = studies.composed(assets, o.scenes, config.seed)
        samples, strata = samples + made, strata + kinds
    _print(studies.crossval(o.out, config, samples, strata, o.folds, o.start, _backbone(o, config)))


def _learning_curve(o: argparse.Namespace) -> None:
    if o.of:
        print(*plots.learning_curves(o.of), sep="\n")
        return
    config = _config(o)
    data = Data(_assets(o), _photos(o), _validation(o))
    _print(studies.data_curve(o.out, config, data, o.shares, o.start, _backbone(o, config)))


def _evaluate(o: argparse.Namespace) -> None:
    predict, side = _predictor(o.model, o.checkpoint, o.engine)
    document: dict = {"model": str(o.model), "engine": o.engine, "sets": {}}
    sets = {path.stem: read_any(path, o.images) for path in o.photos}
    if len(sets) < len(o.photos):
        raise DataError("two sets of --photos have the same name, and their results would, too")
    if o.scenes:
        assets = _assets(o)
        if assets is None:
            raise DataError("--scenes needs --assets")
        sets |= {k: studies.composed(assets, o.scenes, o.seed, k)[0] for k in KINDS if k != "empty"}
    if not sets:
        raise DataError("name --photos, or --assets with --scenes")
    for name, samples in sets.items():
        rows = evaluate(predict, samples, side)
        if not rows:
            raise DataError(f"{name}: no picture with a work in it")
        document["sets"][name] = report(rows)
        plots.write_csv(
            o.out / f"{name}.csv",
            ["file", "iou_main", "iou_best", "label", "label_right", "score", "x1", "y1", "x2", "y2"],
            [[r.file, r.iou_main, r.iou_best, CLASSES[r.label - 1], r.label_right, r.score, *r.box] for r in rows],
        )
        _worst(o.out / f"{name}-worst.png", rows, samples, o.worst)
    print(
        f"{'set':<16}{'photos':>7}{'IoU main':>10}{'missed':>8}{'IoU best':>10}{'missed':>8}{'label':>8}{'choice':>8}"
    )
    for name, r in document["sets"].items():
        print(
            f"{name:<16}{r['photos']:>7}{100 * r['iou_main']:>9.1f}%{r['misses_main']:>8}"
            f"{100 * r['iou_best']:>9.1f}%{r['misses_best']:>8}{100 * r['labels_right']:>7.0f}%"
            + ("" if r["choice_right"] is None else f"{100 * r['choice_right']:>7.0f}%")
        )
    _write_json(o.out / "evaluation.json", document)


def _hard_cases(o: argparse.Namespace) -> None:
    predict, side = _predictor(o.model, o.checkpoint, o.engine)
    second = _predictor(o.second, "model.pt", o.engine)[0] if o.second else None
    cases = hardcases.rank(o.pictures, predict, side, second)
    hardcases.write(o.out, cases, o.shown)
    for case in cases[: o.shown]:
        print(f"{case.score:.3f}  {case.path}")


def _export(o: argparse.Namespace) -> None:
    model, config = load_runs([o.run, *o.also], o.checkpoint)
    if o.rank:
        if not o.assets:
            raise DataError("--rank needs --assets: pictures to see what may be left out")
        shown = Examples(load_assets(o.assets), [], config.shape.side, THIN_SEED, 0.0, 96, config.kinds)
        kept = model.thin(torch.from_numpy(np.stack([shown[i].image for i in range(len(shown))])), o.rank)
        print(f"fc1 by {o.rank} directions: {kept:.2%} of its variance")
    export(model, o.out, config.shape.side, half=not o.full)
    images = np.full((4, config.shape.side, config.shape.side, 3), 114, np.uint8)
    images[1:] = np.random.default_rng(0).integers(0, 256, images[1:].shape)
    for predict in (onnx_predictor(o.out), openvino_predictor(o.out)):
        if not all(np.isfinite(part).all() for part in predict(images)):
            raise DataError(f"{o.out}: the exported model answers with numbers that are not finite")
    print(f"{o.out}: {o.out.stat().st_size / 1e6:.1f} MB")
    if o.sign:
        print("fingerprint", contract.sign(o.sign))


def _quantize(o: argparse.Namespace) -> None:
    samples = [s for path in o.photos for s in read_any(path, o.images)]
    assets = _assets(o)
    if assets is None:
        raise DataError("quantize calibrates on composed scenes: name --assets")
    side = _side(o.model)
    images = [letterbox(make_scene(assets, 77, i).image, side)[0] for i in range(o.calibration)]
    held, _ = studies.composed(assets, o.judged, 78)
    keep: list[str] = []
    document: dict = {}
    if o.leave:
        keep, losses = quantize.sensitive(o.model, images, held, side, o.method, o.leave)
        document["sensitivity"] = losses
    quantize.quantize(o.model, o.out, images, o.method, keep)
    document["kept_in_float"] = keep
    engines = {
        "onnxruntime": onnx_predictor, "openvino-f32": openvino_predictor,
        "openvino-bf16": lambda p: openvino_predictor(p, "bf16"),
    }  # fmt: skip
    for label, path in (("float", o.model), ("int8", o.out)):
        for engine, make in engines.items():
            predict = make(path)
            entry = quantize.latency(predict, side)
            if samples:
                entry |= report(evaluate(predict, samples, side))
            document[f"{label} {engine}"] = entry
    _print(document, o.out.with_suffix(".json"))


def _torchvision(o: argparse.Namespace) -> None:
    model = zoo.build(o.name, o.weights, o.side)
    examples = Examples(_assets(o), _photos(o), o.side, o.seed, o.real_share, o.steps * o.batch)
    history = zoo.finetune(model, examples, o.steps, o.batch, o.lr, o.workers)
    o.out.mkdir(parents=True, exist_ok=True)
    plots.write_csv(o.out / "loss.csv", ["step", "loss"], list(enumerate(history, 1)))
    zoo.export_original(model, o.out / "original.onnx")
    zoo.export_fixed(model, o.out / "fixed.onnx", o.side)
    print(o.out / "original.onnx", o.out / "fixed.onnx", sep="\n")


def _train_embedder(o: argparse.Namespace) -> None:
    names = ("steps", "minutes", "instances", "side", "seed", "lr", "lr_backbone", "fitted", "workers", "threads")
    config = replace(EmbedConfig(), **{n: getattr(o, n) for n in names if getattr(o, n) is not None})
    if min(config.steps, config.fitted) < 1 or not 2 <= config.instances <= config.memory // 2 or config.side < 32:
        raise DataError(f"--steps and --fitted from 1, --instances from 2 to {config.memory // 2}, --side from 32")
    split = split_works(o.assets / "artworks", o.same)
    # Small, because it is embedded again and again: one photo of each held-out work against the held-out works.
    trial = make_trial(Split([], split.held, []), _walls(o), SERVED_SIDE, 1, 7)
    pictures = make_pictures(split.train, load_assets(o.assets))
    _print(train_embedder(o.run, config, pictures, trial, packaged_weights(config.variant)))


def _export_embedder(o: argparse.Namespace) -> None:
    models = [load_embedder(run, o.checkpoint) for run in (o.run, *o.also)]
    states = [m.state_dict() for m in models]
    models[0].load_state_dict({k: sum(s[k] for s in states) / len(states) for k in states[0]})
    pictures = make_pictures(split_works(o.assets / "artworks", o.same).train, load_assets(o.assets))
    shown = views(pictures, JOIN_SEED, 32, SERVED_SIDE, o.fitted)
    _write_embedder(Mirrored(models[0], shown), o.out, o.sign)


def _write_embedder(model: Mirrored, out: Path, sign: Path | None) -> None:
    export(model, out, SERVED_SIDE, ("embedding",))
    images = np.random.default_rng(0).integers(0, 256, (2, SERVED_SIDE, SERVED_SIDE, 3), dtype=np.uint8)
    images[0] = 0
    for embed in (onnx_embed(out), openvino_embed(out)):
        if not np.allclose(np.linalg.norm(embed(images), axis=1), 1, atol=0.01):
            raise DataError(f"{out}: the exported model's vectors are not of length 1")
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    if sign:
        print("fingerprint", contract.sign(sign))


def _retrieval(o: argparse.Namespace) -> None:
    """Every model on the same photos: of held-out works, of a gallery, of photos again, and of turned pictures."""
    split, walls = split_works(o.assets / "artworks", o.same), _walls(o)
    trials = {
        "held out": make_trial(split, walls, o.side, o.views, o.seed, o.resize),
        "photos again": again_trial(split, walls, o.side, o.views, o.seed, o.resize, o.same),
        "rotated": turned_trial(split, o.side, "rotated", o.resize),
        "mirrored": turned_trial(split, o.side, "mirrored", o.resize),
    }
    if o.gallery:
        trials["gallery"] = gallery_trial(split, o.gallery, o.gallery_photos, o.side, o.resize)
    document: dict = {}
    columns = ("recall@1", "recall@5", "micro_ap", "auc_wrong", "auc_outside", "right_median", "wrong_p95", "threshold",
               "recall_above_threshold")  # fmt: skip
    print(f"{'model':<28}{'photos':<20}" + "".join(f"{c[:11]:>12}" for c in columns))
    for model in o.models:
        embed = _embed(model, o)
        name = f"{model.parent.name}/{model.name}"
        document[name] = {"engine": o.engine} | milliseconds(embed, trials["held out"].photos[0])
        embed = once(embed)
        for kind, trial in trials.items():
            catalogue, photos = embed_all(embed, trial.catalogue), embed_all(embed, trial.photos)
            found = retrieval_report(*retrieval_search(catalogue, photos, trial.work))
            document[name][kind] = found
            values = "".join(f"{found[c]:>12.4f}" if c in found else f"{'':>12}" for c in columns)
            print(f"{name[-27:]:<28}{kind + ' ' + str(found['photos']):<20}{values}", flush=True)
    _write_json(o.out, document)


# --- what commands share ---

SERVED_SIDE = 224  # of the embedder's input
THIN_SEED = 424_242  # of the scenes that show which directions of the box head matter
JOIN_SEED = 99  # of the views that the exported embedder is fitted to


def _walls(o: argparse.Namespace) -> list[Sample]:
    """The photos of framed works that test photos are made of."""
    walls = [s for path in o.walls for s in read_any(path) if s.main.any()]
    if not walls:
        raise DataError("name photos of framed works, labelled, by --walls")
    return walls


def _embed(model: Path, o: argparse.Namespace) -> Embed:
    if model.is_dir():
        return torch_embed(load_embedder(model, o.checkpoint))
    if not model.exists():
        raise DataError(f"{model}: no such file")
    return onnx_embed(model) if o.engine == "onnxruntime" else openvino_embed(model, o.engine.removeprefix("openvino-"))


def _config(o: argparse.Namespace) -> Config:
    config = read_config(o.config) if o.config else Config()
    names = (
        "steps",
        "batch",
        "seed",
        "lr",
        "minutes",
        "workers",
        "threads",
        "real_share",
        "backbone",
        "evaluate_every",
    )
    config = replace(config, **{n: getattr(o, n) for n in names if getattr(o, n) is not None})
    if o.kinds:
        config = replace(config, kinds=config.kinds | dict(o.kinds))
        if not sum(config.kinds.values()):
            raise DataError("--kinds: no kind of scene is left")
    if o.side is not None:
        config = replace(config, shape=replace(config.shape, side=o.side))
    if config.shape.side % 32:
        raise DataError(f"--side {config.shape.side}: must be a multiple of 32")
    if config.steps < 1 or config.batch < 1:
        raise DataError("--steps and --batch must be at least 1")
    return config


def _assets(o: argparse.Namespace) -> Assets | None:
    return load_assets(o.assets) if o.assets else None


def _photos(o: argparse.Namespace) -> list[Sample]:
    return [s for path in o.photos for s in read_any(path, o.images)]


def _validation(o: argparse.Namespace) -> dict[str, list[Sample]]:
    return {path.stem: read_any(path, o.images) for path in o.validation}


def _backbone(o: argparse.Namespace, config: Config) -> Path | None:
    return o.backbone_weights or packaged_weights(config.backbone)


def _predictor(model: Path, checkpoint: str, engine: str) -> tuple[Predictor, int]:
    if model.is_dir():
        network, config = load_run(model, checkpoint)
        return torch_predictor(network), config.shape.side
    if not model.exists():
        raise DataError(f"{model}: no such file")
    side = _side(model)
    if engine == "onnxruntime":
        return onnx_predictor(model), side
    return openvino_predictor(model, engine.removeprefix("openvino-")), side


def _side(model: Path) -> int:
    if not model.exists():
        raise DataError(f"{model}: no such file")
    shape = onnx.load(str(model)).graph.input[0].type.tensor_type.shape.dim
    if len(shape) != 4 or shape[1].dim_value != shape[2].dim_value:
        raise DataError(f"{model}: the input is not [batch,side,side,3]")
    return shape[1].dim_value


def _worst(path: Path, rows: list[Row], samples: list[Sample], count: int) -> None:
    with_works = [s for s in samples if len(s.boxes)]
    order = np.argsort([r.iou_main for r in rows])[:count]
    items = []
    for i in order:
        sample, row = with_works[i], rows[i]
        colour = plots.RED if row.iou_main < MISS else plots.ORANGE
        boxes = [(b, plots.GREEN if m else plots.BLUE) for b, m in zip(sample.boxes, sample.main, strict=True)]
        items.append((sample.pixels(), [*boxes, (row.box, colour)], f"{row.file} {row.iou_main:.2f}"))
    plots.sheet(path, items, columns=4, cell=300)


def _write_coco(out: Path, scenes: list) -> None:
    (out / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i, scene in enumerate(scenes):
        name = f"{i:06d}.jpg"
        cv2.imwrite(str(out / "images" / name), scene.image[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 92))
        images.append({"id": i, "file_name": name, "width": scene.image.shape[1], "height": scene.image.shape[0]})
        for box, label in zip(scene.boxes, scene.labels, strict=True):
            x0, y0, x1, y1 = (float(v) for v in box)
            annotations.append(
                {"id": len(annotations), "image_id": i, "category_id": int(label), "iscrowd": 0,
                 "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
            )  # fmt: skip
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    _write_json(out / "coco.json", {"images": images, "annotations": annotations, "categories": categories})


def _print(document: dict, path: Path | None = None) -> None:
    print(json.dumps(document, indent=1))
    if path is not None:
        _write_json(path, document)


def _write_json(path: Path, document: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lexicrop-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str, *groups) -> argparse.ArgumentParser:  # noqa: ANN001, ANN002
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=run)
        for group in groups:
            group(sub)
        return sub

    sub = command("data", _data, "check data sets; draw composed scenes or write them as COCO", _sources)
    sub.add_argument("--scenes", type=int, default=60, help="number of scenes to compose")
    sub.add_argument("--write", action="store_true", help="write the scenes with coco.json")
    sub.add_argument("--seed", type=int, default=1)
    sub.add_argument("--out", type=Path, default=Path("build/data"))

    sub = command("train", _train, "train in a run folder; an unfinished run goes on", _sources, _settings)
    sub.add_argument("run", type=Path)
    sub.add_argument("--validation", type=Path, action="append", default=[], metavar="SET")

    sub = command("tune", _tune, "search hyper-parameters: wide, then narrow", _sources, _settings)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--wide", type=int, default=20, help="trials of the wide stage")
    sub.add_argument("--narrow", type=int, default=10, help="trials of the narrow stage")

    sub = command("crossval", _crossval, "stratified k-fold over label x scene kind", _sources, _settings)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--folds", type=int, default=5)
    sub.add_argument("--scenes", type=int, default=0, help="composed scenes to add to the photos")

    sub = command("learning-curve", _learning_curve, "curves of a run, or quality against share of the data",
                  _sources, _settings)  # fmt: skip
    sub.add_argument("--of", type=Path, metavar="RUN", help="only draw the learning curves of this run")
    sub.add_argument("--out", type=Path, default=Path("build/learning-curve"))
    sub.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.25, 0.5, 1.0])
    sub.add_argument("--validation", type=Path, action="append", default=[], metavar="SET")

    sub = command("evaluate", _evaluate, "IoU and misses on labelled photos, worst cases as pictures", _sources, _model)
    sub.add_argument("--out", type=Path, default=Path("build/evaluation"))
    sub.add_argument("--worst", type=int, default=12)
    sub.add_argument("--scenes", type=int, default=0, help="composed scenes of each kind, too (needs --assets)")
    sub.add_argument("--seed", type=int, default=5_000_011, help="of the scenes; no run may have trained on it")

    sub = command("hard-cases", _hard_cases, "rank unlabelled photos by how much they would teach", _model)
    sub.add_argument("pictures", type=Path)
    sub.add_argument("--second", type=Path, help="another run or ONNX file to disagree with")
    sub.add_argument("--out", type=Path, default=Path("build/hard-cases"))
    sub.add_argument("--shown", type=int, default=48)

    sub = command("export", _export, "write the ONNX file of a run")
    sub.add_argument("run", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument(
        "--with", dest="also", type=Path, action="append", default=[], metavar="RUN",
        help="average with the weights of this run, which began with the same weights; repeatable",
    )  # fmt: skip
    sub.add_argument("--checkpoint", default="model.pt")
    sub.add_argument("--full", action="store_true", help="store weights as float32")
    sub.add_argument("--rank", type=int, help="thin the box head's first layer to so many directions (needs --assets)")
    sub.add_argument("--assets", type=Path, metavar="FOLDER", help="pictures that scenes are composed of")
    sub.add_argument("--sign", type=Path, metavar="MODEL_FOLDER", help="write the fingerprint into its configs")

    sub = command("quantize", _quantize, "static int8 of an exported model, measured against float", _sources)
    sub.add_argument("model", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument("--method", choices=sorted(quantize.METHODS), default="percentile")
    sub.add_argument("--calibration", type=int, default=64, help="scenes to calibrate on")
    sub.add_argument("--judged", type=int, default=48, help="scenes that layers are judged by")
    sub.add_argument("--leave", type=int, default=0, help="measure each group of layers; leave this many in float")

    sub = command("torchvision", _torchvision, "fine-tune a torchvision Faster R-CNN and export it both ways", _sources)
    sub.add_argument("name", choices=zoo.MODELS)
    sub.add_argument("--weights", type=Path, help="torchvision's COCO checkpoint; without it: random weights")
    sub.add_argument("--side", type=int, default=320)
    sub.add_argument("--steps", type=int, default=2000)
    sub.add_argument("--batch", type=int, default=8)
    sub.add_argument("--lr", type=float, default=5e-3)
    sub.add_argument("--seed", type=int, default=1)
    sub.add_argument("--workers", type=int, default=1)
    sub.add_argument("--real-share", type=float, default=0.5)
    sub.add_argument("--out", type=Path, required=True)

    sub = command("train-embedder", _train_embedder, "train the embedder in a run folder; an unfinished run goes on",
                  _works)  # fmt: skip
    sub.add_argument("run", type=Path)
    sub.add_argument("--steps", type=int)
    sub.add_argument("--minutes", type=float, help="end the schedule after this time at the latest")
    sub.add_argument("--instances", type=int, help="pictures in a batch, two views of each")
    sub.add_argument("--side", type=int, help="of the views, in pixels")
    sub.add_argument("--seed", type=int)
    sub.add_argument("--lr", type=float)
    sub.add_argument("--lr-backbone", type=float)
    sub.add_argument("--fitted", type=int, help="views that the first projection is fitted to")
    sub.add_argument("--workers", type=int)
    sub.add_argument("--threads", type=int)

    sub = command("export-embedder", _export_embedder, "write the ONNX file of a run of the embedder", _artworks)
    sub.add_argument("run", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument("--with", dest="also", type=Path, action="append", default=[], metavar="RUN",
                     help="average with the weights of this run; repeatable")  # fmt: skip
    sub.add_argument("--checkpoint", default="model.pt")
    sub.add_argument("--fitted", type=int, default=2560, help="views of pictures that the joining is fitted to")
    sub.add_argument("--sign", type=Path, metavar="MODEL_FOLDER", help="write the fingerprint into its configs")

    sub = command("retrieval", _retrieval, "how well embedders find works again", _works)
    sub.add_argument("models", type=Path, nargs="+", help="ONNX files or runs' folders")
    sub.add_argument("--gallery", type=Path, metavar="CSV", help="file,x1,y1,x2,y2,work of real photos")
    sub.add_argument("--gallery-photos", type=Path, metavar="FOLDER", help="where the photos of --gallery are")
    sub.add_argument("--checkpoint", default="model.pt")
    sub.add_argument("--engine", choices=("onnxruntime", "openvino-f32", "openvino-bf16"), default="openvino-bf16")
    sub.add_argument("--resize", choices=("stretch", "letterbox"), default="stretch")
    sub.add_argument("--side", type=int, default=SERVED_SIDE)
    sub.add_argument("--views", type=int, default=2, help="photos of each work")
    sub.add_argument("--seed", type=int, default=7)
    sub.add_argument("--out", type=Path, default=Path("build/retrieval.json"))
    return parser


def _artworks(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--assets", type=Path, required=True, metavar="FOLDER", help="with artworks/ and the rest")
    sub.add_argument("--same", type=Path, metavar="FILE", help="names of pictures of the same work, a work a line")


def _works(sub: argparse.ArgumentParser) -> None:
    _artworks(sub)
    sub.add_argument("--walls", type=Path, action="append", default=[], metavar="SET",
                     help="labelled photos of framed works, which test photos are made of; repeatable")  # fmt: skip


def _sources(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--assets", type=Path, metavar="FOLDER", help="pictures that scenes are composed of")
    sub.add_argument("--photos", type=Path, action="append", default=[], metavar="SET",
                     help="labelled photos: a folder with labels.json, COCO .json, or .csv; repeatable")  # fmt: skip
    sub.add_argument("--images", type=Path, metavar="FOLDER", help="where the pictures of a COCO or CSV file are")


def _settings(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--config", type=Path, help="config.json of a run, or best.json of tune")
    sub.add_argument("--start", type=Path, metavar="ONNX", help="begin with the weights of this export")
    sub.add_argument("--backbone", choices=("mobilenet", "lite0", "lite1", "lite2"))
    sub.add_argument(
        "--backbone-weights", type=Path, help=".npz (mobilenet) or .pth (lite); lite also finds its package"
    )
    sub.add_argument("--steps", type=int)
    sub.add_argument("--batch", type=int)
    sub.add_argument("--seed", type=int)
    sub.add_argument("--lr", type=float)
    sub.add_argument("--side", type=int)
    sub.add_argument("--minutes", type=float, help="end the schedule after this time at the latest")
    sub.add_argument("--workers", type=int)
    sub.add_argument("--threads", type=int)
    sub.add_argument("--real-share", type=float, help="share of labelled photos among the examples")
    sub.add_argument("--evaluate-every", type=int)
    sub.add_argument("--kinds", type=_share, nargs="+", metavar="KIND=SHARE",
                     help=f"shares of kinds of composed scenes, for those named: {', '.join(KINDS)}")  # fmt: skip


def _share(text: str) -> tuple[str, float]:
    kind, _, share = text.partition("=")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"no kind of scene {kind!r}; there are {', '.join(KINDS)}")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: the share must be a number of at least 0")
    return kind, value


def _model(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", type=Path, help="a run's folder or an ONNX file")
    sub.add_argument("--checkpoint", default="model.pt")
    sub.add_argument("--engine", choices=("onnxruntime", "openvino-f32", "openvino-bf16"), default="onnxruntime")
