# /// script
# requires-python = ">=3.10"
# dependencies = ["pillow==13.0.0"]
# ///
"""Has Pillow decode the README's scene in full and resize it: the golden files of fidelity_test.go.

Renew, from the repository's root, with `make generate-testdata`.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
SCENE = HERE.parent.parent.parent / "docs" / "images" / "scene.jpg"


def main() -> None:
    scene = Image.open(SCENE).convert("RGB")
    for side in (320, 200, 96):
        size = (round(scene.width * side / scene.height), side)
        scene.resize(size, Image.Resampling.BILINEAR).save(HERE / f"scene-{side}.png", optimize=True)


if __name__ == "__main__":
    main()
