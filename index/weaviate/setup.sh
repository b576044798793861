#!/usr/bin/env bash
# Builds Weaviate for the tests into build/weaviate, or into the folder given:
# no registry of packages has its program, and the Go module proxy has its
# source. Takes minutes, and a few hundred MB of modules; instant when it is
# there already.
#
#   index/weaviate/setup.sh [FOLDER]
#
# Afterwards FOLDER/bin/weaviate-server starts it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=$(realpath -m "${1:-$here/../../build/weaviate}")
version=v1.35.2

stamp=$(sha256sum <"$here/setup.sh" | cut -d" " -f1)
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

if [ -e "$prefix" ] && [ ! -e "$prefix/bin" ]; then
  echo "setup of Weaviate: $prefix is there and not of this script's making" >&2
  exit 1
fi
echo "Building Weaviate $version into $prefix (minutes)"
rm -rf "$prefix"
mkdir -p "$prefix/bin"
cd "$prefix" # not among the modules of this repository
GOFLAGS="" GOWORK=off GOBIN="$prefix/bin" go install -trimpath -ldflags="-s -w" \
  "github.com/weaviate/weaviate/cmd/weaviate-server@$version" 2> >(grep -v '^go: downloading' >&2)
[ -x "$prefix/bin/weaviate-server" ] || {
  echo "setup of Weaviate: there is no $prefix/bin/weaviate-server" >&2
  exit 1
}
echo "$stamp" >"$prefix/stamp"
