-- The catalogue, connections and what belongs to them, toolsets, leases, idempotency keys.
-- Ids are 16-byte UUIDs (version 7), times are milliseconds since the Unix epoch. Texts that are compared
-- or searched whatever the case have a folded copy beside them: the program folds, not the database.

-- How many connections the workspace has: counting 100 000 rows on every insert would be too slow.
ALTER TABLE workspaces ADD COLUMN connection_count INTEGER NOT NULL DEFAULT 0 CHECK (connection_count >= 0);

CREATE TABLE integration_types (
  id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id    BLOB    REFERENCES workspaces (id),
  slug            TEXT    NOT NULL,
  name            TEXT    NOT NULL,
  name_folded     TEXT    NOT NULL,
  search_text     TEXT    NOT NULL,
  type            TEXT    NOT NULL CHECK (type IN ('mcp', 'vendor', 'custom')),
  category        TEXT    NOT NULL CHECK (category IN ('messaging', 'calendar', 'email', 'crm', 'automation',
                    'ecommerce', 'payment', 'project', 'storage', 'productivity', 'analytics', 'other')),
  description     TEXT    NOT NULL,
  icon_type       TEXT    NOT NULL,
  docs_url        TEXT    NOT NULL,
  is_active       INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  config_schema   TEXT    NOT NULL CHECK (json_valid(config_schema)),
  version         TEXT    NOT NULL,
  manifest_digest BLOB    NOT NULL CHECK (length(manifest_digest) = 32),
  manifest        TEXT,
  origin          TEXT    NOT NULL CHECK (origin IN ('builtin', 'folder', 'api')),
  revision        INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX integration_types_slug ON integration_types (slug) WHERE workspace_id IS NULL;
CREATE UNIQUE INDEX integration_types_own_slug ON integration_types (workspace_id, slug)
  WHERE workspace_id IS NOT NULL;
CREATE INDEX integration_types_by_name ON integration_types (name_folded, id);
CREATE INDEX integration_types_by_time ON integration_types (created_at);

-- Every definition an integration has had, for connections that are pinned to an earlier one.
CREATE TABLE integration_versions (
  integration_type_id BLOB    NOT NULL REFERENCES integration_types (id) ON DELETE CASCADE,
  version             TEXT    NOT NULL,
  manifest_digest     BLOB    NOT NULL CHECK (length(manifest_digest) = 32),
  config_schema       TEXT    NOT NULL CHECK (json_valid(config_schema)),
  manifest            TEXT,
  created_at          INTEGER NOT NULL,
  PRIMARY KEY (integration_type_id, version)
) STRICT;

CREATE TABLE user_integrations (
  id                  BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id        BLOB    NOT NULL,
  user_id             BLOB    NOT NULL,
  key                 TEXT    NOT NULL,
  name                TEXT    NOT NULL,
  name_folded         TEXT    NOT NULL,
  search_text         TEXT    NOT NULL,
  integration_type_id BLOB    NOT NULL REFERENCES integration_types (id),
  version             TEXT    NOT NULL,
  previous_version    TEXT,
  connection_config   TEXT    NOT NULL CHECK (json_valid(connection_config)),
  auth_method         TEXT    NOT NULL CHECK (auth_method IN ('api_key', 'oauth', 'jwt', 'basic',
                        'certificate', 'ssh_key', 'none')),
  status              TEXT    NOT NULL CHECK (status IN ('configuring', 'testing', 'connected', 'error',
                        'disconnected')),
  -- Cannot contradict the status: it is made of it.
  is_connected        INTEGER NOT NULL GENERATED ALWAYS AS (status = 'connected') VIRTUAL,
  last_error          TEXT,
  last_tested_at      INTEGER,
  connected_at        INTEGER,
  is_shared           INTEGER NOT NULL CHECK (is_shared IN (0, 1)),
  is_per_user         INTEGER NOT NULL CHECK (is_per_user IN (0, 1)),
  egress_private      INTEGER NOT NULL CHECK (egress_private IN (0, 1)),
  revision            INTEGER NOT NULL,
  created_at          INTEGER NOT NULL,
  updated_at          INTEGER NOT NULL,
  UNIQUE (workspace_id, key),
  UNIQUE (workspace_id, user_id, name_folded),
  UNIQUE (workspace_id, id),
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
) STRICT;

-- Holds everything that a search looks at: a row is fetched only when it is one of those found.
CREATE INDEX user_integrations_newest ON user_integrations
  (workspace_id, created_at DESC, id DESC, user_id, is_shared, integration_type_id, search_text);
CREATE INDEX user_integrations_by_status
  ON user_integrations (workspace_id, status, created_at DESC, id DESC, user_id, is_shared);
CREATE INDEX user_integrations_counts
  ON user_integrations (workspace_id, integration_type_id, status, user_id, is_shared);
CREATE INDEX user_integrations_by_type ON user_integrations (integration_type_id);

CREATE TABLE integration_credentials (
  id                  BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id        BLOB    NOT NULL,
  user_integration_id BLOB    NOT NULL,
  user_id             BLOB,
  credential_type     TEXT    NOT NULL,
  encrypted_value     BLOB    NOT NULL,
  key_version         INTEGER NOT NULL,
  fingerprint         BLOB    NOT NULL CHECK (length(fingerprint) = 8),
  last_four           TEXT    NOT NULL,
  expires_at          INTEGER,
  last_rotated_at     INTEGER,
  created_at          INTEGER NOT NULL,
  previous_value      BLOB,
  overlap_until       INTEGER,
  CHECK ((previous_value IS NULL) = (overlap_until IS NULL)),
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE,
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
) STRICT;

CREATE UNIQUE INDEX integration_credentials_place
  ON integration_credentials (user_integration_id, coalesce(user_id, x''), credential_type);
CREATE INDEX integration_credentials_of ON integration_credentials (workspace_id, user_integration_id);
CREATE INDEX integration_credentials_by_key ON integration_credentials (workspace_id, key_version);
CREATE INDEX integration_credentials_by_id ON integration_credentials (workspace_id, id);
CREATE INDEX integration_credentials_by_user ON integration_credentials (workspace_id, user_id)
  WHERE user_id IS NOT NULL;
CREATE INDEX integration_credentials_by_end ON integration_credentials (expires_at)
  WHERE expires_at IS NOT NULL;
CREATE INDEX integration_credentials_by_overlap ON integration_credentials (workspace_id, overlap_until)
  WHERE overlap_until IS NOT NULL;

CREATE TABLE workspace_keys (
  workspace_id  BLOB    NOT NULL REFERENCES workspaces (id),
  version       INTEGER NOT NULL CHECK (version > 0),
  wrapped       BLOB    NOT NULL,
  master_key_id BLOB    NOT NULL CHECK (length(master_key_id) = 8),
  state         TEXT    NOT NULL CHECK (state IN ('active', 'retired')),
  created_at    INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX workspace_keys_active ON workspace_keys (workspace_id) WHERE state = 'active';

CREATE TABLE integration_logs (
  id                  BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id        BLOB    NOT NULL,
  user_integration_id BLOB    NOT NULL,
  event_type          TEXT    NOT NULL CHECK (event_type IN ('connected', 'disconnected', 'tested', 'error',
                        'config_updated', 'credential_rotated')),
  message             TEXT    NOT NULL,
  -- Only where folding changes it.
  message_folded      TEXT,
  metadata            TEXT    NOT NULL CHECK (json_valid(metadata)),
  created_at          INTEGER NOT NULL,
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE
) STRICT;

CREATE INDEX integration_logs_newest
  ON integration_logs (workspace_id, user_integration_id, created_at DESC, id DESC);
CREATE INDEX integration_logs_oldest ON integration_logs (workspace_id, created_at, id);

CREATE TABLE integration_health_metrics (
  id                  BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  workspace_id        BLOB    NOT NULL,
  user_integration_id BLOB    NOT NULL,
  response_time_ms    INTEGER NOT NULL CHECK (response_time_ms >= 0),
  success             INTEGER NOT NULL CHECK (success IN (0, 1)),
  error_message       TEXT,
  checked_at          INTEGER NOT NULL,
  created_at          INTEGER NOT NULL,
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE
) STRICT;

CREATE INDEX integration_health_metrics_newest
  ON integration_health_metrics (workspace_id, user_integration_id, checked_at DESC, id DESC);
CREATE INDEX integration_health_metrics_oldest ON integration_health_metrics (workspace_id, checked_at, id);

CREATE TABLE health_rollups (
  workspace_id        BLOB    NOT NULL,
  user_integration_id BLOB    NOT NULL,
  hour                INTEGER NOT NULL CHECK (hour % 3600000 = 0),
  count               INTEGER NOT NULL,
  successes           INTEGER NOT NULL,
  total_ms            INTEGER NOT NULL,
  max_ms              INTEGER NOT NULL,
  spread              BLOB    NOT NULL,
  PRIMARY KEY (workspace_id, user_integration_id, hour),
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX health_rollups_oldest ON health_rollups (workspace_id, hour);

CREATE TABLE toolsets (
  workspace_id BLOB    NOT NULL,
  user_id      BLOB    NOT NULL,
  key          TEXT    NOT NULL,
  name         TEXT    NOT NULL,
  description  TEXT    NOT NULL,
  tools        TEXT    NOT NULL CHECK (json_valid(tools)),
  revision     INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, key),
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
) STRICT;

CREATE INDEX toolsets_by_user ON toolsets (workspace_id, user_id);

CREATE TABLE leases (
  name       TEXT    NOT NULL PRIMARY KEY,
  holder     TEXT    NOT NULL,
  token      INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- With a rowid: answers are large, and a clustered key would drag them through every look-up.
CREATE TABLE idempotency_keys (
  workspace_id BLOB    NOT NULL REFERENCES workspaces (id),
  caller       TEXT    NOT NULL,
  key          TEXT    NOT NULL,
  digest       BLOB    NOT NULL CHECK (length(digest) = 32),
  -- Null while the request is under way.
  response     BLOB,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, caller, key)
) STRICT;

CREATE INDEX idempotency_keys_by_end ON idempotency_keys (workspace_id, expires_at);
