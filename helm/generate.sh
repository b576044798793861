#!/usr/bin/env bash
# Makes values.schema.json and the table of values in the chart's README.
set -euo pipefail
cd "$(dirname "$0")"
go run ./generate .
