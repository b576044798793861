#!/usr/bin/env bash
# Gets what the chart is tested with into build/testbed: helm (4, and 3 as
# helm3), a validator from PyPI, the kinds and formats that others define, and a
# Kubernetes control plane with kwok. Programs are built from go.mod beside this
# script and kept in ~/.cache/lexicrop, which the first time takes five to ten
# minutes on two cores; afterwards it is instant.
#
#   helm/testbed/setup.sh          everything
#   helm/testbed/setup.sh chart    without the control plane: two minutes
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
testbed=$(realpath -m "$here/../../build/testbed")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lexicrop

hash_of() { cat "$@" | sha256sum | cut -c1-20; }

# build NAME PACKAGE
build() {
  [ ! -e "$binaries/$1" ] || return 0
  (cd "$here" && CGO_ENABLED=0 GOFLAGS="" nice go build -trimpath \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$binaries/$1.part" "$2")
  mv "$binaries/$1.part" "$binaries/$1"
}

programs() {
  local version name
  version=$(sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/go.mod")
  mkdir -p "$binaries"
  if [ ! -e "$binaries/helm3" ]; then
    echo "Building helm to test the chart with (once, minutes)" >&2
    build helm helm.sh/helm/v4/cmd/helm
    build helm3 helm.sh/helm/v3/cmd/helm
  fi
  [ "$1" = everything ] && [ ! -e "$binaries/done" ] || return 0
  echo "Building Kubernetes $version to test the chart on (once; five to ten minutes on two cores)" >&2
  build etcd go.etcd.io/etcd/server/v3
  for name in kubectl kube-scheduler kube-controller-manager kube-apiserver; do
    build "$name" "k8s.io/kubernetes/cmd/$name"
  done
  build kwok sigs.k8s.io/kwok/cmd/kwok
  touch "$binaries/done"
}

validator() {
  rm -rf "$testbed/python"
  /usr/bin/python3 -m venv "$testbed/python"
  "$testbed/python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r "$here/requirements.txt"
}

schemas() {
  local module version sum folder files file json
  rm -rf "$testbed/schemas"
  mkdir "$testbed/schemas"
  while read -r module version sum folder files; do
    [[ $module != "#" ]] || continue
    json=$(cd "$testbed" && GOFLAGS='' go mod download -json "$module@$version")
    [[ $json == *"\"Sum\": \"$sum\""* ]] || { echo "$module $version has another hash than $sum" >&2; return 1; }
    for file in $files; do
      cp "$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$json")/$folder/$file" "$testbed/schemas/"
    done
  done <"$here/schemas.txt"
}

# Whoever comes second waits, and finds it done.
mkdir -p "$testbed" "$cache"
binaries=$cache/kubernetes-$(hash_of "$here/go.mod" "$here/go.sum")
exec 9>"$binaries.lock"
flock 9
programs "${1:-everything}"
ln -sfn "$binaries" "$testbed/bin"
stamp=$(hash_of "$here/requirements.txt" "$here/schemas.txt" "$here/setup.sh")
if [ "$(cat "$testbed/stamp" 2>/dev/null)" != "$stamp" ]; then
  validator
  schemas
  echo "$stamp" >"$testbed/stamp"
fi
