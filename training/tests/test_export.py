"""What is exported says what PyTorch says, in both runtimes, at every batch, and carries the right fingerprint."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import shipped_detector

from lexicrop_training import contract
from lexicrop_training.detector import Detector, load_onnx
from lexicrop_training.evaluation import evaluate, report, summary, torch_predictor
from lexicrop_training.export import export, onnx_predictor, openvino_predictor
from lexicrop_training.geometry import choose, iou_numpy, letterbox
from lexicrop_training.quantize import quantize, store_full
from lexicrop_training.samples import DataError, read_any
from lexicrop_training.scenes import make_scene


@pytest.fixture(scope="module")
def model(shipped: Path) -> Detector:
    model = Detector()
    load_onnx(model, shipped)
    return model.eval()


@pytest.fixture(scope="module")
def exported(model: Detector, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("export")
    export(model, folder / "full.onnx", 320, half=False)
    export(model, folder / "half.onnx", 320)
    return {"full": folder / "full.onnx", "half": folder / "half.onnx"}


@pytest.fixture(scope="module")
def pictures(assets) -> np.ndarray:  # noqa: ANN001
    scenes = [make_scene(assets, 6, i, kind) for i, kind in enumerate(("single", "object-photo", "wall"))]
    blank = np.full((320, 320, 3), 114, np.uint8)
    return np.stack([blank, *[letterbox(s.image, 320)[0] for s in scenes]])


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("make", [onnx_predictor, openvino_predictor])
def test_runtimes_equal_pytorch(model: Detector, exported: dict, pictures: np.ndarray, make, batch: int) -> None:  # noqa: ANN001
    predict, reference = make(exported["full"]), torch_predictor(model)
    for start in range(0, 4, batch):
        part = pictures[start : start + batch]
        _same(predict(part), reference(part), 0.05, 1e-3)


def test_a_thinned_box_head_finds_the_same_works(shipped: Path, pictures: np.ndarray, tmp_path: Path) -> None:
    """In the directions that are kept nothing changes; an export of it is read back as one layer."""
    model, thin, back = Detector(), Detector(), Detector()
    for one in (model, thin):
        load_onnx(one, shipped)
    assert 0.98 < thin.eval().thin(torch.from_numpy(pictures), 96) < 1
    assert thin.fc1[0].weight.numel() < 0.2 * model.fc1.weight.numel()
    export(thin, tmp_path / "thin.onnx", 320)
    found, wanted = onnx_predictor(tmp_path / "thin.onnx")(pictures), torch_predictor(model.eval())(pictures)
    for i in range(1, 4):
        one, two = (choose(*(o[i] for o in outputs))[0] for outputs in (found, wanted))
        assert iou_numpy(one[None], two[None])[0, 0] > 0.95
    load_onnx(back, tmp_path / "thin.onnx")
    axes = thin.fc1[1].weight.detach()
    torch.testing.assert_close(back.fc1.weight, axes @ axes.T @ model.fc1.weight, atol=2e-3, rtol=0)


def test_half_stored_weights_find_the_same_works(model: Detector, exported: dict, pictures: np.ndarray) -> None:
    """float16 rounds weights by 5e-4: candidates may change places, the chosen box may not move."""
    assert exported["half"].stat().st_size < 0.55 * exported["full"].stat().st_size
    assert exported["half"].stat().st_size < 25e6
    half, full = onnx_predictor(exported["half"])(pictures), onnx_predictor(exported["full"])(pictures)
    for i in range(1, 4):
        one, two = (choose(*(o[i] for o in outputs))[0] for outputs in (half, full))
        assert iou_numpy(one[None], two[None])[0, 0] > 0.97


def test_the_file_keeps_the_contract(exported: dict) -> None:
    graph = onnx.load(str(exported["half"])).graph
    (image,) = graph.input
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, dims) == ("image", ["batch", 320, 320, 3])
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [o.name for o in graph.output] == ["boxes", "probs", "salience"]
    kinds = {n.op_type for n in graph.node}
    # Padding belongs in the convolutions, and nothing may depend on the data.
    assert not kinds & {"Pad", "NonZero", "NonMaxSuppression", "If", "Loop"}


def test_outputs_are_boxes_and_probabilities(exported: dict, pictures: np.ndarray) -> None:
    boxes, probs, salience = onnx_predictor(exported["half"])(pictures)
    assert boxes.shape == (4, 32, 4)
    assert boxes.min() >= 0
    assert boxes.max() <= 320
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-5)
    assert salience.min() >= 0
    assert salience.max() <= 1


def test_an_export_can_be_trained_on(exported: dict, model: Detector) -> None:
    again = Detector()
    load_onnx(again, exported["half"])
    for (name, one), two in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6, msg=name)


def test_int8_finds_nearly_the_same(exported: dict, pictures: np.ndarray, tmp_path: Path, assets) -> None:  # noqa: ANN001
    images = [letterbox(make_scene(assets, 8, i).image, 320)[0] for i in range(4)]
    quantize(exported["half"], tmp_path / "int8.onnx", images, "percentile", [])
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "int8.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") > 40
    boxes, probs, salience = onnx_predictor(tmp_path / "int8.onnx")(pictures)
    reference = onnx_predictor(exported["half"])(pictures)
    one, two = (choose(*(o[1] for o in outputs))[0] for outputs in ((boxes, probs, salience), reference))
    assert iou_numpy(one[None], two[None])[0, 0] > 0.8


def test_store_full_undoes_half_storage(exported: dict) -> None:
    full = store_full(onnx.load(str(exported["half"])))
    onnx.checker.check_model(full)
    assert all(i.data_type != onnx.TensorProto.FLOAT16 for i in full.graph.initializer)


def test_fingerprint_follows_the_rule(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"network")
    config = (
        '# parameters { key: "no" value { string_value: "comment" } }\n'
        'parameters { key: "task" value { string_value: "detector" } }\n'
        'parameters {\n key: "labels"\n value { string_value: "painting,object" }\n}\n'
        'parameters { key: "INFERENCE_NUM_THREADS" value { string_value: "1" } }\n'
        'parameters { key: "fingerprint" value { string_value: "old" } }\n'
    )
    (tmp_path / "config.pbtxt").write_text(config)
    lines = f"file={hashlib.sha256(b'network').hexdigest()}\nlabels=painting,object\ntask=detector\n"
    wanted = hashlib.sha256(lines.encode()).hexdigest()
    assert contract.sign(tmp_path) == wanted
    assert contract.parameters((tmp_path / "config.pbtxt").read_text())["fingerprint"] == wanted
    assert contract.sign(tmp_path) == wanted  # signing again changes nothing


@pytest.mark.parametrize("name", ["detector", "detector-small", "detector-large"])
def test_the_shipped_detectors_are_signed(name: str) -> None:
    shipped = shipped_detector(name)
    for path in (shipped.parents[1] / "config.pbtxt", *(shipped.parents[1] / "configs").glob("*.pbtxt")):
        values = contract.parameters(path.read_text())
        assert values["fingerprint"] == contract.fingerprint(shipped, values), path


def test_signing_without_a_model_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model.onnx: no such file"):
        contract.sign(tmp_path)


@pytest.mark.parametrize(("name", "side"), [("detector", 320), ("detector-small", 320), ("detector-large", 512)])
def test_the_shipped_detectors_on_real_photos(name: str, side: int, data_folder: Path) -> None:
    """A floor well under what was measured (docs/models): a broken export falls through it."""
    rows = evaluate(onnx_predictor(shipped_detector(name)), read_any(data_folder / "val"), side)
    found = report(rows)
    assert found["iou_best"] > 0.85
    assert found["iou_best_95"][0] < found["iou_best"] < found["iou_best_95"][1]
    assert summary(rows).photos == 25


def _same(found: tuple, wanted: tuple, pixels: float, share: float) -> None:
    """Equal as sets of candidates: equal scores may change places in a top-k."""
    for boxes, probs, salience, boxes2, probs2, salience2 in zip(*found, *wanted, strict=True):
        overlap = np.abs(boxes[:, None] - boxes2[None]).max(2) + np.abs(salience[:, None] - salience2[None])
        match = overlap.argmin(1)
        assert np.abs(boxes - boxes2[match]).max() < pixels
        assert np.abs(probs - probs2[match]).max() < share
        assert np.abs(salience - salience2[match]).max() < share
