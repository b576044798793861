"""Data for the tests: mostly made on the spot; the shared photos only where real ones are the point."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lexicrop_training.assets import Assets
from lexicrop_training.samples import Sample

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # waiting threads are costly on a busy machine


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The smallest detector that the repository ships: the package's default network."""
    return shipped_detector("detector-small")


def shipped_detector(name: str) -> Path:
    return ROOT / "modelrepo" / "models" / name / "1" / "model.onnx"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The shared photos: LEXICROP_TEST_DATA, or beside the repository. Missing ones fail in CI, else skip."""
    folder = Path(os.environ.get("LEXICROP_TEST_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not (folder / "val" / "labels.json").exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{folder}: no photos to test on; set LEXICROP_TEST_DATA")
        pytest.skip(f"{folder}: no photos to test on; set LEXICROP_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def assets() -> Assets:
    return made_assets()


def made_assets(colour: tuple[int, int, int] | None = None) -> Assets:
    """Small made-up pictures; with `colour`, works and objects are of that colour alone."""
    rng = np.random.default_rng(5)

    def noise(h: int, w: int) -> np.ndarray:
        small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        return cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)

    def work(h: int, w: int) -> np.ndarray:
        return noise(h, w) if colour is None else np.tile(np.array(colour, np.uint8), (h, w, 1))

    cutouts = []
    for _ in range(4):
        alpha = np.zeros((90, 70), np.uint8)
        cv2.ellipse(alpha, (35, 45), (34, 44), 0, 0, 360, 255, -1)
        cutouts.append(np.dstack([work(90, 70), alpha])[1:90, 1:70])
    photos = []
    for i in range(3):
        image = np.full((120, 140, 3), 60 + 60 * i, np.uint8)
        cv2.ellipse(image, (70, 60), (40, 30), 0, 0, 360, colour or (200, 30, 40), -1)
        box = np.array([[30, 30, 111, 91]], np.float32)
        photos.append(Sample(Path(f"object{i}"), box, np.array([2]), np.array([True]), image=image))
    backgrounds = [noise(160, 200) * np.array([0, 1, 0], np.uint8) for _ in range(3)]  # nowhere near a marker
    return Assets([work(120, 120) for _ in range(5)], [True] * 5, backgrounds, cutouts, photos)
