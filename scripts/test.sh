#!/usr/bin/env bash
# Installs what is missing and runs every test. The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
export npm_config_update_notifier=false

bash scripts/setup.sh openssl procps git curl apache2-utils docker-registry skopeo umoci zsh fish protobuf-compiler protobuf-compiler-grpc python3-grpcio galera-4 rsync tmux

# Nodes of a Galera cluster copy their data with scripts of the package mariadb-server, which is not installed, as it would start a
# service: they are taken out of it.
scripts=.rivera/galera
fetch_scripts() {
  local package
  package="mariadb-server=$(dpkg-query -W -f '${Version}' mariadb-server-core)"
  (cd "$1" && { apt-get -q download "$package" || apt-get -q download mariadb-server; } >&2) &&
    dpkg-deb --fsys-tarfile "$1"/mariadb-server_*.deb |
    tar -x -C "$scripts" --strip-components=3 ./usr/bin/wsrep_sst_common ./usr/bin/wsrep_sst_rsync
}
if ! command -v wsrep_sst_rsync >/dev/null && [ ! -x "$scripts/wsrep_sst_rsync" ] && command -v dpkg-deb >/dev/null; then
  mkdir -p "$scripts"
  fetched=$(mktemp -d)
  fetch_scripts "$fetched" || echo "test: the package mariadb-server could not be fetched: the tests with Galera will fail" >&2
  rm -rf "$fetched"
fi
export PATH="$PATH:$PWD/$scripts"

export PATH="$PWD/node_modules/.bin:$PATH"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
vitest run --reporter=default --reporter=json --outputFile.json="$report" "$@" || status=$?
node scripts/test-totals.mjs "$report"
exit "$status"
