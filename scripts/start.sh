#!/usr/bin/env bash
# npm start: everything on this machine, with its data in .rivera of the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
exec cli/bin/rivera.mjs up --data .rivera "$@"
