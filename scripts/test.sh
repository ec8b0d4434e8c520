#!/usr/bin/env bash
# `make test`: set up, build what the tests drive, start servers, run everything, stop what was started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/test-env.sh
. scripts/test-env.sh
# shellcheck source=scripts/postgres.sh
. scripts/postgres.sh
trap postgres_stop EXIT

say "building the binaries that the tests drive"
cargo build --locked --workspace --bins
postgres_start

# Both parts always run, so that one failure does not hide another.
failed=""
if cargo nextest --version >/dev/null 2>&1; then
  say "cargo nextest run --workspace"
  cargo nextest run --locked --workspace --no-fail-fast || failed="$failed tests"
else
  say "cargo test --workspace (cargo-nextest is not here)"
  cargo test --locked --workspace --no-fail-fast || failed="$failed tests"
fi

say "conformance"
target/debug/conformance || failed="$failed conformance"
say "the OpenAPI document against the running hub"
scripts/schemathesis.sh || failed="$failed schemathesis"
[ -z "$failed" ] || die "failed:$failed"
say "all tests passed"
