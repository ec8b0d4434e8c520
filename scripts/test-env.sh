#!/usr/bin/env bash
# Makes the machine ready for the tests: other people's programs at pinned versions, in a cache outside the checkout.
# Sourced by the other scripts, which then find TRUNKLINE_TEST_NODE, TRUNKLINE_TEST_NPM and TRUNKLINE_TEST_PYTHON set;
# run by itself it prints them. Whatever is there already is not installed again.
set -euo pipefail

TRUNKLINE_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TRUNKLINE_CACHE="${TRUNKLINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trunkline}"

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Installs Debian packages when this is root on a machine with apt, and otherwise says what to run.
need_packages() {
  local reason="$1"
  shift
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $* ($reason)"
    # A stale or partly unreachable index is not yet a reason to give up: the install decides.
    apt-get update -qq >&2 || say "apt-get update failed; trying with the index that is there"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
  else
    die "missing: $reason. Run: sudo apt-get install -y $*"
  fi
}

# The folder with the PostgreSQL server programs, or nothing.
find_postgres() {
  local dir
  for dir in /usr/lib/postgresql/*/bin "$(command -v initdb >/dev/null && dirname "$(command -v initdb)")"; do
    if [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
      printf '%s\n' "$dir"
      return
    fi
  done
}

check_programs() {
  local -a reasons=() packages=()
  missing() { reasons+=("$1"); shift; packages+=("$@"); }
  command -v cargo >/dev/null || die "missing: a Rust toolchain (cargo). See https://rustup.rs"
  command -v cc >/dev/null || missing "a C compiler" build-essential
  command -v git >/dev/null || missing "git" git
  command -v npm >/dev/null || missing "npm" npm
  command -v curl >/dev/null || missing "curl" curl ca-certificates
  if ! command -v python3 >/dev/null || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    missing "Python with venv" python3 python3-venv
  fi
  TRUNKLINE_POSTGRES_BIN="$(find_postgres)"
  [ -n "$TRUNKLINE_POSTGRES_BIN" ] || missing "a PostgreSQL server" postgresql
  # The scenes about client certificates start their own; Debian puts it where not every PATH looks.
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing "nginx" nginx-light
  # The scenes about SFTP start their own, as an ordinary process.
  [ -x /usr/sbin/sshd ] || missing "an SSH server" openssh-server
  command -v ssh-keygen >/dev/null || missing "ssh-keygen" openssh-client
  # All at once, so that whoever has to run the line by hand runs one.
  if [ ${#packages[@]} -gt 0 ]; then
    need_packages "$(printf '%s, ' "${reasons[@]}" | sed 's/, $//')" "${packages[@]}"
    TRUNKLINE_POSTGRES_BIN="$(find_postgres)"
    [ -n "$TRUNKLINE_POSTGRES_BIN" ] || die "PostgreSQL is installed, but initdb is not where it is expected"
  fi
}

# install_once NAME LOCKFILE... -- FUNCTION: runs FUNCTION with an empty folder and keeps that folder under the name and
# the digest of the lock files. A finished folder is never touched again, so an interrupted install starts afresh.
install_once() {
  local name="$1" digest target
  shift
  local -a locks=()
  while [ "$1" != -- ]; do
    locks+=("$1")
    shift
  done
  shift
  digest="$(cat "${locks[@]}" | sha256sum | cut -c1-16)"
  target="$TRUNKLINE_CACHE/$name-$digest"
  if [ ! -e "$target/.complete" ]; then
    rm -rf "$target"
    mkdir -p "$target"
    "$1" "$target" >&2 || { rm -rf "$target"; die "installing $name failed"; }
    touch "$target/.complete"
  fi
  printf '%s\n' "$target"
}

install_npm() {
  say "installing the npm test tools"
  cp "$TRUNKLINE_ROOT/tests/tools/package.json" "$TRUNKLINE_ROOT/tests/tools/package-lock.json" "$1/"
  npm ci --prefix "$1" --no-audit --no-fund --loglevel=error
}

install_python() {
  say "installing the Python test tools"
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$TRUNKLINE_ROOT/tests/tools/requirements.txt"
}

prepare() {
  local tools node python
  check_programs
  tools="$TRUNKLINE_ROOT/tests/tools"
  mkdir -p "$TRUNKLINE_CACHE"
  # Two runs at once must not install into the same folder.
  exec 9>"$TRUNKLINE_CACHE/lock"
  if command -v flock >/dev/null; then flock 9; fi
  node="$(install_once npm "$tools/package.json" "$tools/package-lock.json" -- install_npm)"
  python="$(install_once python "$tools/requirements.txt" -- install_python)"
  exec 9>&-
  TRUNKLINE_TEST_NPM="$node/node_modules"
  TRUNKLINE_TEST_NODE="$(echo "$TRUNKLINE_TEST_NPM"/node-linux-*/bin/node)"
  TRUNKLINE_TEST_PYTHON="$python/bin/python"
  [ -x "$TRUNKLINE_TEST_NODE" ] || die "no Node for this machine came with the test tools"
  export TRUNKLINE_TEST_NPM TRUNKLINE_TEST_NODE TRUNKLINE_TEST_PYTHON TRUNKLINE_POSTGRES_BIN
}

prepare
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  for name in TRUNKLINE_TEST_NODE TRUNKLINE_TEST_NPM TRUNKLINE_TEST_PYTHON TRUNKLINE_POSTGRES_BIN; do
    printf 'export %s=%q\n' "$name" "${!name}"
  done
fi
