"""The embedder: what it learns from, that it learns, and that what is exported says what PyTorch says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from lexicrop_training import contract, embed_training
from lexicrop_training.assets import Assets
from lexicrop_training.backbone import packaged_weights
from lexicrop_training.cli import main
from lexicrop_training.embed_network import FEATURES, Embedder, Mirrored, components, pooled_features
from lexicrop_training.embed_training import EmbedConfig, koleo, load_embedder, torch_embed, train_embedder
from lexicrop_training.embed_views import (
    PROCEDURAL,
    Pictures,
    batch_of,
    batches,
    catalogue_view,
    make_pictures,
    phone_view,
)
from lexicrop_training.export import export
from lexicrop_training.retrieval import onnx_embed, openvino_embed
from lexicrop_training.retrieval_photos import Trial, Work
from lexicrop_training.samples import DataError

ROOT = Path(__file__).parents[2]
TINY = EmbedConfig(
    steps=6, instances=4, side=64, dimensions=16, memory=32, fitted=16, bf16=False, workers=0,
    evaluate_every=3, checkpoint_every=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(assets: Assets) -> Pictures:
    """Works of two painters, coarse noise each, some squared."""
    works = [Work(f"{who}_{i}", _noise(i + 50 * (who == "degas")), bool(i % 2)) for who in ("monet", "degas")
             for i in range(10)]  # fmt: skip
    return make_pictures(works, assets)


# --- views ---


def test_a_batch_is_two_views_of_different_pictures(pictures: Pictures) -> None:
    images, labels = batch_of(pictures, 3, 0, 20, 48)
    assert images.shape == (40, 48, 48, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(labels[:20], labels[20:])
    assert len(set(labels[:20])) == 20
    assert labels.max() < pictures.count == 40 + len(pictures.others) + PROCEDURAL
    # Of a work, never its mirror image beside it; and one painter's works in plenty, for they are the hardest.
    works = labels[:20][labels[:20] < 40] // 2
    assert len(set(works)) == len(works) >= 14
    for half in (images[:20], images[20:]):
        assert (half.reshape(20, -1).std(1) > 1).all(), "a view shows nothing"


def test_batches_repeat_and_differ(pictures: Pictures) -> None:
    one = batch_of(pictures, 3, 5, 6, 48)
    again = list(batches(pictures, 3, 6, 48, 4, 6, 0))[1]
    np.testing.assert_array_equal(one[0], again[0].numpy())
    np.testing.assert_array_equal(one[1], again[1].numpy())
    assert (batch_of(pictures, 3, 6, 6, 48)[1] != one[1]).any()
    assert (batch_of(pictures, 4, 5, 6, 48)[0] != one[0]).any()


def test_labels_name_works_mirror_images_and_other_pictures(pictures: Pictures) -> None:
    pictures = replace(pictures, works=[replace(w, square=False) for w in pictures.works])
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(pictures.picture(rng, 6), pictures.works[3].image)
    np.testing.assert_array_equal(pictures.picture(rng, 7), pictures.works[3].image[:, ::-1])
    np.testing.assert_array_equal(pictures.picture(rng, 41), pictures.others[1])
    first = 40 + len(pictures.others)
    made = pictures.picture(rng, first)
    np.testing.assert_array_equal(made, pictures.picture(rng, first))  # the same instance, however often
    other = pictures.picture(rng, first + 1)
    assert made.shape != other.shape or (made != other).any()


def test_other_reproductions_of_a_work_are_views_of_it(assets: Assets) -> None:
    shades = [np.full((60, 50, 3), v, np.uint8) for v in (10, 120, 240)]
    pictures = make_pictures([Work("monet_1", shades[0], False, tuple(shades[1:]))], assets)
    rng = np.random.default_rng(0)
    assert {int(pictures.picture(rng, 0)[0, 0, 0]) for _ in range(40)} == {10, 120, 240}


def test_held_out_works_do_not_come_in_by_other_ways(assets: Assets) -> None:
    """Assets hold all works; procedural pictures and walls must not show any of them."""
    assert assets.artworks
    pictures = make_pictures([Work("monet_1", _noise(1), False)], assets)
    assert pictures.assets.artworks == []
    assert pictures.assets.square == []
    assert len(pictures.others) == len(assets.backgrounds) + len(assets.object_photos)


@pytest.mark.parametrize("size", [(300, 24), (24, 300), (8, 8), (400, 500)])
def test_views_of_pictures_of_any_shape(assets: Assets, size: tuple[int, int]) -> None:
    picture = cv2.resize(_noise(3), size[::-1])
    for seed in range(6):
        for view in (catalogue_view(np.random.default_rng(seed), picture, 64),
                     phone_view(np.random.default_rng(seed), picture, assets, 64)):  # fmt: skip
            assert view.shape == (64, 64, 3)
            assert view.dtype == np.uint8


def test_phone_views_show_the_picture(assets: Assets) -> None:
    """Left is red and right is blue in the picture, and so they are in nearly every photo of it."""
    picture = np.zeros((200, 160, 3), np.uint8)
    picture[:, :80, 0] = picture[:, 80:, 2] = 220
    views = np.stack([phone_view(np.random.default_rng(i), picture, assets, 64) for i in range(40)]).astype(int)
    warmth = views[..., 0] - views[..., 2]
    shown = warmth[:, 16:48, 8:24].mean((1, 2)) > warmth[:, 16:48, 40:56].mean((1, 2))
    assert shown.mean() > 0.9


# --- losses and training ---


def test_koleo_by_hand() -> None:
    """Four vectors at right angles or opposite; the own label's neighbour at distance 0 does not count."""
    vectors = torch.tensor([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
    labels = torch.tensor([0, 0, 1, 2])
    # Nearest of another label: sqrt(2) from each, since (0, 1) is at right angles to all.
    assert float(koleo(vectors, labels)) == pytest.approx(-0.5 * np.log(2), abs=1e-5)
    nearer = torch.tensor([[1.0, 0], [1, 0], [0.8, 0.6], [-1, 0]])
    assert float(koleo(nearer, labels)) > float(koleo(vectors, labels))
    same = torch.tensor([[1.0, 0], [1.0, 0]])
    assert np.isfinite(float(koleo(same, torch.tensor([0, 1]))))


def test_a_few_steps_tell_pictures_apart(pictures: Pictures) -> None:
    """The whole way of a step: views, network, contrast with earlier batches, spread, optimiser, averaging."""
    config = replace(TINY, lr=1e-2, lr_backbone=1e-3, frozen_blocks=0, average=0.5)
    work = embed_training._Work(config)
    work.model.load_imagenet(packaged_weights("lite0"))
    images, labels = (torch.from_numpy(part) for part in batch_of(pictures, 1, 0, 8, 64))

    def gap() -> float:
        """Least similarity of two views of one picture above the greatest of two pictures."""
        vectors = torch_embed(work.model.eval())(images.numpy())
        similarity, same = vectors @ vectors.T, labels[:, None] == labels[None]
        return float(similarity[same].min() - similarity[~same].max())

    assert gap() < 0
    for _ in range(25):
        work.learn(images, labels, 1.0)
    assert gap() > 0.3
    vectors = torch_embed(work.averaged.eval())(images.numpy())
    assert (vectors[8:] @ vectors[:8].T).argmax(1).tolist() == list(range(8))


def test_a_run_that_is_cut_off_ends_as_one_that_is_not(tmp_path: Path, pictures: Pictures, monkeypatch) -> None:  # noqa: ANN001
    trial = _trial()
    whole = train_embedder(tmp_path / "whole", TINY, pictures, trial, None)
    learn = embed_training._Work.learn

    def cut(work: object, *arguments: object) -> float:
        if work.step == 4:  # one step after the checkpoint
            raise KeyboardInterrupt
        return learn(work, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(embed_training._Work, "learn", cut)
        with pytest.raises(KeyboardInterrupt):
            train_embedder(tmp_path / "cut", TINY, pictures, trial, None)
    rest = train_embedder(tmp_path / "cut", TINY, pictures, trial, None)
    assert whole["step"] == rest["step"] == 6
    one, two = (load_embedder(tmp_path / name).state_dict() for name in ("whole", "cut"))
    start = load_embedder(tmp_path / "whole", "step000003.pt").state_dict()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)
    assert any((one[n] != start[n]).any() for n in one)
    with pytest.raises(DataError, match="another configuration"):
        train_embedder(tmp_path / "cut", replace(TINY, lr=1.0), pictures, trial, None)
    with pytest.raises(DataError, match=r"none.pt: no such file"):
        load_embedder(tmp_path / "cut", "none.pt")


def test_a_run_ends_with_its_time(tmp_path: Path, pictures: Pictures) -> None:
    assert train_embedder(tmp_path, replace(TINY, steps=10**6, minutes=1e-6), pictures, _trial(), None)["step"] <= 1


# --- the network and its file ---


@pytest.fixture(scope="module")
def model() -> Mirrored:
    torch.manual_seed(1)
    model = Embedder()
    model.load_imagenet(packaged_weights("lite0"))
    shown = np.stack([cv2.resize(_noise(i), (64, 64)) for i in range(40)])
    model.project_by_pca(pooled_features(model, shown))
    return Mirrored(model, shown).eval()


@pytest.fixture(scope="module")
def exported(model: Mirrored, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("embedder")
    export(model, folder / "full.onnx", 224, ("embedding",), half=False)
    export(model, folder / "half.onnx", 224, ("embedding",))
    return {"full": folder / "full.onnx", "half": folder / "half.onnx"}


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """Black, white and two pictures."""
    shown = [cv2.resize(_noise(i), (224, 224)) for i in (70, 71)]
    return np.stack([np.zeros_like(shown[0]), np.full_like(shown[0], 255), *shown])


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_runtimes_equal_pytorch(model: Mirrored, exported: dict, inputs: np.ndarray, engine: str, batch: int) -> None:
    for kind, difference in (("full", 1e-3), ("half", 1e-2)):
        path = exported[kind]
        embed = onnx_embed(path) if engine == "onnxruntime" else openvino_embed(path, "f32")
        found = np.concatenate([embed(inputs[i : i + batch]) for i in range(0, 4, batch)])
        wanted = torch_embed(model)(inputs)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
        assert np.linalg.norm(found - wanted, axis=1).max() < difference


def test_the_file_keeps_the_contract(exported: dict) -> None:
    graph = onnx.load(str(exported["half"])).graph
    (image,), (vector,) = graph.input, graph.output
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (image, vector)}
    assert shapes["image"] == ["batch", 224, 224, 3]
    assert shapes["embedding"][0] == "batch"
    assert (image.type.tensor_type.elem_type, vector.type.tensor_type.elem_type) == (
        onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT,
    )  # fmt: skip
    assert not {n.op_type for n in graph.node} & {"Pad", "NonZero", "If", "Loop"}
    assert exported["half"].stat().st_size < 0.55 * exported["full"].stat().st_size


def test_what_is_served_joins_a_picture_and_its_mirror_image(model: Mirrored, inputs: np.ndarray) -> None:
    alone = torch_embed(model.model)
    with torch.no_grad():
        pairs = model.pairs(torch.from_numpy(inputs)).numpy()
    wanted = np.concatenate([alone(inputs), alone(np.ascontiguousarray(inputs[:, :, ::-1]))], 1)
    np.testing.assert_allclose(pairs, wanted, atol=1e-5)
    assert np.abs(pairs[2, :512] - pairs[2, 512:]).max() > 1e-3  # the picture is not symmetrical
    joined = pairs @ model.join.weight.detach().numpy().T
    np.testing.assert_allclose(torch_embed(model)(inputs), joined / np.linalg.norm(joined, axis=1)[:, None], atol=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_components_are_scaled_by_their_deviation(power: float) -> None:
    """Along them, deviations become their own power 1 - power, and what no row shows is left at zero."""
    rng = np.random.default_rng(2)
    sizes = np.array([3.0, 1.0, 0.25])
    rows = rng.normal(size=(4000, 3)) * sizes @ np.linalg.qr(rng.normal(size=(6, 6)))[0][:3]
    along = rows @ components(rows, 5, power).T
    np.testing.assert_allclose(np.sqrt((along**2).mean(0))[:3], sizes ** (1 - power), rtol=0.05)
    np.testing.assert_array_equal(along[:, 3:], 0)
    moments = along[:, :3].T @ along[:, :3] / len(along)
    np.testing.assert_allclose(moments - np.diag(np.diag(moments)), 0, atol=1e-4)


def test_the_projection_is_that_of_principal_components() -> None:
    """Of features that vary along two axes only: those first, each divided by the root of its deviation."""
    model = Embedder(dimensions=4)
    rng = np.random.default_rng(0)
    pooled = np.zeros((200, FEATURES), np.float32)
    pooled[:, 5], pooled[:, 9] = rng.normal(3, 4, 200), rng.normal(-1, 1, 200)
    model.project_by_pca(pooled)
    projected = model.project(torch.from_numpy(pooled)).detach().numpy()
    np.testing.assert_allclose(projected.mean(0), 0, atol=1e-4)
    deviations = np.sqrt(np.linalg.eigvalsh(np.cov(pooled[:, [5, 9]].T, bias=True)))[::-1]
    np.testing.assert_allclose(projected.std(0)[:2], np.sqrt(deviations), rtol=1e-3)
    np.testing.assert_array_equal(projected[:, 2:], 0)
    with pytest.raises(DataError, match="nothing to fit"):
        model.project_by_pca(np.ones((5, FEATURES), np.float32))


def test_the_shipped_embedder_is_signed_and_tells_blank_from_full() -> None:
    folder = ROOT / "modelrepo" / "models" / "embedder"
    path = folder / "1" / "model.onnx"
    assert path.stat().st_size < 25e6
    for config in (folder / "config.pbtxt", *(folder / "configs").glob("*.pbtxt")):
        values = contract.parameters(config.read_text())
        assert values["fingerprint"] == contract.fingerprint(path, values), config
    blank = np.zeros((1, 224, 224, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, blank.shape, dtype=np.uint8)
    for embed in (onnx_embed(path), openvino_embed(path)):
        vectors = np.concatenate([embed(blank), embed(noise)])
        assert vectors.shape == (2, 512)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=0.01)
        assert vectors[0] @ vectors[1] < 0.9


# --- the commands ---


def test_from_works_to_a_measured_file(tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("artworks", "backgrounds", "objects"):
        (tmp_path / name).mkdir()
    for i in range(9):
        cv2.imwrite(str(tmp_path / "artworks" / f"a_monet_{i:04}.png"), _noise(i))
    cv2.imwrite(str(tmp_path / "artworks" / "estense_001.png"), _noise(90))
    cv2.imwrite(str(tmp_path / "backgrounds" / "room.png"), _noise(91))
    cutout = np.dstack([_noise(92), np.full((120, 90), 255, np.uint8)])
    cv2.imwrite(str(tmp_path / "objects" / "cup.png"), cutout)
    works = ["--assets", str(tmp_path), "--walls", str(data_folder / "val")]
    run, out = str(tmp_path / "run"), tmp_path / "model.onnx"
    small = ["--steps", "1", "--instances", "4", "--side", "64", "--workers", "0", "--fitted", "8"]
    assert main(["train-embedder", run, *works, *small]) == 0
    assert main(["export-embedder", run, str(out), "--with", run, "--assets", str(tmp_path), "--fitted", "64"]) == 0
    found = ["--views", "1", "--out", str(tmp_path / "found.json")]
    assert main(["retrieval", str(out), *works, *found]) == 0
    shown = capsys.readouterr().out
    for kind in ("held out", "photos again", "rotated", "mirrored"):
        assert kind in shown
    assert main(["train-embedder", run, *works, "--instances", "1"]) == 1
    assert main(["retrieval", str(tmp_path / "none.onnx"), *works, *found]) == 1
    assert main(["retrieval", str(out), "--assets", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "--instances from 2" in errors
    assert "none.onnx: no such file" in errors
    assert "--walls" in errors


def _noise(seed: int) -> np.ndarray:
    """RGB uint8 [120,90,3], coarse."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return cv2.resize(small, (90, 120), interpolation=cv2.INTER_CUBIC)


def _trial() -> Trial:
    shown = np.stack([cv2.resize(_noise(i), (64, 64)) for i in range(4)])
    return Trial(shown, shown[[2, 0]], np.array([2, 0]))
