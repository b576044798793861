#!/usr/bin/env bash
# Installs the tools that lint and generate use into build/tools: those of
# go.mod beside this script, built with this machine's Go, and those of
# requirements.txt. Instant when they are there. What was built once is kept in
# ~/.cache/lexicrop for other checkouts.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=$(realpath -m "$here/../../build/tools")

hash_of() { cat "$@" | sha256sum | cut -c1-20; }

# with_stamp NAME HASH COMMAND…: runs the command unless it has been run for the same hash.
with_stamp() {
  local stamp=$tools/$1.stamp
  [ "$(cat "$stamp" 2>/dev/null)" = "$2" ] && return
  "${@:3}"
  echo "$2" >"$stamp"
}

python_tools() {
  echo "Installing the tools from PyPI into $tools/python"
  rm -rf "$tools/python"
  /usr/bin/python3 -m venv "$tools/python"
  "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r "$here/requirements.txt"
}

go_tools() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/lexicrop/tools-$1 part
  if [ ! -d "$cache" ]; then
    echo "Building the Go tools (some minutes, once)"
    mkdir -p "${cache%/*}"
    part=$(mktemp -d "$cache.XXXXXX")
    (cd "$here" && GOBIN=$part GOFLAGS="-buildvcs=false -trimpath" nice go install tool) || { rm -rf "$part"; return 1; }
    mv -T "$part" "$cache" 2>/dev/null || rm -rf "$part" # someone else was first
  fi
  rm -rf "${tools:?}/bin"
  ln -s "$cache" "$tools/bin"
}

mkdir -p "$tools"
go_hash=$({ go env GOVERSION; cat "$here/go.mod" "$here/go.sum"; } | hash_of -)
with_stamp go "$go_hash" go_tools "$go_hash"
with_stamp python "$(hash_of "$here/requirements.txt")" python_tools
