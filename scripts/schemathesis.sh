#!/usr/bin/env bash
# `make schemathesis`: plays the hub's own OpenAPI document against it, with a real upstream behind it, and
# fails on every answer that the document does not promise.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/test-env.sh
. scripts/test-env.sh

install_schemathesis() {
  say "installing Schemathesis"
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$TRUNKLINE_ROOT/tests/tools/schemathesis/requirements.txt"
}

schemathesis="$(install_once schemathesis tests/tools/schemathesis/requirements.txt -- install_schemathesis)/bin/schemathesis"
cargo build --locked -p trunkline -p testkit --bins

scene="$(mktemp -d "${TMPDIR:-/tmp}/trunkline-schemathesis.XXXXXX")"
hub=""
stop() {
  if [ -n "$hub" ]; then
    kill "$hub" 2>/dev/null || true
    wait "$hub" 2>/dev/null || true
  fi
  rm -rf "$scene"
}
trap stop EXIT

cat >"$scene/trunkline.yaml" <<YAML
integrations:
  fixture:
    type: mcp
    protocol: stdio
    command: $PWD/target/debug/mcp-fixture
    args: [--stdio]
YAML
target/debug/trunkline serve --config "$scene/trunkline.yaml" --data "$scene/data" --listen 127.0.0.1:0 --json \
  >"$scene/ready" 2>"$scene/log" &
hub=$!
for _ in $(seq 1 150); do
  [ ! -s "$scene/ready" ] || break
  kill -0 "$hub" 2>/dev/null || { cat "$scene/log" >&2; die "the hub did not start"; }
  sleep 0.2
done
read -r url TRUNKLINE_KEY < <(head -n1 "$scene/ready" |
  python3 -c 'import json, sys; r = json.load(sys.stdin); print("http://" + r["listen"], r["first_key"])')
export TRUNKLINE_KEY

# The key that the run itself uses must outlive it.
put() {
  curl --fail --silent --show-error --output /dev/null -X "$1" "$url/api/v1/$2" \
    -H "Authorization: Bearer $TRUNKLINE_KEY" -H 'Content-Type: application/json' --data "$3"
}
put PUT integrations/any-server '{"name": "Any", "type": "mcp", "category": "other", "config_schema":
  {"type": "object", "properties": {"protocol": {"enum": ["http"]}, "url": {"type": "string"}}}}'
put POST connections '{"integration": "any-server", "name": "stored", "connection_config":
  {"protocol": "http", "url": "http://127.0.0.1:1/mcp"}}'

# One that may be taken away.
TRUNKLINE_OTHER_KEY="$(curl --fail --silent --show-error -X POST "$url/api/v1/keys" \
  -H "Authorization: Bearer $TRUNKLINE_KEY" -H 'Content-Type: application/json' \
  --data '{"name": "other", "access": {"allow": ["*"]}}' | python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')"
export TRUNKLINE_OTHER_KEY

# Streams of events end with their key, and not before: tests/it/events.rs looks at them.
failed=""
(cd "$scene" && "$schemathesis" --config-file "$TRUNKLINE_ROOT/tests/tools/schemathesis/schemathesis.toml" \
  run "$url/openapi.json" --exclude-path-regex '^/(call/fixture/|api/v1/events)' --no-color) || failed=yes
curl --fail --silent --output /dev/null -H "Authorization: Bearer $TRUNKLINE_KEY" "$url/api/v1/status" ||
  die "the run took its own key away: what came after that was not tested"
[ -z "$failed" ] || {
  grep -A6 panicked "$scene/log" >&2 || tail -n 40 "$scene/log" >&2
  die "the API and its document differ"
}
