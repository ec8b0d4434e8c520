-- Owners, API keys, and what was learnt about connections.
-- Ids are UUIDs (version 7), times are milliseconds since the Unix epoch: the same values as on SQLite.

CREATE TABLE workspaces (
  id         uuid   NOT NULL PRIMARY KEY,
  name       text   NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE users (
  id           uuid   NOT NULL PRIMARY KEY,
  workspace_id uuid   NOT NULL REFERENCES workspaces (id),
  name         text   NOT NULL,
  created_at   bigint NOT NULL,
  UNIQUE (workspace_id, id)
);

CREATE TABLE api_keys (
  id           uuid   NOT NULL PRIMARY KEY,
  workspace_id uuid   NOT NULL,
  user_id      uuid   NOT NULL,
  name         text   NOT NULL,
  prefix       text   NOT NULL,
  digest       bytea  NOT NULL UNIQUE CHECK (length(digest) = 32),
  access       jsonb  NOT NULL,
  created_at   bigint NOT NULL,
  expires_at   bigint,
  last_used_at bigint,
  revoked_at   bigint,
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
);

CREATE INDEX api_keys_in_use ON api_keys (workspace_id, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, (revoked_at IS NOT NULL), id DESC);

CREATE TABLE connection_facts (
  workspace_id   uuid   NOT NULL REFERENCES workspaces (id),
  connection_key text   NOT NULL,
  kind           text   NOT NULL,
  bytes          bytea  NOT NULL,
  updated_at     bigint NOT NULL,
  PRIMARY KEY (workspace_id, connection_key, kind)
);
