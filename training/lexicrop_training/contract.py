"""The fingerprint in a model's Triton config: which file and which contract the vectors or boxes came from.

It is the hex sha256 of the line `file=<hex sha256 of model.onnx>` followed by one line `key=value` for each contract
parameter of the config, sorted by key, each line ending in a newline. modelrepo/fingerprint.go checks the same rule.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lexicrop_training.samples import DataError

# What counts; all other parameters are a backend's own business and may differ between profiles.
KEYS = (
    "align", "box_units", "boxes", "decoder", "filter", "labels", "layout", "outputs", "pad", "resize", "scale", "size",
    "space", "task",
)  # fmt: skip

_PARAMETER = re.compile(
    r'parameters\s*:?\s*\{\s*key\s*:\s*"([^"]*)"\s*value\s*:?\s*\{\s*string_value\s*:\s*"([^"]*)"\s*\}\s*\}'
)


def parameters(config: str) -> dict[str, str]:
    """The string parameters of a config.pbtxt."""
    bare = "\n".join(line for line in config.splitlines() if not line.lstrip().startswith("#"))
    return dict(_PARAMETER.findall(bare))


def fingerprint(model: Path, values: dict[str, str]) -> str:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    lines = [f"file={digest}\n"] + [f"{k}={v}\n" for k, v in sorted(values.items()) if k in KEYS]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sign(folder: Path) -> str:
    """Writes the fingerprint into every config of a model's folder (config.pbtxt, configs/*.pbtxt)."""
    model = folder / "1" / "model.onnx"
    if not model.exists():
        raise DataError(f"{model}: no such file")
    written = ""
    for path in [folder / "config.pbtxt", *sorted((folder / "configs").glob("*.pbtxt"))]:
        if not path.exists():
            raise DataError(f"{path}: no such file")
        text = path.read_text()
        values = parameters(text)
        if "fingerprint" not in values:
            raise DataError(f"{path}: has no parameter fingerprint to fill in")
        written = fingerprint(model, values)
        path.write_text(
            re.sub(
                r'(key\s*:\s*"fingerprint"\s*value\s*:?\s*\{\s*string_value\s*:\s*)"[^"]*"',
                rf'\1"{written}"',
                text,
            )
        )
    return written
