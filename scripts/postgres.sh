#!/usr/bin/env bash
# A PostgreSQL of our own for one test run: in a temporary folder, on a free loopback port, gone afterwards.
# Sourced after test-env.sh. `postgres_start` sets TRUNKLINE_TEST_POSTGRES; `postgres_stop` ends what it started.
set -euo pipefail

POSTGRES_DIR=""
POSTGRES_PID=""

# PostgreSQL refuses to run as root, so root runs it as the user that its package made, or as nobody.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then
    runuser -u "$POSTGRES_USER" -- "$@"
  else
    "$@"
  fi
}

postgres_start() {
  local port password tries
  POSTGRES_USER=postgres
  id postgres >/dev/null 2>&1 || POSTGRES_USER=nobody
  POSTGRES_DIR="$(mktemp -d "${TMPDIR:-/tmp}/trunkline-postgres.XXXXXX")"
  [ "$(id -u)" != 0 ] || chown "$POSTGRES_USER" "$POSTGRES_DIR"
  password="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
  # shellcheck disable=SC2016 # the inner shell expands it
  as_postgres sh -c 'cat > "$1"' sh "$POSTGRES_DIR/password" <<<"$password"
  as_postgres "$TRUNKLINE_POSTGRES_BIN/initdb" --pgdata "$POSTGRES_DIR/data" --username postgres \
    --auth scram-sha-256 --pwfile "$POSTGRES_DIR/password" --encoding UTF8 --no-locale --no-sync >/dev/null
  port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
  # Nothing here has to survive a crash, so nothing waits for the disk.
  as_postgres "$TRUNKLINE_POSTGRES_BIN/postgres" -D "$POSTGRES_DIR/data" -k "$POSTGRES_DIR" -p "$port" \
    -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c max_connections=200 >"$POSTGRES_DIR/log" 2>&1 &
  for tries in $(seq 1 150); do
    if [ -s "$POSTGRES_DIR/data/postmaster.pid" ] && grep -q '^ready' "$POSTGRES_DIR/data/postmaster.pid"; then
      POSTGRES_PID="$(head -n1 "$POSTGRES_DIR/data/postmaster.pid")"
      export TRUNKLINE_TEST_POSTGRES="postgres://postgres:$password@127.0.0.1:$port/postgres"
      printf '== PostgreSQL for this run: process %s, port %s\n' "$POSTGRES_PID" "$port" >&2
      return
    fi
    sleep 0.2
  done
  cat "$POSTGRES_DIR/log" >&2
  printf 'error: PostgreSQL did not start (%s tries)\n' "$tries" >&2
  return 1
}

postgres_stop() {
  local tries
  if [ -z "$POSTGRES_PID" ] && [ -n "$POSTGRES_DIR" ] && [ -s "$POSTGRES_DIR/data/postmaster.pid" ]; then
    POSTGRES_PID="$(head -n1 "$POSTGRES_DIR/data/postmaster.pid")"
  fi
  if [ -n "$POSTGRES_PID" ]; then
    # INT is PostgreSQL's fast shutdown: it drops its clients instead of waiting for them.
    kill -INT "$POSTGRES_PID" 2>/dev/null || true
    for tries in $(seq 1 50); do
      kill -0 "$POSTGRES_PID" 2>/dev/null || break
      sleep 0.1
    done
    POSTGRES_PID=""
  fi
  if [ -n "$POSTGRES_DIR" ]; then
    rm -rf "$POSTGRES_DIR"
    POSTGRES_DIR=""
  fi
}
