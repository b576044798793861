#!/usr/bin/env bash
# Generates the types of the API from its contract, openapi.yaml.
# OAPI_CODEGEN names the generator; `make generate` provides the pinned one.
set -euo pipefail
cd "$(dirname "$0")"
"${OAPI_CODEGEN:-oapi-codegen}" --config oapi-codegen.yaml openapi.yaml
