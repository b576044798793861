#!/usr/bin/env bash
# Gets what the chart is tested with, into ~/.cache/lexicrop, and prints the
# folder: a Kubernetes control plane, kwok, helm (4, and 3 as helm3) and
# kubectl, built from go.mod beside this script. The first time that takes five
# to ten minutes on two cores; afterwards it is instant.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# build NAME PACKAGE
build() {
  [ ! -e "$folder/$1" ] || return 0
  (cd "$here" && CGO_ENABLED=0 GOFLAGS='' nice go build -trimpath \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$folder/$1.part" "$2")
  mv "$folder/$1.part" "$folder/$1"
}

folder=${XDG_CACHE_HOME:-$HOME/.cache}/lexicrop/kubernetes-$(cat "$here/go.mod" "$here/go.sum" | sha256sum | cut -c1-20)
if [ ! -e "$folder/done" ]; then
  version=$(sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/go.mod")
  echo "Building Kubernetes $version to test the chart on (once; five to ten minutes on two cores)" >&2
  mkdir -p "$folder"
  # Whoever comes second waits, and finds it done.
  exec 9>"$folder.lock"
  flock 9
  build helm helm.sh/helm/v4/cmd/helm
  build helm3 helm.sh/helm/v3/cmd/helm
  build etcd go.etcd.io/etcd/server/v3
  for name in kubectl kube-scheduler kube-controller-manager kube-apiserver; do
    build "$name" "k8s.io/kubernetes/cmd/$name"
  done
  build kwok sigs.k8s.io/kwok/cmd/kwok
  touch "$folder/done"
fi
echo "$folder"
