#!/usr/bin/env bash
# Installs what is missing and runs every test. The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
export npm_config_update_notifier=false

bash scripts/setup.sh openssl procps git curl zsh fish protobuf-compiler protobuf-compiler-grpc python3-grpcio

export PATH="$PWD/node_modules/.bin:$PATH"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@" || status=$?
node scripts/test-totals.mjs "$report"
exit "$status"
