#!/usr/bin/env bash
# `make run`: whatever is missing, a build, and the hub in the foreground on its embedded default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "Building Trunkline with the quick profile: it builds sooner than the release profile of \`make build\` and runs somewhat slower."
command -v cargo >/dev/null || { echo "error: missing a Rust toolchain (cargo). See https://rustup.rs" >&2; exit 1; }
if ! command -v cc >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends build-essential >&2
  else
    echo "error: missing a C compiler. Run: sudo apt-get install -y build-essential" >&2
    exit 1
  fi
fi
cargo build --locked --profile quick -p trunkline
# ARGS lets a caller add options: make run ARGS="--listen 127.0.0.1:5000"
# shellcheck disable=SC2086
exec target/quick/trunkline serve ${ARGS:-}
