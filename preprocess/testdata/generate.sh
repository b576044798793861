#!/usr/bin/env bash
# Makes the test pictures again, and what Pillow and Little CMS make of them.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -x build/pillow/bin/python ] || /usr/bin/python3 -m venv build/pillow
build/pillow/bin/python -m pip install --quiet --disable-pip-version-check pillow==13.0.0 pillow-heif==1.8.0
for script in preprocess/icc/testdata/golden.py preprocess/resample/testdata/golden.py \
  preprocess/testdata/generate.py preprocess/testdata/letterbox/golden.py; do
  build/pillow/bin/python -W ignore "$script"
done
