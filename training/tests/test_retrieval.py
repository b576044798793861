"""How retrieval is measured: figures worked out by hand, works that stay on their side of the split, photos."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lexicrop_training.geometry import iou_numpy
from lexicrop_training.retrieval import Found, area, embed_all, micro_ap, once, report, search
from lexicrop_training.retrieval_photos import (
    Split,
    Work,
    again_trial,
    fit,
    gallery_trial,
    make_trial,
    photographed,
    split_works,
    turned_trial,
    wrong_box,
)
from lexicrop_training.samples import DataError, Sample

LABELS = Path(__file__).parents[1] / "labels"


def test_search_ranks_the_right_work_among_all() -> None:
    catalogue = np.eye(4, dtype=np.float32)
    photos = np.array([
        [0.8, 0.6, 0, 0],  # of 0, found first
        [0.8, 0.6, 0, 0],  # of 1, found second
        [0.5, 0.5, 0.5, 0.5],  # of 2, as near to all: counts as last
        [0, 0, 0.6, 0.8],  # of a work outside
    ], np.float32)  # fmt: skip
    found, outside = search(catalogue, photos, np.array([0, 1, 2, -1]))
    assert [f.rank for f in found] == [1, 2, 4]
    np.testing.assert_allclose([f.right for f in found], [0.8, 0.6, 0.5])
    np.testing.assert_allclose([f.wrong for f in found], [0.6, 0.8, 0.5])
    np.testing.assert_allclose(outside, [0.8])


def test_report_by_hand() -> None:
    found = [Found(1, 0.9, 0.5, 3), Found(2, 0.6, 0.7, 5), Found(6, 0.2, 0.8, 7), Found(1, 0.3, 0.1, 8)]
    outside = np.linspace(0.0, 0.4, 101)  # whose 99th percentile is 0.396
    made = report(found, outside)
    assert made["photos"] == 4
    assert made["outside"] == 101
    assert made["recall@1"] == 0.5
    assert made["recall@5"] == 0.75
    # Pairs of a right above a wrong: 4 of 0.9, 2 of 0.6, 1 of 0.2, 1 of 0.3.
    assert made["auc_wrong"] == pytest.approx(8 / 16)
    assert made["threshold"] == pytest.approx(0.396)
    assert made["recall_above_threshold"] == 0.25  # 0.9; the 0.3 is first too, but below
    assert made["right_median"] == pytest.approx(0.45)
    for name in ("recall@1", "auc_wrong"):
        low, high = made[f"{name}_95"]
        assert 0 <= low < made[name] < high <= 1
    assert report([replace(f, work=3) for f in found], outside)["recall@1_95"] == [0.5, 0.5]  # one work says no more


def test_report_without_works_outside_has_no_threshold() -> None:
    assert "threshold" not in report([Found(1, 0.9, 0.5, 0)], np.zeros(0))


def test_micro_ap_by_hand() -> None:
    """Surest first: right (0.9), outside (0.8), wrong (0.7), right (0.6): (1/1 + 2/4) of three to be found."""
    found = [Found(1, 0.9, 0.1, 0), Found(2, 0.3, 0.7, 1), Found(1, 0.6, 0.2, 2)]
    assert micro_ap(found, np.array([0.8])) == pytest.approx((1 + 2 / 4) / 3)
    assert micro_ap(found[:1], np.array([0.8])) == 1
    assert micro_ap(found[1:2], np.array([0.8])) == 0


def test_area_counts_ties_as_half() -> None:
    assert area(np.array([0.5, 0.9]), np.array([0.5, 0.1])) == pytest.approx((0.5 + 1 + 1 + 1) / 4)


def test_vectors_are_divided_by_their_length() -> None:
    images = np.arange(1, 19, dtype=np.uint8)[:, None, None, None]
    vectors = embed_all(lambda part: part[:, :, 0, 0].astype(np.float32) * [[3.0, 4.0]], images)
    np.testing.assert_allclose(vectors, np.tile([0.6, 0.8], (18, 1)))


def test_a_picture_is_embedded_once() -> None:
    seen: list[int] = []

    def embed(images: np.ndarray) -> np.ndarray:
        seen.extend(images.ravel().tolist())
        return images.reshape(-1, 1).astype(np.float32)

    again = once(embed)
    for values in ([3, 5, 3], [5, 7], [7, 3]):
        images = np.array(values, np.uint8)[:, None, None, None]
        assert again(images).ravel().tolist() == values
    assert sorted(seen) == [3, 5, 7]


# --- the split ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve works of two painters, three of them shown twice, one of those also in the gallery."""
    (tmp_path / "artworks").mkdir()
    names = [f"{who}_{i:04}" for who in ("a_monet", "b_degas") for i in range(9)] + ["estense_01", "estense_02"]
    for i, name in enumerate(names):
        noise = np.random.default_rng(i).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        size = (60, 60) if i % 2 else (80, 50)
        cv2.imwrite(str(tmp_path / "artworks" / f"{name}.png"), cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))
    same = "# by eye\na_monet_0000 a_monet_0002\na_monet_0003 b_degas_0002 b_degas_0007\nestense_02 a_monet_0008\n"
    (tmp_path / "same.txt").write_text(same)
    return tmp_path


def test_no_work_is_on_two_sides(folder: Path) -> None:
    split = split_works(folder / "artworks", folder / "same.txt")
    _check_sides(split, folder / "artworks", folder / "same.txt")
    by_name = {w.name: w for part in (split.train, split.held, split.outside) for w in part}
    assert len(by_name) == 16
    assert len(by_name["a_monet_0003"].more) == 2
    assert {w.name for w in split.outside} == {"estense_01", "estense_02"}
    assert by_name["estense_02"].more  # a reproduction of it is nowhere else
    assert split.held
    # Without the list, each picture is a work.
    assert sum(len(part) for part in vars(split_works(folder / "artworks")).values()) == 20


def test_the_shared_works_are_split_without_leaks(data_folder: Path) -> None:
    artworks, same = data_folder / "artworks", LABELS / "same_works.txt"
    split = split_works(artworks, same)
    _check_sides(split, artworks, same)
    listed = [n for line in same.read_text().splitlines() if line[0] != "#" for n in line.split()]
    assert len(set(listed)) == len(listed)
    for name in listed:
        assert (data_folder / f"{name}.jpg" if "/" in name else artworks / f"{name}.jpg").exists(), name
    assert (len(split.train), len(split.held), len(split.outside)) == (590, 148, 95)


def _check_sides(split: Split, artworks: Path, same: Path) -> None:
    """Every picture is on one side, and pictures of one work are one work."""
    pixels = {p.stem: cv2.imread(str(p))[:, :, ::-1].tobytes() for p in artworks.iterdir()}
    sides: dict[bytes, set[str]] = {}
    for name, works in vars(split).items():
        for work in works:
            for image in (work.image, *work.more):
                sides.setdefault(image.tobytes(), set()).add(name)
    assert all(len(side) == 1 for side in sides.values())
    assert set(sides) == set(pixels.values())  # and none is lost
    for line in same.read_text().splitlines():
        if not line.startswith("#"):
            assert len(set().union(*(sides[pixels[n]] for n in line.split() if "/" not in n))) <= 1, line


def test_a_split_of_too_few_works_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        split_works(tmp_path / "artworks")
    (tmp_path / "artworks").mkdir()
    for i in range(5):
        cv2.imwrite(str(tmp_path / "artworks" / f"a_{i}.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="too few works"):
        split_works(tmp_path / "artworks")
    with pytest.raises(DataError, match=r"same.txt: no such file"):
        split_works(tmp_path / "artworks", tmp_path / "same.txt")


# --- photos ---


def test_trials_hold_photos_of_the_works_they_name(folder: Path) -> None:
    """Each work is told by its mean colour, and stays nearest to it on the wall and in bad light, mostly."""
    split = _coloured(folder)
    trial = make_trial(split, [_wall()], 64, 3, 5)
    catalogue = [*split.held, *split.train]
    assert trial.catalogue.shape == (len(catalogue), 64, 64, 3)
    assert trial.photos.dtype == trial.catalogue.dtype == np.uint8
    wanted = [i for i in range(len(split.held)) for _ in range(3)] + [-1] * 3 * len(split.outside)
    assert trial.work.tolist() == wanted
    colours = trial.catalogue.reshape(len(catalogue), -1, 3).mean(1)
    right = 0
    for photo, work in zip(trial.photos[trial.work >= 0], trial.work[trial.work >= 0], strict=True):
        seen = photo[16:48, 16:48].reshape(-1, 3).mean(0)
        shades = _hue(colours[: len(split.held)])
        right += int((shades @ _hue(seen[None])[0]).argmax() == work)
    assert right >= 0.8 * (trial.work >= 0).sum()
    again = make_trial(split, [_wall()], 64, 3, 5)
    np.testing.assert_array_equal(again.photos, trial.photos)
    assert (make_trial(split, [_wall()], 64, 3, 6).photos != trial.photos).any()


def test_photos_again_and_turned_pictures_name_their_works(folder: Path) -> None:
    split = split_works(folder / "artworks", folder / "same.txt")
    walls = [replace(_wall(), path=Path(f"halls/wall{i}.jpg")) for i in range(3)]
    again = again_trial(split, walls, 32, 2, 1)
    assert again.work.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(again.catalogue) == 3 + 16
    (folder / "same.txt").write_text("halls/wall2 halls/wall1\n")
    again = again_trial(split, walls, 32, 2, 1, same=folder / "same.txt")
    assert again.work.tolist() == [0, 0, 1, 1, 1, 1]  # what is named as one work is one, and in the catalogue once
    assert len(again.catalogue) == 2 + 16
    turned = turned_trial(split, 32, "mirrored")
    for photo, place in zip(turned.photos, turned.work, strict=True):
        np.testing.assert_allclose(photo[:, ::-1].astype(int), turned.catalogue[place], atol=1)
    rotated = turned_trial(split, 32, "rotated")
    assert rotated.photos.shape == turned.photos.shape


def test_a_gallery_is_cut_out_by_its_labels(folder: Path) -> None:
    split = split_works(folder / "artworks", folder / "same.txt")
    photo = np.zeros((100, 120, 3), np.uint8)
    photo[20:80, 30:90] = (10, 200, 30)
    cv2.imwrite(str(folder / "room.png"), photo[:, :, ::-1])
    labels = folder / "gallery.csv"
    labels.write_text("file,x1,y1,x2,y2,work\nroom.png,30,20,90,80,estense_02\n")
    trial = gallery_trial(split, labels, folder, 16)
    assert (trial.photos[0] == (10, 200, 30)).all()
    place = trial.work[0]
    np.testing.assert_array_equal(trial.catalogue[place], fit(split.outside[1].image, 16, "stretch"))
    labels.write_text("file,x1,y1,x2,y2,work\nroom.png,30,20,90,80,estense_99\n")
    with pytest.raises(DataError, match="there is no work estense_99"):
        gallery_trial(split, labels, folder, 16)
    with pytest.raises(DataError, match=r"none.csv: no such file"):
        gallery_trial(split, folder / "none.csv", folder, 16)


def test_the_labelled_gallery_is_in_the_shared_photos(data_folder: Path) -> None:
    with (LABELS / "gallery.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 14
    for row in rows:
        assert (data_folder / "artworks" / f"{row['work']}.jpg").exists()
        h, w = cv2.imread(str(data_folder / "val_crowded" / row["file"])).shape[:2]
        assert 0 <= float(row["x1"]) < float(row["x2"]) <= w
        assert 0 <= float(row["y1"]) < float(row["y2"]) <= h


def test_wrong_boxes_are_wrong_but_not_too_wrong() -> None:
    rng = np.random.default_rng(0)
    overlaps = []
    for _ in range(300):
        corner = rng.uniform(0, 60, 2)
        box = np.concatenate([corner, corner + rng.uniform(20, 100, 2)])
        made = wrong_box(rng, box, 200, 180)
        assert (made[:2] >= 0).all()
        assert made[2] <= 200
        assert made[3] <= 180
        overlaps.append(iou_numpy(made[None], box[None])[0, 0])
    assert min(overlaps) >= 0.6
    assert np.median(overlaps) < 0.95


def test_photographed_works_of_any_shape() -> None:
    for seed, size in enumerate([(300, 20), (20, 300), (8, 8), (500, 400)]):
        crop = photographed(np.random.default_rng(seed), np.full((*size, 3), 90, np.uint8), _wall())
        assert min(crop.shape[:2]) >= 2
        assert crop.dtype == np.uint8


def _wall() -> Sample:
    """A grey wall with one framed work."""
    image = np.full((240, 200, 3), 120, np.uint8)
    image[40:200, 40:160] = (90, 60, 30)
    image[50:190, 50:150] = 200
    box = np.array([[50, 50, 150, 190]], np.float32)
    return Sample(Path("wall"), box, np.array([1]), np.array([True]), image=image)


def _coloured(folder: Path) -> Split:
    """The folder's split, each work in a colour of its own."""
    split = split_works(folder / "artworks", folder / "same.txt")
    colours = [(220, 30, 30), (30, 200, 40), (40, 60, 220), (210, 200, 30), (30, 200, 200), (200, 40, 200)]

    def paint(works: list[Work]) -> list[Work]:
        return [Work(w.name, np.tile(np.array(colours[i % 6], np.uint8), (*w.image.shape[:2], 1)), w.square)
                for i, w in enumerate(works)]  # fmt: skip

    return Split(paint(split.train), paint(split.held), paint(split.outside))


def _hue(colours: np.ndarray) -> np.ndarray:
    """Colours without their brightness, as directions."""
    plain = colours - colours.mean(1, keepdims=True)
    return plain / np.linalg.norm(plain, axis=1, keepdims=True)
