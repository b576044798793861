"""The commands around training, each run for real on very little."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lexicrop_training import hardcases, plots, studies
from lexicrop_training.assets import Assets, load_assets
from lexicrop_training.batches import Examples
from lexicrop_training.cli import main
from lexicrop_training.detector import Shape
from lexicrop_training.evaluation import bootstrap, evaluate, report, summary
from lexicrop_training.geometry import prominence
from lexicrop_training.samples import DataError, Sample
from lexicrop_training.scenes import KINDS
from lexicrop_training.trainer import Config, Data, read_config, train

TINY = Config(
    steps=2, batch=2, warmup=1, bf16=False, evaluate_every=1, checkpoint_every=2, validation_scenes=4, workers=0,
    shape=Shape(side=128, channels=16, hidden=32),
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, assets: Assets) -> Path:
    """The made-up assets as a folder of files."""
    folder = tmp_path_factory.mktemp("assets")
    for name, images in (("artworks", assets.artworks), ("backgrounds", assets.backgrounds)):
        (folder / name).mkdir()
        for i, image in enumerate(images):
            cv2.imwrite(str(folder / name / f"{i}.png"), image[:, :, ::-1])
    (folder / "objects").mkdir()
    for i, cut in enumerate(assets.cutouts):
        cv2.imwrite(str(folder / "objects" / f"{i}.webp"), cut[:, :, [2, 1, 0, 3]])
    (folder / "object_photos").mkdir()
    labels = []
    for sample in assets.object_photos:
        name = f"{sample.path.name}.png"
        cv2.imwrite(str(folder / "object_photos" / name), sample.image[:, :, ::-1])
        work = {"inner": sample.boxes[0].tolist(), "kind": "object", "main": True}
        labels.append({"file": name, "w": 140, "h": 120, "works": [work]})
    (folder / "object_photos" / "labels.json").write_text(json.dumps(labels))
    return folder


def test_tuning_goes_wide_then_narrow_and_can_be_continued(tmp_path: Path, assets: Assets) -> None:
    best = studies.tune(tmp_path, TINY, Data(assets, [], {}), 2, 1, None, None)
    for name in ("study.db", "best.json", "trials.csv", "history.png", "slice.png"):
        assert (tmp_path / name).stat().st_size > 0, name
    assert read_config(tmp_path / "best.json") == best
    rows = (tmp_path / "trials.csv").read_text().splitlines()
    assert len(rows) == 4
    again = studies.tune(tmp_path, TINY, Data(assets, [], {}), 2, 1, None, None)
    assert again == best
    assert (tmp_path / "trials.csv").read_text().splitlines() == rows


def test_cross_validation_measures_each_picture_once(tmp_path: Path, assets: Assets) -> None:
    samples, strata = studies.composed(assets, 14, 1)
    result = studies.crossval(tmp_path, TINY, samples, strata, 2, None, None)
    files = [line.split(",")[2] for line in (tmp_path / "folds.csv").read_text().splitlines()[1:]]
    measured = [s.path.name for s in samples if len(s.boxes)]
    assert sorted(files) == sorted(measured)
    assert result["photos"] == len(measured)
    assert len(result["by_fold"]) == 2


def test_too_few_photos_for_the_folds_are_refused(tmp_path: Path, assets: Assets) -> None:
    with pytest.raises(DataError, match="too few for 5 folds"):
        studies.crossval(tmp_path, TINY, assets.object_photos, ["object"] * 3, 5, None, None)


def test_a_stratum_tells_label_company_and_size(assets: Assets) -> None:
    photo = assets.object_photos[0]
    assert studies.stratum(photo) == "object alone large"
    two = replace(photo, boxes=np.array([[0, 0, 20, 20], [50, 50, 90, 90]], np.float32), labels=np.array([1, 2]))
    assert studies.stratum(replace(two, main=np.array([True, False]))) == "painting several small"
    assert studies.stratum(Sample(photo.path, np.zeros((0, 4)), np.zeros(0), np.zeros(0, bool))) == "empty"


def test_the_data_curve_trains_on_each_share(tmp_path: Path, assets: Assets) -> None:
    data = Data(assets, [], {"own": assets.object_photos})
    result = studies.data_curve(tmp_path, TINY, data, [0.3, 0.6, 1.0], None, None)
    assert len(result["iou"]) == 3
    assert (tmp_path / "data-curve.png").exists()
    assert len((tmp_path / "data-curve.csv").read_text().splitlines()) == 4


def test_a_power_law_is_found_again() -> None:
    shares = np.array([0.1, 0.25, 0.5, 1.0])
    a, b, c = studies.power_law(shares, 0.92 - 0.03 * shares**-0.6)
    assert (a, b, c) == (pytest.approx(0.92, abs=2e-3), pytest.approx(0.03, abs=2e-3), pytest.approx(0.6, abs=0.05))


def test_parts_of_the_assets_are_nested_in_size(assets: Assets) -> None:
    part = assets.part(0.4, 1)
    assert len(part.artworks) == len(part.square) == 2
    assert len(part.cutouts) == 2
    assert len(part.object_photos) == 1


def test_learning_curves_are_drawn_and_written(tmp_path: Path, assets: Assets) -> None:
    train(tmp_path, TINY, Data(assets, [], {"own": assets.object_photos}))
    picture, table = plots.learning_curves(tmp_path)
    assert picture.stat().st_size > 1000
    header, *rows = table.read_text().splitlines()
    assert header.startswith("step,pictures,loss,validation_loss,scenes_iou_main")
    assert len(rows) == 2


def _sure(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the bright part of each picture, wherever it is."""
    boxes = np.zeros((len(images), 2, 4), np.float32)
    for i, image in enumerate(images):
        ys, xs = np.nonzero(image[:, :, 0] > 200)
        boxes[i, 0] = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, 9, 9)
    probs = np.tile(np.array([0, 1, 0], np.float32), (len(images), 2, 1))
    return boxes, probs, np.tile(np.array([0.9, 0.0], np.float32), (len(images), 1))


def test_evaluation_maps_boxes_back_and_counts_misses() -> None:
    image = np.zeros((200, 100, 3), np.uint8)
    image[40:160, 20:70] = 255
    right = Sample(Path("a"), np.array([[20, 40, 70, 160]], np.float32), np.array([1]), np.array([True]), image=image)
    wrong = replace(right, boxes=np.array([[70, 160, 99, 199]], np.float32), labels=np.array([2]))
    rows = evaluate(_sure, [right, wrong], 320)
    assert rows[0].iou_main > 0.95
    assert rows[0].label_right
    assert rows[1].iou_main == 0
    found = report(rows)
    assert (found["misses_main"], found["labels_right"]) == (1, 0.5)


def test_what_may_be_ignored_is_no_miss_of_the_best_match() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[10:50, 10:50] = 255
    sample = Sample(
        Path("a"), np.array([[60, 60, 90, 90]], np.float32), np.array([1]), np.array([True]),
        np.array([[10, 10, 50, 50]], np.float32), image,
    )  # fmt: skip
    (row,) = evaluate(_sure, [sample], 320)
    assert row.iou_best > 0.9
    assert row.iou_main == 0


def test_the_bootstrap_covers_what_it_should() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for i in range(100):
        low, high = bootstrap(rng.normal(0.8, 0.1, 60), seed=i, rounds=500)
        covered += low <= 0.8 <= high
    assert 86 <= covered <= 100


def test_hard_cases_come_first(tmp_path: Path) -> None:
    easy, hard = np.zeros((80, 80, 3), np.uint8), np.zeros((80, 80, 3), np.uint8)
    easy[20:60, 20:60] = 255
    hard[20:60, 5:30] = 255  # the second opinion below sees the left half only

    def second(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes, probs, salience = _sure(images)
        if boxes[0, 0, 0] < 60:
            boxes[:, 0, 2] = boxes[:, 0, 0] + 10
        return boxes, probs, salience

    cv2.imwrite(str(tmp_path / "easy.png"), easy)
    cv2.imwrite(str(tmp_path / "hard.png"), hard)
    cases = hardcases.rank(tmp_path, _sure, 320, second)
    assert [c.path.name for c in cases] == ["hard.png", "easy.png"]
    assert cases[0].disagreement > 0.5 > cases[1].disagreement
    hardcases.write(tmp_path / "out", cases)
    assert (tmp_path / "out" / "hard-cases.png").exists()
    assert len((tmp_path / "out" / "hard-cases.csv").read_text().splitlines()) == 3


def test_assets_are_read_from_files(pictures: Path, assets: Assets) -> None:
    read = load_assets(pictures)
    np.testing.assert_array_equal(read.artworks[0], assets.artworks[0])
    assert len(read.cutouts) == 4
    np.testing.assert_allclose(read.object_photos[0].boxes, assets.object_photos[0].boxes)


def test_works_of_the_validation_gallery_are_held_back(pictures: Path) -> None:
    path = pictures / "artworks" / "estense_x.png"
    cv2.imwrite(str(path), np.zeros((9, 9, 3), np.uint8))
    try:
        assert len(load_assets(pictures).artworks) == 5
    finally:
        path.unlink()


def test_the_commands_go_from_pictures_to_a_model(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos = str(pictures / "object_photos")
    assert main(["data", "--assets", str(pictures), "--photos", photos, "--scenes", "6", "--write",
                 "--out", str(tmp_path / "data")]) == 0  # fmt: skip
    coco = str(tmp_path / "data" / "coco.json")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"shape": {"side": 128, "channels": 16, "hidden": 32}, "bf16": False, "warmup": 1,
                                  "validation_scenes": 2, "workers": 0}))  # fmt: skip
    run = str(tmp_path / "run")
    assert main(["train", run, "--config", str(config), "--photos", coco, "--images", str(tmp_path / "data/images"),
                 "--validation", photos, "--steps", "2", "--batch", "2"]) == 0  # fmt: skip
    assert (tmp_path / "run" / "curves.png").exists()
    assert main(["evaluate", run, "--photos", photos, "--out", str(tmp_path / "evaluation")]) == 0
    assert (tmp_path / "evaluation" / "object_photos-worst.png").exists()
    assert main(["evaluate", run, "--assets", str(pictures), "--scenes", "2", "--out", str(tmp_path / "scenes")]) == 0
    assert (tmp_path / "scenes" / "pair.csv").exists()
    model = str(tmp_path / "model.onnx")
    assert main(["export", run, model]) == 0
    assert main(["hard-cases", model, photos, "--second", run, "--out", str(tmp_path / "hard")]) == 0
    assert "object_photos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "RUN"], "nothing to train on"),
        (["train", "RUN", "--assets", "/nowhere"], "/nowhere/artworks: no such folder"),
        (["train", "RUN", "--photos", "/nowhere.json"], "/nowhere.json: no such file"),
        (["train", "RUN", "--config", "/nowhere.json"], "/nowhere.json: no such file"),
        (["train", "RUN", "--side", "100"], "multiple of 32"),
        (["train", "RUN", "--steps", "0"], "at least 1"),
        (["train", "RUN", "--kinds", *(f"{kind}=0" for kind in KINDS)], "no kind of scene is left"),
        (["evaluate", "/nowhere.onnx"], "/nowhere.onnx: no such file"),
        (["export", "/nowhere", "/tmp/never.onnx"], "no such file"),
        (["hard-cases", "/nowhere.onnx", "/tmp"], "/nowhere.onnx: no such file"),
        (["learning-curve", "--of", "/nowhere"], "no such file"),
        (["data"], "name --assets, --photos or both"),
        (["crossval", "--out", "RUN", "--scenes", "3"], "needs --assets"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main([str(tmp_path / "run") if a == "RUN" else a for a in arguments]) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("share", ["wall", "wall=much", "wall=-1", "ceiling=0.1"])
def test_shares_of_scenes_are_checked(share: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["train", str(tmp_path), "--kinds", share])
    assert share.split("=")[0] in capsys.readouterr().err


def test_a_run_draws_scenes_by_its_shares(assets: Assets) -> None:
    stream = Examples(assets, [], 128, 1, 0.0, 12, {"empty": 1.0})
    assert sum(len(stream[i].boxes) for i in range(12)) == 0


def test_composed_scenes_say_which_work_is_meant(assets: Assets) -> None:
    samples, _ = studies.composed(assets, 6, 3, "wall")
    assert [int(s.main.sum()) for s in samples] == [1] * len(samples)
    for sample in samples:
        height, width = sample.image.shape[:2]
        rank = prominence(sample.outer, width, height)
        assert rank[sample.main] == rank.max()


def test_choice_is_judged_where_there_is_one() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array([[0, 0, 40, 40], [50, 50, 100, 100]], np.float32)
    one = Sample(Path("a"), boxes[:1], np.array([1]), np.array([True]), image=image)
    two = Sample(Path("b"), boxes, np.array([1, 1]), np.array([False, True]), image=image)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        boxes = np.tile(np.float32([[0, 0, 128, 128]]), (len(images), 1, 1))  # always the first work
        return boxes, np.tile(np.float32([[0, 1, 0]]), (len(images), 1, 1)), np.ones((len(images), 1), np.float32)

    assert summary(evaluate(predict, [one], 320)).choice_right is None
    assert summary(evaluate(predict, [one, two], 320)).choice_right == 0.0


def test_a_broken_validation_picture_stops_the_run_at_its_start(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "boxes.csv").write_text("file,x1,y1,x2,y2,label\nbad.png,1,2,3,4,painting\n")
    assert main(["train", str(tmp_path / "run"), "--assets", str(pictures), "--validation",
                 str(tmp_path / "boxes.csv"), "--steps", "1"]) == 1  # fmt: skip
    assert "bad.png: not a readable picture" in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
