"""Other networks than the default: EfficientNet-Lite backbones and torchvision's detectors."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lexicrop_training import zoo
from lexicrop_training.assets import Assets
from lexicrop_training.backbone import EfficientNetLite, SameConv, make_backbone, packaged_weights
from lexicrop_training.batches import Examples
from lexicrop_training.detector import CONTRAST, Detector, Shape, load_onnx
from lexicrop_training.export import export, onnx_predictor
from lexicrop_training.geometry import log_prominence
from lexicrop_training.samples import DataError


@pytest.mark.parametrize(("kernel", "size"), [(3, 20), (5, 20), (3, 33)])
def test_same_padding_is_tensorflows(kernel: int, size: int) -> None:
    """At stride 2 and an even size, TensorFlow pads (k-2) in total, the odd pixel at the end."""
    conv = SameConv(1, 1, kernel, 2)
    x = torch.randn(1, 1, size, size)
    before = (kernel - 2) // 2
    padded = F.pad(x, (before, kernel - 2 - before) * 2)
    torch.testing.assert_close(conv(x), F.conv2d(padded, conv.weight, conv.bias, 2))
    if size % 2 == 0:
        assert conv(x).shape[-1] == size // 2


def test_depthwise_f32_under_autocast_changes_only_rounding() -> None:
    conv = SameConv(8, 8, 5, 1, groups=8)
    x = torch.randn(2, 8, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        found = conv(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), conv(x.bfloat16().float()), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["mobilenet", "lite0", "lite1", "lite2"])
def test_backbones_give_stride_16_and_32(name: str) -> None:
    backbone = make_backbone(name)
    c4, c5 = backbone(torch.rand(1, 3, 64, 64) * 255)
    assert c4.shape == (1, backbone.channels[0], 4, 4)
    assert c5.shape == (1, backbone.channels[1], 2, 2)


def test_lite_weights_are_folded_exactly() -> None:
    """The stem of the package, convolution then batch norm, equals our one convolution."""
    path = packaged_weights("lite0")
    assert path is not None
    backbone = EfficientNetLite("lite0").eval()
    backbone.load(path)
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    norm = nn.BatchNorm2d(32, eps=1e-3).eval()
    norm.load_state_dict({k.removeprefix("_bn0."): v for k, v in theirs.items() if k.startswith("_bn0.")})
    x = torch.rand(1, 3, 32, 32) * 255
    scaled = (x - 127) / 128
    wanted = norm(F.conv2d(F.pad(scaled, (0, 1, 0, 1)), theirs["_conv_stem.weight"], stride=2))
    torch.testing.assert_close(backbone.stem(scaled), wanted, rtol=1e-4, atol=1e-4)


def test_of_equal_works_the_more_prominent_one_is_meant() -> None:
    model = Detector(Shape(side=320, channels=16, hidden=32))
    hidden = torch.zeros(1, 3, 32)
    # In a panorama: the second is smaller, the third as large as the first but thought to be no work.
    frames = torch.tensor([[[20.0, 120, 120, 200], [180, 130, 260, 190], [110, 120, 210, 200]]])
    probs = torch.tensor([[[0.1, 0.9, 0], [0.1, 0.9, 0], [0.999, 0.001, 0]]])
    first, second, third = model.meant(torch.tensor([[320.0, 120.0]]), hidden, frames, probs)[0].tolist()
    rank = log_prominence(frames, torch.tensor([[320.0, 120.0]]), 320)[0]
    assert first == 0  # nothing is before it: what is hardly a work takes nothing from it
    assert second == pytest.approx(CONTRAST * float(rank[1] - rank[0]), abs=1e-4)
    assert third == 0  # nor does it gain by being central; that it is no work, its class and learned part say


def test_prominence_cannot_drown_what_was_learned() -> None:
    model = Detector(Shape(side=320, channels=16, hidden=32))
    frames = torch.tensor([[[10.0, 10, 310, 310], [0, 0, 4, 4]]])
    probs = torch.tensor([[[0.0, 1, 0], [0, 1, 0]]])
    found = model.meant(torch.tensor([[320.0, 320.0]]), torch.zeros(1, 2, 32), frames, probs)[0]
    assert found.tolist() == [0, -CONTRAST]


def test_unknown_backbones_and_missing_weights_are_named() -> None:
    with pytest.raises(DataError, match="unknown backbone 'vgg'"):
        make_backbone("vgg")
    with pytest.raises(DataError, match=r"nowhere.npz: no such file"):
        make_backbone("mobilenet").load(Path("/nowhere.npz"))


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    shape = Shape(side=128, channels=16, hidden=32)
    export(Detector(shape, make_backbone("lite0")), tmp_path / "lite.onnx", 128)
    with pytest.raises(DataError, match=r"lite.onnx: an export of another network, of another --backbone perhaps"):
        load_onnx(Detector(shape), tmp_path / "lite.onnx")


def test_a_lite_detector_exports_under_the_same_contract(tmp_path: Path) -> None:
    model = Detector(Shape(side=128, channels=16, hidden=32), make_backbone("lite0"))
    export(model, tmp_path / "lite.onnx", 128)
    boxes, probs, salience = onnx_predictor(tmp_path / "lite.onnx")(np.zeros((3, 128, 128, 3), np.uint8))
    assert (boxes.shape, probs.shape, salience.shape) == ((3, 32, 4), (3, 32, 3), (3, 32))


def test_torchvision_learns_and_exports_both_ways(tmp_path: Path, assets: Assets) -> None:
    model = zoo.build("fasterrcnn_mobilenet_v3_large_320_fpn", None, side=128)
    history = zoo.finetune(model, Examples(assets, [], 128, 1, 0.0, 6), steps=2, batch=2, lr=1e-3)
    assert len(history) == 2
    assert np.isfinite(history).all()
    zoo.export_original(model, tmp_path / "original.onnx", 128, 128)
    session = onnxruntime.InferenceSession(str(tmp_path / "original.onnx"), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((3, 128, 128), np.float32)
    boxes, labels, scores = session.run(None, {"images": image})
    assert boxes.shape[1] == 4
    assert len(boxes) == len(labels) == len(scores)
    _check_fixed(model, tmp_path)


def test_torchvisions_large_detector_exports_under_our_contract(tmp_path: Path) -> None:
    _check_fixed(zoo.build("fasterrcnn_resnet50_fpn_v2", None, side=128), tmp_path)


def _check_fixed(model: nn.Module, folder: Path) -> None:
    zoo.export_fixed(model, folder / "fixed.onnx", 128, half=False)
    images = np.random.default_rng(1).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    boxes, probs, _ = onnx_predictor(folder / "fixed.onnx")(images)
    assert boxes.shape == (3, 32, 4)
    with torch.no_grad():
        wanted, _ = zoo.FixedShape(model, 128)(torch.from_numpy(images))
    overlap = np.abs(boxes[:, :, None] - wanted.numpy()[:, None]).max(3).min(2)  # ties may change places
    assert overlap.max() < 0.1
    np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-5)


def test_fixed_shapes_score_a_box_as_torchvision_does() -> None:
    """With the same proposals, pooled features and scores must be torchvision's own."""
    model = zoo.build("fasterrcnn_mobilenet_v3_large_320_fpn", None, side=128).eval()
    fixed = zoo.FixedShape(model, 128)
    rng = torch.Generator().manual_seed(0)
    corner = torch.rand(1, 32, 2, generator=rng) * 60
    boxes = torch.cat([corner, corner + 4 + torch.rand(1, 32, 2, generator=rng) * 60], 2)
    with torch.no_grad():
        features = model.backbone(torch.rand(1, 3, 128, 128, generator=rng))
        wanted = model.roi_heads.box_roi_pool(features, [boxes[0]], [(128, 128)])
        found = fixed._pool(list(features.values()), boxes)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_missing_torchvision_weights_are_named() -> None:
    with pytest.raises(DataError, match=r"nowhere.pth: no such file"):
        zoo.build("fasterrcnn_mobilenet_v3_large_320_fpn", Path("/nowhere.pth"))
