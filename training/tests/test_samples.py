import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lexicrop_training import samples
from lexicrop_training.samples import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((60, 80, 3), 90, np.uint8))
    return tmp_path


def coco(folder: Path, **changes: object) -> Path:
    document = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 80, "height": 60},
            {"id": 8, "file_name": "b.png", "width": 80, "height": 60},
        ],
        "categories": [{"id": 1, "name": "painting"}, {"id": 2, "name": "object"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [10, 20, 30, 15], "main": True},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        ],
    } | changes
    path = folder / "coco.json"
    path.write_text(json.dumps(document))
    return path


def test_coco_boxes_become_corners(folder: Path) -> None:
    first, second = samples.read_any(coco(folder))
    np.testing.assert_allclose(first.boxes, [[10, 20, 40, 35]])
    assert first.labels.tolist() == [2]
    assert first.main.tolist() == [True]
    np.testing.assert_allclose(first.ignore, [[0, 0, 5, 5]])
    assert len(second.boxes) == 0
    samples.check_readable([first, second])


def test_csv_says_the_same_as_coco(folder: Path) -> None:
    path = folder / "boxes.csv"
    path.write_text("file,x1,y1,x2,y2,label,main\na.png,10,20,40,35,object,1\nb.png,,,,,,\n")
    first, second = samples.read_any(path)
    np.testing.assert_allclose(first.boxes, [[10, 20, 40, 35]])
    assert first.main.tolist() == [True]
    assert len(second.boxes) == 0


def test_labels_json_reads_inner_boxes(folder: Path) -> None:
    entry = {
        "file": "a.png", "w": 80, "h": 60, "ignore": [[0, 0, 4, 4]],
        "works": [{"outer": [0, 0, 80, 60], "inner": [5, 5, 70, 50], "kind": "painting", "main": True}],
    }  # fmt: skip
    (folder / "labels.json").write_text(json.dumps([entry]))
    (sample,) = samples.read_any(folder)
    np.testing.assert_allclose(sample.boxes, [[5, 5, 70, 50]])
    np.testing.assert_allclose(sample.ignore, [[0, 0, 4, 4]])
    np.testing.assert_allclose(sample.outer, [[0, 0, 80, 60]])
    del entry["works"][0]["outer"]
    (folder / "labels.json").write_text(json.dumps([entry]))
    assert np.isnan(samples.read_any(folder)[0].outer).all()  # not known, not "no frame"


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"bbox": [10, 20, 0, 15]}, "empty or inverted"),
        ({"bbox": [30, 20, -10, 15]}, "empty or inverted"),
        ({"bbox": [70, 20, 30, 15]}, "outside"),
        ({"bbox": [1, 2, 3]}, "COCO"),
        ({"category_id": 9}, "unknown class"),
        ({"image_id": 99}, "unlisted image"),
        ({"bbox": [float("nan"), 2, 3, 4]}, "empty or inverted"),
    ],
)
def test_bad_coco_is_refused_by_name(folder: Path, annotation: dict, reason: str) -> None:
    whole = {"id": 1, "image_id": 7, "category_id": 2, "bbox": [10, 20, 30, 15]} | annotation
    with pytest.raises(DataError, match=reason) as caught:
        samples.read_any(coco(folder, annotations=[whole]))
    assert "a.png" in str(caught.value) or "coco.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,x1\n", "header lacks"),
        ("file,x1,y1,x2,y2,label\na.png,1,2,x,4,painting\n", r"line 2 \(a.png\)"),
        ("file,x1,y1,x2,y2,label\na.png,1,2,3,4,vase\n", "unknown class 'vase'"),
        ("file,x1,y1,x2,y2,label\n", "no labelled pictures"),
    ],
)
def test_bad_csv_is_refused_by_name(folder: Path, text: str, reason: str) -> None:
    path = folder / "boxes.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        samples.read_any(path)


def test_a_csv_box_outside_is_found_before_training(folder: Path) -> None:
    path = folder / "boxes.csv"
    path.write_text("file,x1,y1,x2,y2,label\na.png,1,2,300,4,painting\n")
    with pytest.raises(DataError, match=r"a.png.*outside"):
        samples.check_readable(samples.read_any(path))


def test_missing_and_broken_pictures_are_named(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    with pytest.raises(DataError, match=r"broken.jpg: not a readable picture"):
        samples.read_image(folder / "broken.jpg")
    with pytest.raises(DataError, match=r"gone.jpg: no such file"):
        samples.read_image(folder / "gone.jpg")


@pytest.mark.parametrize("text", ["{", "[1, 2]", '[{"file": "a.png"}]', '{"annotations": []}'])
def test_other_json_is_refused(folder: Path, text: str) -> None:
    (folder / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels.json"):
        samples.read_any(folder)


def test_all_shared_labels_are_sound(data_folder: Path) -> None:
    for name in ("val", "val_crowded", "val_objects", "object_photos"):
        samples.check_readable(samples.read_any(data_folder / name))
