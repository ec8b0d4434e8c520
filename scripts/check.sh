#!/usr/bin/env bash
# `make check`: everything that can be judged without running the product.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '== %s\n' "$*" >&2; "$@"; }

step cargo fmt --all --check
step cargo clippy --locked --workspace --all-targets -- -D warnings
step cargo xtask tidy

# One crypto provider in the product: a second one costs size, and two defaults make the process panic at start.
printf '== no second crypto provider in the product\n' >&2
if tree="$(cargo tree --locked -p trunkline -i ring -e normal 2>/dev/null)" && [ -n "$tree" ]; then
  printf 'error: ring is in the product beside aws-lc-rs:\n%s\n' "$tree" >&2
  exit 1
fi

if command -v shellcheck >/dev/null; then
  step shellcheck -x scripts/*.sh .ci/run
fi
printf '== checks passed\n' >&2
