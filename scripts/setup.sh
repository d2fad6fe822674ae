#!/usr/bin/env bash
# Gets a checkout ready to run: Debian packages, node_modules, compiled sources. Does only what is missing, so running it
# again takes a second. Arguments name further Debian packages, as the tests need some.
set -euo pipefail
cd "$(dirname "$0")/.."

# mariadb-server itself would start a service; its core is all that a private server needs (the client's core brings a program
# that the installation of a data folder calls).
packages=(
  mariadb-server-core mariadb-client-core crun runc conmon catatonit busybox-static
  nftables iproute2 e2fsprogs zstd socat openssh-client openssh-sftp-server libnss-wrapper "$@"
)

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "setup: $1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}

# Two setups at once (npm start and npm test, say) would disturb each other.
mkdir -p .rivera
chmod 700 .rivera
exec 9>.rivera/setup.lock
flock 9

missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^installed //p' || true)
  comm -23 <(printf '%s\n' "${packages[@]}" | sort -u) <(printf '%s\n' "$installed" | sort -u)
}

install_packages() {
  local attempt
  for attempt in 1 2 3; do
    if [ "$attempt" -gt 1 ]; then
      say "setup: trying again with fresh package lists"
      apt-get -q update >&2 || sleep "$attempt"
    fi
    # File descriptor 9 is the lock, which a daemon started by a package must not inherit.
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 install "$@" >&2 9>&- && return
  done
  return 1
}

if command -v dpkg-query >/dev/null; then
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" -gt 0 ]; then
    [ "$(id -u)" = 0 ] || fail "Debian packages are missing: ${missing[*]}" "Install them:  sudo apt-get install --no-install-recommends ${missing[*]}"
    say "setup: installing ${missing[*]}"
    install_packages "${missing[@]}" || fail "apt-get could not install ${missing[*]}" "See its messages above; this needs a Debian mirror that can be reached."
  fi
else
  say "setup: this is not Debian; what is missing, 'rivera doctor' tells. Needed are the programs of: ${packages[*]}"
fi

command -v node >/dev/null || fail "Node.js is not installed" "Needed is 20.20 or newer: https://nodejs.org/en/download"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 20) ? 0 : 1)' ||
  fail "Node.js $(node --version) is too old" "Needed is 20.20 or newer: https://nodejs.org/en/download"

# npm keeps what it has installed in node_modules/.package-lock.json; anything that the lockfile wants and that is not there,
# or is there in another version, means that the two are out of step.
in_step() {
  node -e '
    const { readFileSync } = require("node:fs");
    const read = (file) => JSON.parse(readFileSync(file, "utf8")).packages;
    const have = read("node_modules/.package-lock.json");
    const out = Object.entries(read("package-lock.json")).filter(([path, wanted]) =>
      path.startsWith("node_modules/") && !wanted.optional && !wanted.link && have[path]?.version !== wanted.version);
    process.exit(out.length === 0 ? 0 : 1);
  ' 2>/dev/null
}

# npm install rather than npm ci: ci refuses a lockfile that lacks the optional packages of other platforms, as one that was made
# against a partial mirror does. Nothing is saved, and what counts is checked again.
if ! in_step; then
  say "setup: installing node packages"
  npm install --no-save --no-audit --no-fund >&2 9>&- || fail "npm install failed" "See its messages above; this needs an npm registry that can be reached."
  in_step || fail "node_modules is not what package-lock.json says" "Remove node_modules and try again."
fi

# Incremental: looks at what has changed since the last time.
node_modules/.bin/tsc -b cli >&2 || fail "the sources do not compile"
