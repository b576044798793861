import math

import pytest
import torch

from lexicrop_training import losses
from lexicrop_training.losses import Target


def target(
    boxes: list,
    labels: list | None = None,
    wanted: list | None = None,
    ignore: list | None = None,
    outer: list | None = None,
) -> Target:
    n = len(boxes)
    return Target(
        torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        torch.tensor(labels or [1] * n),
        torch.tensor(wanted or [1.0] + [0.0] * (n - 1)) if n else torch.zeros(0),
        torch.tensor(ignore or [], dtype=torch.float32).view(-1, 4),
        torch.tensor(outer or [[math.nan] * 4] * n, dtype=torch.float32).view(-1, 4),
    )


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([0.0, 0.0, math.log(3)])
    truth = torch.tensor([1.0, 0.0, 1.0])
    # p = 0.5: 0.5^2 ln 2; p = 0.75: 0.25^2 ln(4/3).
    wanted = torch.tensor([0.25 * math.log(2), 0.25 * math.log(2), 0.0625 * math.log(4 / 3)])
    torch.testing.assert_close(losses.focal_loss(logits, truth), wanted)


def test_anchors_are_positive_negative_or_unused_by_overlap() -> None:
    anchors = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.5], [50, 50, 60, 60], [0, 0, 10, 3.9]]).float()
    labels, matched = losses.match_anchors(anchors, target([[0, 0, 10, 10]]))
    assert labels.tolist() == [1, -1, -1, 0, 0]  # IoU 1, 0.5, 0.45, 0, 0.39
    assert matched[0] == 0


def test_the_best_anchor_of_a_work_is_positive_however_bad() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [100, 100, 140, 140]])
    labels, matched = losses.match_anchors(anchors, target([[0, 0, 10, 10], [100, 100, 112, 112]]))
    assert labels.tolist() == [1, 1]
    assert matched.tolist() == [0, 1]


def test_anchors_on_ignored_boxes_teach_nothing() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [100, 100, 140, 140], [200, 0, 210, 10]])
    labels, _ = losses.match_anchors(anchors, target([[0, 0, 10, 10]], ignore=[[100, 100, 140, 140]]))
    assert labels.tolist() == [1, -1, 0]


def test_box_loss_of_a_right_box_is_zero_and_falls_towards_it() -> None:
    anchors = torch.tensor([[100.0, 100, 200, 200], [0.0, 0, 30, 30]])
    scores = torch.tensor([[20.0, -20.0]])
    truth = [target([[100, 100, 200, 200]])]
    focal, box = losses.rpn_losses(anchors, scores, torch.zeros(1, 2, 4), truth, 320)
    assert box.item() == pytest.approx(0, abs=1e-6)
    assert focal.item() == pytest.approx(0, abs=1e-6)
    shifted = torch.zeros(1, 2, 4)
    shifted[0, 0, 0] = 1.0  # 10 pixels to the right: IoU 90/110, the hull is the union
    _, box = losses.rpn_losses(anchors, scores, shifted, truth, 320)
    assert box.item() == pytest.approx(1 - 90 / 110, abs=1e-6)


def test_head_losses_by_hand() -> None:
    boxes = torch.tensor([[[0.0, 0, 100, 100], [200, 200, 300, 300]]])
    truth = [target([[0, 0, 100, 100]], labels=[2], wanted=[1.0])]
    logits = torch.zeros(1, 2, 3)
    cls, box, salience = losses.head_losses(boxes, logits, torch.zeros(1, 2, 4), torch.zeros(1, 2), truth, 320)
    assert cls.item() == pytest.approx(math.log(3))
    assert box.item() == pytest.approx(0, abs=1e-6)
    assert salience.item() == pytest.approx(math.log(2))
    right = torch.tensor([[[-20.0, -20, 20], [20, -20, -20]]])
    sure = torch.tensor([[20.0, -20.0]])
    cls, _, salience = losses.head_losses(boxes, right, torch.zeros(1, 2, 4), sure, truth, 320)
    assert cls.item() == pytest.approx(0, abs=1e-6)
    assert salience.item() == pytest.approx(0, abs=1e-6)


def test_a_work_nobody_meant_is_found_but_not_salient() -> None:
    boxes = torch.tensor([[[200.0, 200, 300, 300]]])
    truth = [target([[0, 0, 100, 100], [200, 200, 300, 300]], labels=[1, 1], wanted=[1.0, 0.0])]
    logits = torch.tensor([[[-20.0, 20, -20]]])
    cls, _, salience = losses.head_losses(boxes, logits, torch.zeros(1, 1, 4), torch.tensor([[-20.0]]), truth, 320)
    assert cls.item() == pytest.approx(0, abs=1e-6)
    assert salience.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("works", [[], [[10, 10, 60, 90]], [[10, 10, 60, 90], [100, 100, 300, 310]]])
def test_head_boxes_are_48_valid_ones(works: list) -> None:
    rng = torch.Generator().manual_seed(0)
    proposals = torch.rand(32, 4, generator=rng).cumsum(1) * 80
    boxes = losses.head_boxes(proposals, target(works), 320, rng)
    assert boxes.shape == (48, 4)
    assert (boxes[24:, 2:] > boxes[24:, :2]).all()


def test_a_picture_without_works_has_finite_losses() -> None:
    boxes = torch.tensor([[[0.0, 0, 100, 100]]])
    parts = losses.head_losses(boxes, torch.zeros(1, 1, 3), torch.zeros(1, 1, 4), torch.zeros(1, 1), [target([])], 320)
    assert all(torch.isfinite(p) for p in parts)


def test_choice_loss_by_hand() -> None:
    boxes = torch.tensor([[[0.0, 0, 100, 100], [0, 0, 100, 98], [200, 200, 300, 300], [100, 0, 150, 50]]])
    truth = [target([[0, 0, 100, 100], [200, 200, 300, 300]])]
    # Each work counts by its best box: 2 of the main one, 1 of the other; what is no work (9) does not compete here.
    found = losses.choice_loss(boxes, torch.tensor([[2.0, -3.0, 1.0, 9.0]]), truth)
    assert found.item() == pytest.approx(math.log(math.exp(2) + math.exp(1)) - 2)


def test_choice_loss_is_of_pictures_with_several_works_alone() -> None:
    boxes = torch.tensor([[[0.0, 0, 100, 100]]] * 3)
    truth = [target([[0, 0, 100, 100]]), target([]), target([[200, 200, 300, 300], [0, 0, 100, 100]])]
    assert losses.choice_loss(boxes, torch.full((3, 1), -5.0), truth).item() == 0  # of the last, no box is of the main


def test_frame_loss_by_hand() -> None:
    boxes = torch.tensor([[[60.0, 60, 100, 100], [200, 200, 300, 300]]])
    size = torch.tensor([[320.0, 320.0]])
    truth = [target([[60, 60, 100, 100]], outer=[[50, 50, 110, 110]])]
    right = torch.tensor([[[50.0, 50, 110, 110], [0, 0, 9, 9]]])
    assert losses.frame_loss(boxes, right, size, truth, 320).item() == pytest.approx(0, abs=1e-6)
    narrow = torch.tensor([[[50.0, 50, 80, 110], [0, 0, 9, 9]]])  # half of it, and 15 pixels further from the middle
    rank = 0.5 * math.log(0.5) - 2 * ((95 / 320) ** 2 - (80 / 320) ** 2)
    found = losses.frame_loss(boxes, narrow, size, truth, 320).item()
    assert found == pytest.approx(0.5 + abs(rank), abs=1e-5)


def test_works_whose_frame_is_not_known_have_no_frame_loss() -> None:
    boxes = torch.tensor([[[60.0, 60, 100, 100]]])
    frames = boxes.clone().requires_grad_()
    loss = losses.frame_loss(boxes, frames, torch.tensor([[320.0, 320.0]]), [target([[60, 60, 100, 100]])], 320)
    assert loss.item() == 0
