#!/usr/bin/env bash
# Generates gen/ from proto/: TypeScript stubs and the descriptors that reflection serves.
# With --check nothing is written: it fails when gen/ is not what proto/ generates.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"

generate() { # into folder $1
  buf generate --output "$1"
  buf build --exclude-source-info -o "$1/gen/descriptors.binpb"
}

if [ "${1:-}" != "--check" ]; then
  generate .
  exit
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
generate "$fresh"
if ! diff -rq "$fresh/gen/src" gen/src || ! cmp "$fresh/gen/descriptors.binpb" gen/descriptors.binpb; then
  echo "gen/ is not what proto/ generates: run npm run proto" >&2
  exit 1
fi
