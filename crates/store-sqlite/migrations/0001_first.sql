-- Owners, API keys, and what was learnt about connections.
-- Ids are 16-byte UUIDs (version 7), times are milliseconds since the Unix epoch.

CREATE TABLE workspaces (
  id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  name       TEXT    NOT NULL,
  created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id BLOB    NOT NULL REFERENCES workspaces (id),
  name         TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  UNIQUE (workspace_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id BLOB    NOT NULL,
  user_id      BLOB    NOT NULL,
  name         TEXT    NOT NULL,
  prefix       TEXT    NOT NULL,
  digest       BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
  access       TEXT    NOT NULL CHECK (json_valid(access)),
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER,
  last_used_at INTEGER,
  revoked_at   INTEGER,
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_in_use ON api_keys (workspace_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, revoked_at IS NOT NULL, id DESC);

-- With a rowid: facts are large, and a clustered key would drag them through every look-up.
CREATE TABLE connection_facts (
  workspace_id   BLOB    NOT NULL REFERENCES workspaces (id),
  connection_key TEXT    NOT NULL,
  kind           TEXT    NOT NULL,
  bytes          BLOB    NOT NULL,
  updated_at     INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, connection_key, kind)
) STRICT;
