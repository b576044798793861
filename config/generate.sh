#!/usr/bin/env bash
# Carries the doc comments of config.go over to docs.gen.go and lexicrop.example.yaml.
set -euo pipefail
cd "$(dirname "$0")"
go test . -run '^TestDocumentationIsCarriedOver$' -count=1 -update
