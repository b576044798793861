"""The loop itself: it learns, it resumes, it repeats, and it says early what is wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lexicrop_training.assets import Assets
from lexicrop_training.batches import Examples, augmented, example
from lexicrop_training.detector import Detector, Shape, load_onnx
from lexicrop_training.evaluation import evaluate, torch_predictor
from lexicrop_training.losses import Weights
from lexicrop_training.samples import DataError, Sample
from lexicrop_training.scenes import make_scene
from lexicrop_training.trainer import Config, Data, _fresh, _step, load_run, load_runs, read_config, train

TINY = Config(
    steps=6, batch=2, warmup=2, bf16=False, evaluate_every=3, checkpoint_every=3, validation_scenes=2, workers=0,
    threads=1, shape=Shape(side=128, channels=16, hidden=32),
)  # fmt: skip


def test_thirty_steps_learn_four_pictures_by_heart(assets: Assets, shipped: Path) -> None:
    """Works are labelled a third too small: what the shipped weights find at first is wrong on purpose."""
    config = Config(batch=4, lr=1e-3, bf16=False, average=0.5, threads=1, shape=Shape(side=160))
    scenes = [s for s in (make_scene(assets, 2, i, "single") for i in range(40)) if len(s.boxes) == 1][:4]
    four = []
    for scene in scenes:
        x0, y0, x1, y1 = scene.boxes[0]
        left = np.array([[x0, y0, x0 + (x1 - x0) * 0.66, y0 + (y1 - y0) * 0.75]], np.float32)
        four.append(example(scene.image, left, scene.labels, config.shape.side))
    work = _fresh(config)
    load_onnx(work.model, shipped)
    work.averaged.load_state_dict(work.model.state_dict())
    images = torch.from_numpy(np.stack([e.image for e in four]))
    samples = [Sample(Path(str(i)), e.boxes, e.labels, e.wanted == 1, image=e.image) for i, e in enumerate(four)]

    def overlap() -> float:
        return float(np.mean([r.iou_main for r in evaluate(torch_predictor(work.model), samples, config.shape.side)]))

    print(overlap())
    assert overlap() < 0.6
    for step in range(30):
        _step(work, min(1.0, (step + 1) / 5), images, [e.target() for e in four], config)
    print(overlap())
    assert overlap() > 0.9


def test_a_run_that_is_cut_off_ends_as_one_that_is_not(tmp_path: Path, assets: Assets) -> None:
    data = Data(assets, [], {})
    whole = train(tmp_path / "whole", TINY, data)
    again = train(tmp_path / "again", TINY, data)
    train(tmp_path / "cut", TINY, data, report=lambda step, metrics: step == 3)
    assert torch.load(tmp_path / "cut" / "last.pt", weights_only=False)["step"] == 3
    rest = train(tmp_path / "cut", TINY, data)
    assert whole["step"] == rest["step"] == 6
    reference = load_run(tmp_path / "whole")[0].state_dict()
    for other in ("again", "cut"):
        for name, value in load_run(tmp_path / other)[0].state_dict().items():
            # Same seed, same result: within what the order of sums in threaded kernels may change.
            torch.testing.assert_close(value, reference[name], rtol=1e-4, atol=1e-5, msg=f"{other}: {name}")
    assert again["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    assert train(tmp_path / "whole", TINY, data)["step"] == 6  # nothing left to do


def test_a_run_writes_what_it_depended_on(tmp_path: Path, assets: Assets) -> None:
    train(tmp_path, replace(TINY, steps=1, evaluate_every=1, weights=Weights(box=3.0)), Data(assets, [], {}))
    assert read_config(tmp_path).weights.box == 3.0
    text = (tmp_path / "config.json").read_text()
    for word in ("commit", "seed", "torch", "lr_backbone"):
        assert f'"{word}"' in text
    assert (tmp_path / "metrics.json").exists()


def test_a_run_does_not_go_on_under_another_configuration(tmp_path: Path, assets: Assets) -> None:
    train(tmp_path, replace(TINY, steps=1), Data(assets, [], {}))
    with pytest.raises(DataError, match="another configuration"):
        train(tmp_path, replace(TINY, steps=2), Data(assets, [], {}))


def test_runs_are_averaged_weight_by_weight(tmp_path: Path, assets: Assets) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        train(tmp_path / name, replace(TINY, steps=1, seed=seed), Data(assets, [], {}))
    one, two = (load_run(tmp_path / n)[0].state_dict() for n in "ab")
    mean = load_runs([tmp_path / "a", tmp_path / "b"])[0].state_dict()
    torch.testing.assert_close(mean["fc1.weight"], (one["fc1.weight"] + two["fc1.weight"]) / 2)
    train(tmp_path / "c", replace(TINY, steps=1, shape=Shape(side=128, channels=8, hidden=32)), Data(assets, [], {}))
    with pytest.raises(DataError, match="another network"):
        load_runs([tmp_path / "a", tmp_path / "c"])


def test_training_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        train(tmp_path, TINY, Data(None, [], {}))


def test_labelled_photos_alone_are_enough(tmp_path: Path, assets: Assets) -> None:
    metrics = train(tmp_path, replace(TINY, steps=2), Data(None, assets.object_photos, {"own": assets.object_photos}))
    assert metrics["own"]["photos"] == 3


def test_augmented_photos_keep_their_main_work(assets: Assets) -> None:
    sample = assets.object_photos[0]
    for seed in range(60):
        made = augmented(np.random.default_rng(seed), sample, 160)
        assert made.wanted.tolist() == [1.0]
        x0, y0, x1, y1 = made.boxes[0]
        assert 0 <= x0 < x1 <= 160
        assert 0 <= y0 < y1 <= 160
        # The disc is red on grey: its centre must lie in the middle of the box whatever was cut and mirrored.
        middle = made.image[int((y0 + y1) / 2), int((x0 + x1) / 2)].astype(int)
        assert middle[0] - middle[1:].max() > 5


def test_tiny_and_mostly_hidden_works_are_ignored_not_background() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array([[10, 10, 90, 90], [0, 0, 4, 4], [60, 60, 99, 99]], np.float32)
    made = example(image, boxes, np.array([1, 1, 2]), 100, np.array([1.0, 1.0, 0.2], np.float32))
    np.testing.assert_allclose(made.boxes, boxes[:1])
    np.testing.assert_allclose(made.ignore, boxes[1:])


def test_the_known_main_work_wins_over_the_larger_one() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array([[0, 0, 80, 80], [70, 70, 99, 99]], np.float32)
    made = example(image, boxes, np.array([1, 1]), 100, main=np.array([False, True]))
    assert made.wanted[1] == 1.0
    assert made.wanted[0] < 1.0


def test_of_two_works_the_one_with_the_larger_frame_is_meant() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    boxes = np.array([[20, 20, 80, 80], [125, 25, 175, 75]], np.float32)
    outer = np.array([[20, 20, 80, 80], [100, 0, 200, 100]], np.float32)
    labels = np.array([1, 1])
    assert example(image, boxes, labels, 100).wanted[0] == 1.0
    assert example(image, boxes, labels, 100, outer=outer).wanted[1] == 1.0


def test_examples_are_the_same_in_every_order(assets: Assets) -> None:
    stream = Examples(assets, assets.object_photos, 128, 3, 0.5, 10)
    late = stream[7]
    for i in range(7):
        stream[i]
    np.testing.assert_array_equal(stream[7].image, late.image)


def test_proposals_are_always_as_many() -> None:
    """Scores all equal, or all peaks, must not change the number of candidates nor repeat one."""
    model = Detector(TINY.shape)
    count = len(model.anchors)
    for scores in (torch.zeros(2, count), torch.randn(2, count)):
        for peaks in (torch.zeros(2, count, dtype=torch.bool), torch.ones(2, count, dtype=torch.bool)):
            assert model.propose(scores, torch.zeros(2, count, 4), peaks).shape == (2, 32, 4)


def test_other_works_in_view_are_among_the_proposals() -> None:
    """Forty strong anchors of one work must not crowd out the weaker peak of another."""
    model = Detector(TINY.shape)
    scores = torch.full((1, len(model.anchors)), -5.0)
    scores[0, :40] = torch.linspace(5, 4, 40)
    scores[0, 300] = 1.0
    peaks = torch.zeros_like(scores, dtype=torch.bool)
    peaks[0, [0, 300]] = True
    boxes = model.propose(scores, torch.zeros(1, len(model.anchors), 4), peaks)[0]
    wanted = model.anchors[300].clamp(0, TINY.shape.side)
    assert (boxes - wanted).abs().amax(1).min() < 1e-4


def test_only_the_named_layers_learn(tmp_path: Path, assets: Assets, shipped: Path) -> None:
    config = replace(TINY, steps=2, only=("frame", "salience"), shape=Shape())
    train(tmp_path, config, Data(assets, [], {}), start=shipped)
    before = Detector()
    load_onnx(before, shipped)
    changed = {
        name.split(".")[0]
        for name, value in load_run(tmp_path)[0].state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {"frame", "salience"}
    assert read_config(tmp_path).only == ("frame", "salience")
    with pytest.raises(DataError, match="no layer is called fram"):
        train(tmp_path / "other", replace(config, only=("fram",)), Data(assets, [], {}))
