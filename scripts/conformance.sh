#!/usr/bin/env bash
# `make conformance`: the protocol's own suite against the hub, every set and cell, compared with conformance/*.yml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/test-env.sh
. scripts/test-env.sh
cargo build --locked -p trunkline -p testkit --bins
exec target/debug/conformance "$@"
