#!/usr/bin/env bash
# Installs what the original service runs on into build/original, and writes its
# network there. Instant when it is there already. Needs build/training
# (training/setup.sh) to write the network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix=$root/build/original

stamp=$(cat "$here"/{setup.sh,requirements.txt,export.py} | sha256sum | cut -d" " -f1)
[ "$(cat "$prefix/stamp" 2>/dev/null)" != "$stamp" ] || exit 0

echo "Installing the original service into $prefix"
rm -rf "$prefix"
"${PYTHON:-/usr/bin/python3}" -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$here/requirements.txt"
PYTHONPATH=$root/training "$root/build/training/bin/python" "$here/export.py" "$prefix/model.onnx"
echo "$stamp" >"$prefix/stamp"
