#!/usr/bin/env bash
# `make bench`: the release binary measured against itself, its upstream, and the peers that are installed.
# PEERS="nginx mcp-proxy" names the peers; BENCH_ARGS adds options of the bench program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo build --locked --release -p trunkline -p bench
options=()
if [ -n "${PEERS:-}" ]; then
  options+=(--peers "$(echo "$PEERS" | tr -s ' ' ',')")
fi
# shellcheck disable=SC2086
exec target/release/bench run "${options[@]}" ${BENCH_ARGS:-}
