import cv2
import numpy as np
import pytest
from conftest import made_assets

from lexicrop_training import art, photo, scenes, things
from lexicrop_training.assets import Assets

MARKER = (255, 0, 255)


@pytest.mark.parametrize("kind", list(scenes.KINDS))
def test_boxes_lie_inside_and_labels_are_known(assets: Assets, kind: str) -> None:
    for index in range(12):
        scene = scenes.make_scene(assets, 3, index, kind)
        height, width = scene.image.shape[:2]
        assert scene.image.dtype == np.uint8
        assert (scene.boxes >= 0).all()
        assert (scene.boxes[:, 2] <= width).all()
        assert (scene.boxes[:, 3] <= height).all()
        assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()
        assert set(scene.labels) <= {1, 2}
        assert len(scene.labels) == len(scene.boxes) == len(scene.visible) == len(scene.outer)
        assert (scene.outer[:, :2] <= scene.boxes[:, :2] + 1.5).all()  # the frame lies around the work
        assert (scene.outer[:, 2:] >= scene.boxes[:, 2:] - 1.5).all()
        if kind == "empty":
            assert not len(scene.boxes)


def test_same_number_same_scene(assets: Assets) -> None:
    for index in (0, 1, 17):
        one, two = (scenes.make_scene(assets, 9, index) for _ in range(2))
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.boxes, two.boxes)
    other = scenes.make_scene(assets, 10, 0)
    assert other.image.shape != one.image.shape or (other.image != one.image).any()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves colours alone, so that a painted marker can be found again."""
    marker = np.tile(np.array(MARKER, np.uint8), (80, 100, 1))
    monkeypatch.setattr(art, "picture", lambda rng, assets: marker)
    for name in ("_with_mat", "_with_glass"):
        monkeypatch.setattr(art, name, lambda rng, image: image)
    monkeypatch.setattr(art, "_shaded", lambda rng, image, band: image)
    for name in ("lit", "taken"):
        monkeypatch.setattr(photo, name, lambda rng, image: image)
    marked = np.dstack([np.tile(np.array(MARKER, np.uint8), (90, 40, 1)), np.full((90, 40), 255, np.uint8)])
    monkeypatch.setattr(things, "thing", lambda rng: marked)
    monkeypatch.setattr(scenes, "_other_hue", lambda rng, image: image)
    monkeypatch.setattr(art, "FRAMES", dict.fromkeys(art.FRAMES, ((20, 30, 20), (60, 90, 60))))
    monkeypatch.setattr(art, "wallpaper", lambda rng, h, w: np.full((h, w, 3), 120, np.uint8))
    monkeypatch.setattr(scenes, "_furnish", lambda *a: None)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("kind", ["single", "pair", "wall", "small", "object-photo", "object-scene"])
def test_boxes_are_where_the_marker_was_painted(kind: str) -> None:
    """Each box must be the bounding box of the marker inside it, and no marker may lie outside all boxes."""
    made = made_assets(MARKER)
    checked = 0
    for index in range(25):
        scene = scenes.make_scene(made, 4, index, kind)
        found = _marked(scene.image)
        covered = np.zeros_like(found)
        for box in scene.boxes:
            x0, y0 = np.floor(box[:2]).astype(int)
            x1, y1 = np.ceil(box[2:]).astype(int)
            covered[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = True
            ys, xs = np.nonzero(found[y0:y1, x0:x1])
            if min(x1 - x0, y1 - y0) < 16:  # a sliver at the photo's edge
                continue
            assert len(ys), f"scene {index}: no marker in {box}"
            seen = np.array([xs.min() + x0, ys.min() + y0, xs.max() + x0 + 1, ys.max() + y0 + 1])
            # The marker's edge pixels are mixed with their surroundings, and a turned object is narrower than
            # its turned box.
            slack = 3.5 if "object" not in kind else 4 + 0.06 * max(box[2:] - box[:2])
            if kind != "object-scene":
                assert np.abs(seen - box).max() <= slack, f"scene {index}: {box} but marker at {seen}"
            checked += 1
        outside = found & ~covered
        assert outside.sum() <= 0.002 * found.size, f"scene {index}: marker outside of all boxes"
    assert checked >= 10


def test_things_fill_their_cut_out() -> None:
    shapes = set()
    for seed in range(60):
        cut = things.thing(np.random.default_rng(seed))
        alpha = cut[:, :, 3] > 0
        assert cut.dtype == np.uint8
        assert cut.shape[2] == 4
        for side in (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]):
            assert side.any()
        shapes.add(round(cut.shape[0] / cut.shape[1]))
    assert len(shapes) > 5  # from flat chests to tall columns


def test_boxes_of_clips_and_tells_what_is_visible() -> None:
    outline = np.array([(-50.0, 10.0), (50.0, 10.0), (50.0, 30.0), (-50.0, 30.0)])
    boxes, visible = scenes.boxes_of([outline], 100, 100)
    np.testing.assert_allclose(boxes, [[0, 10, 50, 30]])
    np.testing.assert_allclose(visible, [0.5])


def test_boxes_of_a_slanted_outline_bound_only_what_is_inside() -> None:
    triangle = np.array([(-100.0, 0.0), (10.0, 0.0), (-100.0, 110.0)])
    boxes, visible = scenes.boxes_of([triangle], 100, 100)
    np.testing.assert_allclose(boxes, [[0, 0, 10, 10]], atol=1e-4)
    np.testing.assert_allclose(visible, [50 / 6050], rtol=1e-4)


def test_boxes_of_an_outline_outside_is_not_visible() -> None:
    outline = np.array([(-50.0, 10.0), (-10.0, 10.0), (-10.0, 30.0), (-50.0, 30.0)])
    assert scenes.boxes_of([outline], 100, 100)[1].tolist() == [0]


def _marked(image: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    return (np.abs(hsv[:, :, 0].astype(int) - 150) < 12) & (hsv[:, :, 1] > 150) & (hsv[:, :, 2] > 60)
