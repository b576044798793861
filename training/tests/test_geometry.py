import numpy as np
import pytest
import torch

from lexicrop_training import geometry


@pytest.mark.parametrize(("height", "width"), [(480, 320), (320, 480), (37, 1000), (1, 1), (320, 320), (5000, 3)])
def test_letterbox_goes_there_and_back(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    fitted, box_map = geometry.letterbox(image, 320)
    assert fitted.shape == (320, 320, 3)
    box = np.array([[0, 0, width, height], [width / 4, height / 3, width / 2, height]], np.float32)
    inside = box_map.forward(box)
    assert inside.min() >= 0
    assert inside.max() <= 320
    np.testing.assert_allclose(box_map.back(inside), box, atol=1e-3)


def test_letterbox_pads_around_the_picture() -> None:
    fitted, box_map = geometry.letterbox(np.full((100, 200, 3), 9, np.uint8), 320)
    assert (fitted[:80] == geometry.PAD).all()
    assert (fitted[80:240] == 9).all()
    assert (fitted[240:] == geometry.PAD).all()
    assert (box_map.left, box_map.top) == (0, 80)


@pytest.mark.parametrize(
    ("a", "b", "iou", "giou"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0, 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 2 / 6, 2 / 6),  # the hull is the union
        ((0, 0, 1, 1), (2, 0, 3, 1), 0.0, -1 / 3),  # hull 3, union 2
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7, 1 / 7 - 2 / 9),
    ],
)
def test_overlap_matches_hand_worked_values(a: tuple, b: tuple, iou: float, giou: float) -> None:
    one, two = torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)
    assert geometry.iou(one, two).item() == pytest.approx(iou, abs=1e-6)
    assert geometry.giou(one, two).item() == pytest.approx(giou, abs=1e-6)
    assert geometry.iou_numpy(one.numpy()[None], two.numpy()[None])[0, 0] == pytest.approx(iou, abs=1e-6)


def test_decode_of_zero_deltas_is_the_anchor() -> None:
    anchors = torch.tensor([[10.0, 20.0, 50.0, 80.0]])
    torch.testing.assert_close(geometry.decode(anchors, torch.zeros(1, 4), 320), anchors)


def test_decode_moves_and_scales() -> None:
    anchors = torch.tensor([[100.0, 100.0, 140.0, 120.0]])
    # dx 1 * 0.1 * width 40 = 4 to the right; dw ln2 / 0.2 doubles the width.
    deltas = torch.tensor([[1.0, 0.0, np.log(2) / 0.2, 0.0]])
    torch.testing.assert_close(geometry.decode(anchors, deltas, 320), torch.tensor([[84.0, 100.0, 164.0, 120.0]]))


def test_choose_averages_what_overlaps_the_winner() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 0, 90, 100], [200, 200, 300, 300]], np.float32)
    probs = np.array([[0.0, 1, 0], [0.0, 1, 0], [0.0, 0, 1]], np.float32)
    box, score, label, _ = geometry.choose(boxes, probs, np.array([0.6, 0.2, 0.5], np.float32))
    np.testing.assert_allclose(box, [0, 0, 97.5, 100], rtol=1e-6)  # (0.6*100 + 0.2*90) / 0.8
    assert score == pytest.approx(0.6)
    assert label == 1


def test_choose_weighs_background_by_its_root() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    probs = np.array([[0.75, 0.25, 0], [0.0, 0, 1]], np.float32)
    box, score, label, _ = geometry.choose(boxes, probs, np.array([0.9, 0.5], np.float32))
    assert score == pytest.approx(0.5)  # 0.9 * sqrt(0.25) = 0.45 loses
    assert label == 2
    np.testing.assert_allclose(box, boxes[1])


def test_nms_keeps_the_best_of_each_place() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [30, 30, 40, 40]], np.float32)
    assert geometry.nms(boxes, np.array([0.5, 0.9, 0.1])) == [1, 2]


def test_prominence_prefers_large_and_central() -> None:
    boxes = np.array([[40, 40, 60, 60], [0, 0, 20, 20], [20, 20, 80, 80]], np.float32)
    rank = geometry.prominence(boxes, 100, 100)
    assert rank[2] > rank[0] > rank[1]


@pytest.mark.parametrize(("height", "width"), [(480, 320), (200, 400), (37, 300), (320, 320)])
def test_the_size_of_the_picture_is_seen_in_its_letterbox(height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    fitted, box_map = geometry.letterbox(image, 320)
    size = geometry.picture_size(torch.from_numpy(fitted)[None])[0].numpy()
    np.testing.assert_allclose(size, [width * box_map.scale_x, height * box_map.scale_y], atol=1e-3)


def test_a_picture_of_nothing_but_padding_has_a_size() -> None:
    assert geometry.picture_size(torch.full((1, 64, 64, 3), geometry.PAD, dtype=torch.uint8)).tolist() == [[1, 1]]


def test_prominence_is_the_same_in_the_photo_and_in_its_letterbox() -> None:
    """Whatever the photo's shape: what is far from the middle of a panorama's height is not far in its square."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        width, height = rng.integers(150, 900, 2)
        low = rng.uniform(0, 0.7, (4, 2))
        shares = np.concatenate([low, low + rng.uniform(0.15, 0.3, (4, 2))], 1)
        boxes = (shares * np.array([width, height] * 2)).astype(np.float32)
        fitted, box_map = geometry.letterbox(rng.integers(0, 110, (height, width, 3), dtype=np.uint8), 320)
        size = geometry.picture_size(torch.from_numpy(fitted)[None])
        found = geometry.log_prominence(torch.from_numpy(box_map.forward(boxes))[None], size, 320)[0]
        # An odd rest of the padding is half a pixel.
        np.testing.assert_allclose(found.exp().numpy(), geometry.prominence(boxes, width, height), rtol=0.02)
