"""Labelled photos: one type for all sources, and the readers of labels.json, COCO and CSV.

Boxes are float32 [n,4] xyxy in pixels of the stored picture. Readers check everything that can be checked
without training, and raise DataError with the file's name: a run must not die at its end for what could be
seen at its start.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

CLASSES = ("painting", "object")  # class ids 1 and 2; 0 is background


class DataError(Exception):
    """Something is wrong with the user's data; the text names the file and says what."""


@dataclass(frozen=True)
class Sample:
    path: Path
    boxes: np.ndarray  # float32 [n,4], what one sees inside the frame
    labels: np.ndarray  # int64 [n], 1 painting, 2 object
    main: np.ndarray  # bool [n], the work the photographer meant; all False when unknown
    ignore: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # may be found without fault
    image: np.ndarray | None = None  # RGB uint8 HWC when already in memory
    outer: np.ndarray | None = None  # float32 [n,4], the boxes with their frames, NaN where not known

    def with_image(self, image: np.ndarray) -> Sample:
        check_boxes(self, image.shape[1], image.shape[0])
        return replace(self, image=image)

    def pixels(self) -> np.ndarray:
        return self.image if self.image is not None else read_image(self.path)


def read_image(path: Path) -> np.ndarray:
    """RGB uint8 [h,w,3] as stored, EXIF orientation not applied (labels are in stored pixels)."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError(f"{path}: not a readable picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_any(path: Path, images: Path | None = None) -> list[Sample]:
    """Reads a dataset by its form: a folder with labels.json, a COCO .json, or a .csv (pictures in `images`)."""
    if path.is_dir():
        path = path / "labels.json"
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() == ".csv":
        samples = read_csv(path, images or path.parent)
    else:
        document = _json(path)
        coco = isinstance(document, dict) and "annotations" in document
        samples = read_coco(path, images or path.parent) if coco else read_labels(path)
    if not samples:
        raise DataError(f"{path}: holds no labelled pictures")
    return samples


def read_labels(path: Path) -> list[Sample]:
    """labels.json of this project: a list of {file, w, h, works: [{inner, outer, kind, main}], ignore: [box]};
    without `outer`, which takes the frame in, the frame is not known."""
    samples = []
    for entry in _json(path):
        try:
            works = entry["works"]
            ignore = [i["box"] if isinstance(i, dict) else i for i in entry.get("ignore", [])]
            sample = _sample(
                path.parent / entry["file"],
                [w["inner"] for w in works],
                [w["kind"] for w in works],
                [bool(w.get("main")) for w in works],
                ignore,
            )
            check_boxes(sample, entry["w"], entry["h"])
            outer = np.array([w.get("outer", [np.nan] * 4) for w in works], np.float32).reshape(-1, 4)
            sample = replace(sample, outer=outer)
        except (KeyError, TypeError, ValueError) as err:
            name = entry.get("file", "?") if isinstance(entry, dict) else "?"
            raise DataError(f"{path}: entry {name}: {type(err).__name__} {err}") from err
        samples.append(sample)
    return samples


def read_coco(path: Path, images: Path) -> list[Sample]:
    """COCO detection file; category names must be among CLASSES, crowd annotations become `ignore`.

    A picture without annotations is kept: an empty scene teaches too. The attribute `main` of an annotation
    (not part of COCO) marks the work that was meant.
    """
    document = _json(path)
    try:
        names = {c["id"]: c["name"] for c in document["categories"]}
        by_image: dict[int, list[dict]] = {i["id"]: [] for i in document["images"]}
        for annotation in document["annotations"]:
            if annotation["image_id"] not in by_image:
                raise DataError(f"{path}: annotation {annotation.get('id')} is of an unlisted image")
            by_image[annotation["image_id"]].append(annotation)
        samples = []
        for image in document["images"]:
            found = by_image[image["id"]]
            works = [a for a in found if not a.get("iscrowd")]
            sample = _sample(
                images / image["file_name"],
                [_from_xywh(a["bbox"]) for a in works],
                [names.get(a["category_id"], f"category {a['category_id']}") for a in works],
                [bool(a.get("main")) for a in works],
                [_from_xywh(a["bbox"]) for a in found if a.get("iscrowd")],
            )
            check_boxes(sample, image["width"], image["height"])
            samples.append(sample)
    except (KeyError, TypeError, ValueError) as err:
        raise DataError(f"{path}: not a COCO detection file: {type(err).__name__} {err}") from err
    return samples


def read_csv(path: Path, images: Path) -> list[Sample]:
    """Rows of file,x1,y1,x2,y2,label[,main]; a row with only a file name is a picture without works."""
    rows: dict[str, list[tuple[list[float], str, bool]]] = {}
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = {"file", "x1", "y1", "x2", "y2", "label"} - set(reader.fieldnames or [])
        if missing:
            raise DataError(f"{path}: the header lacks {', '.join(sorted(missing))}")
        for row in reader:
            works = rows.setdefault(row["file"], [])
            if not row["x1"]:
                continue
            try:
                box = [float(row[k]) for k in ("x1", "y1", "x2", "y2")]
            except (TypeError, ValueError) as err:
                raise DataError(f"{path}: line {reader.line_num} ({row['file']}): {err}") from err
            main = (row.get("main") or "").strip().lower() in {"1", "true", "yes"}
            works.append((box, row["label"], main))
    return [
        _sample(images / name, [w[0] for w in works], [w[1] for w in works], [w[2] for w in works], [])
        for name, works in rows.items()
    ]


def check_boxes(sample: Sample, width: int, height: int) -> None:
    """DataError when a box is inverted, empty or more than a pixel outside of the picture."""
    for box in np.concatenate([sample.boxes, sample.ignore]):
        if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise DataError(f"{sample.path}: the box {box.tolist()} is empty or inverted")
        if min(box[0], box[1]) < -1 or box[2] > width + 1 or box[3] > height + 1:
            raise DataError(f"{sample.path}: the box {box.tolist()} lies outside of {width}x{height}")


def check_readable(samples: Iterable[Sample]) -> None:
    """Opens every picture once, so that a broken one stops the run before it starts."""
    for sample in samples:
        image = sample.pixels()
        check_boxes(sample, image.shape[1], image.shape[0])


def _sample(
    path: Path, boxes: list[list[float]], kinds: list[str], main: list[bool], ignore: list[list[float]]
) -> Sample:
    for kind in kinds:
        if kind not in CLASSES:
            raise DataError(f"{path}: unknown class {kind!r}; known are {', '.join(CLASSES)}")
    return Sample(
        path,
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray([CLASSES.index(k) + 1 for k in kinds], np.int64),
        np.asarray(main, bool),
        np.asarray(ignore, np.float32).reshape(-1, 4),
    )


def _from_xywh(box: list[float]) -> list[float]:
    x, y, w, h = box
    return [x, y, x + w, y + h]


def _json(path: Path) -> list | dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise DataError(f"{path}: no such file") from err
    except (json.JSONDecodeError, UnicodeDecodeError) as err:
        raise DataError(f"{path}: not JSON: {err}") from err
