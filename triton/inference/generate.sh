#!/usr/bin/env bash
# Generates the .pb.go files beside this script, always with the same result.
# Tools, each overridden by a variable:
#   PROTOC              default: grpc_tools.protoc of the virtual environment
#                       build/tools/python, else `protoc` in PATH
#   PROTOC_GEN_GO       default: the one in PATH, else `go tool` of .ci/tools
#   PROTOC_GEN_GO_GRPC  likewise
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)

plugin() { # plugin NAME: prints the path of an executable protoc plugin
  if found=$(command -v "$1"); then
    echo "$found"
  else
    go tool -modfile="$root/.ci/tools/go.mod" -n "$1"
  fi
}

if [ -n "${PROTOC:-}" ]; then
  read -ra protoc <<<"$PROTOC"
elif [ -x "$root/build/tools/python/bin/python" ]; then
  protoc=("$root/build/tools/python/bin/python" -m grpc_tools.protoc)
else
  protoc=(protoc)
fi

"${protoc[@]}" --proto_path=. \
  --plugin=protoc-gen-go="${PROTOC_GEN_GO:-$(plugin protoc-gen-go)}" \
  --plugin=protoc-gen-go-grpc="${PROTOC_GEN_GO_GRPC:-$(plugin protoc-gen-go-grpc)}" \
  --go_out=. --go_opt=paths=source_relative \
  --go-grpc_out=. --go-grpc_opt=paths=source_relative \
  model_config.proto grpc_service.proto
