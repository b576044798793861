#!/usr/bin/env bash
# Installs a Triton Inference Server for this machine (no GPU, no Docker) into
# build/triton, or into the folder given. Instant when it is there already.
#
#   triton/local/setup.sh [FOLDER]
#
# Afterwards FOLDER/bin/tritonserver starts it: with the Python backend, and
# with OpenVINO and numpy for the models. PYTHON chooses the interpreter; else
# the first suitable one is taken. Needs x86-64, glibc 2.35 or newer (Debian 12,
# Ubuntu 22.04), and a Python of 3.10 to 3.12 that has venv and a shared
# libpython.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=$(realpath -m "${1:-$here/../../build/triton}")

fail() {
  echo "setup of the local Triton: $*" >&2
  exit 1
}

stamp=$({ cat "$here/setup.sh" "$here/requirements.txt"; echo "$prefix"; } | sha256sum | cut -d" " -f1)
if [ "$(cat "$prefix/stamp" 2>/dev/null)" = "$stamp" ] && "$prefix/bin/python" -c '' 2>/dev/null; then
  exit 0
fi

# Whoever comes second waits, and finds it done.
mkdir -p "$(dirname "$prefix")"
exec 9>"$prefix.lock"
flock 9
if [ "$(cat "$prefix/stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || fail "no tritonserver is published for $(uname -sm); use a Triton elsewhere"
glibc=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
[ "$(printf '2.35\n%s\n' "$glibc" | sort -V | head -1)" = 2.35 ] ||
  fail "glibc $glibc is too old, 2.35 is needed (Debian 12, Ubuntu 22.04 or newer)"

# Prints "3.X DIRECTORY-OF-LIBPYTHON" for an interpreter that serves, else says
# on standard error what it lacks. Debian's lib folder is LIBDIR/MULTIARCH.
probe='
import os, sys, sysconfig
v = sys.version_info
name = "%d.%d" % v[:2]
if not (3, 10) <= v[:2] <= (3, 12):
    sys.exit("Python %s: 3.10 to 3.12 is needed" % name)
try:
    import ensurepip, venv
except ImportError:
    sys.exit("Python %s lacks venv: apt-get install python3-venv" % name)
get = sysconfig.get_config_var
for d in (get("LIBDIR"), os.path.join(get("LIBDIR"), get("MULTIARCH") or "")):
    if os.path.exists(os.path.join(d, "libpython%s.so.1.0" % name)):
        print(name, d)
        break
else:
    sys.exit("Python %s lacks its shared library: apt-get install libpython%s" % (name, name))
'
complaints=""
for python in ${PYTHON:-/usr/bin/python3 python3 python3.12 python3.11 python3.10}; do
  path=$(command -v "$python") || continue
  if found=$("$path" -I -c "$probe" 2>&1); then
    read -r version libdir <<<"$found"
    break
  fi
  complaints+=$'\n'"  $path: $found"
done
[ -n "${version:-}" ] || fail "no suitable Python:${complaints:- none found}"$'\n'"  (on Debian and Ubuntu: apt-get install python3 python3-venv libpython3.X)"

if [ -e "$prefix" ] && [ ! -e "$prefix/pyvenv.cfg" ]; then
  fail "$prefix is there and not of this script's making"
fi
echo "Installing Triton into $prefix (Python $version)"
rm -rf "$prefix"
"$path" -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --require-hashes -r "$here/requirements.txt"

# The Python backend looks for its stub, which is built for one version of
# Python, beside its own library.
site=$prefix/lib/python$version/site-packages
bundle=$site/pytriton/tritonserver
mkdir -p "$prefix/backends/python"
ln -s "$bundle"/backends/python/{libtriton_python.so,triton_python_backend_utils.py} \
  "$bundle/python_backend_stubs/$version/triton_python_backend_stub" "$prefix/backends/python/"

cat >"$prefix/bin/tritonserver" <<SCRIPT
#!/bin/sh
# The stub's interpreter takes no PYTHONPATH; it finds the virtual environment
# by the python3 that is first in PATH.
unset PYTHONHOME PYTHONPATH
export PATH='$prefix/bin':"\$PATH"
export LD_LIBRARY_PATH='$site/nvidia_pytriton.libs:$libdir'
exec '$bundle/bin/tritonserver' --backend-directory='$prefix/backends' "\$@"
SCRIPT
chmod +x "$prefix/bin/tritonserver"
help=$("$prefix/bin/tritonserver" --help 2>&1) || true # exits with 1 after its help
[[ $help == *--model-repository* ]] || fail "tritonserver does not start: $help"
echo "$stamp" >"$prefix/stamp"
