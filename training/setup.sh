#!/usr/bin/env bash
# Makes the virtual environment build/training that training and its tests run in.
# Does nothing when the environment is up to date with the pinned requirements.
# PYTHON chooses the interpreter (3.10 to 3.13); GPU=1 adds the CUDA libraries.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/training
files=(training/requirements.txt training/pyproject.toml training/setup.sh)
[ "${GPU:-0}" = 1 ] && files+=(training/requirements-gpu.txt)
wanted=$(cat "${files[@]}" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$venv/.requirements" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
    echo "training needs Python 3.10 to 3.13, $python is $("$python" --version); set PYTHON" >&2
    exit 1
}
echo "installing the training environment into $venv (about 2 GB to download)" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
requirements=(-r training/requirements.txt)
[ "${GPU:-0}" = 1 ] && requirements+=(-r training/requirements-gpu.txt)
"$venv/bin/python" -m pip install --quiet --no-cache-dir --no-deps "${requirements[@]}"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable training
echo "$wanted" >"$venv/.requirements"
