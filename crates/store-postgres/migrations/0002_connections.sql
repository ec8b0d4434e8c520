-- The catalogue, connections and what belongs to them, toolsets, leases, idempotency keys.
-- Ids are UUIDs (version 7), times are milliseconds since the Unix epoch. Texts that are compared
-- or searched whatever the case have a folded copy beside them: the program folds, not the database.

-- How many connections the workspace has: counting 100 000 rows on every insert would be too slow.
ALTER TABLE workspaces ADD COLUMN connection_count bigint NOT NULL DEFAULT 0 CHECK (connection_count >= 0);

CREATE TABLE integration_types (
  id                  uuid NOT NULL PRIMARY KEY,
  workspace_id        uuid      REFERENCES workspaces (id),
  slug                text NOT NULL,
  name                text NOT NULL,
  name_folded         text COLLATE "C" NOT NULL,
  search_text         text NOT NULL,
  type                text NOT NULL CHECK (type IN ('mcp', 'vendor', 'custom')),
  category            text NOT NULL CHECK (category IN ('messaging', 'calendar', 'email', 'crm', 'automation',
                    'ecommerce', 'payment', 'project', 'storage', 'productivity', 'analytics', 'other')),
  description         text NOT NULL,
  icon_type           text NOT NULL,
  docs_url            text NOT NULL,
  is_active           boolean NOT NULL,
  config_schema       jsonb NOT NULL,
  version             text COLLATE "C" NOT NULL,
  manifest_digest     bytea NOT NULL CHECK (length(manifest_digest) = 32),
  manifest            text,
  origin              text NOT NULL CHECK (origin IN ('builtin', 'folder', 'api')),
  revision            bigint NOT NULL,
  created_at          bigint NOT NULL,
  updated_at          bigint NOT NULL
);

CREATE UNIQUE INDEX integration_types_slug ON integration_types (slug) WHERE workspace_id IS NULL;
CREATE UNIQUE INDEX integration_types_own_slug ON integration_types (workspace_id, slug)
  WHERE workspace_id IS NOT NULL;
CREATE INDEX integration_types_by_name ON integration_types (name_folded, id);
CREATE INDEX integration_types_by_time ON integration_types (created_at);

-- Every definition an integration has had, for connections that are pinned to an earlier one.
CREATE TABLE integration_versions (
  integration_type_id uuid NOT NULL REFERENCES integration_types (id) ON DELETE CASCADE,
  version             text COLLATE "C" NOT NULL,
  manifest_digest     bytea NOT NULL CHECK (length(manifest_digest) = 32),
  config_schema       jsonb NOT NULL,
  manifest            text,
  created_at          bigint NOT NULL,
  PRIMARY KEY (integration_type_id, version)
);

CREATE TABLE user_integrations (
  id                  uuid NOT NULL PRIMARY KEY,
  workspace_id        uuid NOT NULL,
  user_id             uuid NOT NULL,
  key                 text COLLATE "C" NOT NULL,
  name                text NOT NULL,
  name_folded         text COLLATE "C" NOT NULL,
  search_text         text NOT NULL,
  integration_type_id uuid NOT NULL REFERENCES integration_types (id),
  version             text COLLATE "C" NOT NULL,
  previous_version    text,
  connection_config   jsonb NOT NULL,
  auth_method         text NOT NULL CHECK (auth_method IN ('api_key', 'oauth', 'jwt', 'basic',
                        'certificate', 'ssh_key', 'none')),
  status              text NOT NULL CHECK (status IN ('configuring', 'testing', 'connected', 'error',
                        'disconnected')),
  -- Cannot contradict the status: it is made of it.
  is_connected        boolean NOT NULL GENERATED ALWAYS AS (status = 'connected') STORED,
  last_error          text,
  last_tested_at      bigint,
  connected_at        bigint,
  is_shared           boolean NOT NULL,
  is_per_user         boolean NOT NULL,
  egress_private      boolean NOT NULL,
  revision            bigint NOT NULL,
  created_at          bigint NOT NULL,
  updated_at          bigint NOT NULL,
  UNIQUE (workspace_id, key),
  UNIQUE (workspace_id, user_id, name_folded),
  UNIQUE (workspace_id, id),
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
);

CREATE INDEX user_integrations_newest ON user_integrations (workspace_id, created_at DESC, id DESC);
CREATE INDEX user_integrations_by_status
  ON user_integrations (workspace_id, status, created_at DESC, id DESC);
CREATE INDEX user_integrations_counts
  ON user_integrations (workspace_id, integration_type_id, status, user_id, is_shared);
CREATE INDEX user_integrations_by_type ON user_integrations (integration_type_id);

CREATE TABLE integration_credentials (
  id                  uuid NOT NULL PRIMARY KEY,
  workspace_id        uuid NOT NULL,
  user_integration_id uuid NOT NULL,
  user_id             uuid,
  credential_type     text COLLATE "C" NOT NULL,
  encrypted_value     bytea NOT NULL,
  key_version         bigint NOT NULL,
  fingerprint         bytea NOT NULL CHECK (length(fingerprint) = 8),
  last_four           text NOT NULL,
  expires_at          bigint,
  last_rotated_at     bigint,
  created_at          bigint NOT NULL,
  previous_value      bytea,
  overlap_until       bigint,
  CHECK ((previous_value IS NULL) = (overlap_until IS NULL)),
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE,
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
);

CREATE UNIQUE INDEX integration_credentials_place
  ON integration_credentials (user_integration_id,
    coalesce(user_id, '00000000-0000-0000-0000-000000000000'), credential_type);
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
  workspace_id        uuid NOT NULL REFERENCES workspaces (id),
  version             bigint NOT NULL CHECK (version > 0),
  wrapped             bytea NOT NULL,
  master_key_id       bytea NOT NULL CHECK (length(master_key_id) = 8),
  state               text NOT NULL CHECK (state IN ('active', 'retired')),
  created_at          bigint NOT NULL,
  PRIMARY KEY (workspace_id, version)
);

CREATE UNIQUE INDEX workspace_keys_active ON workspace_keys (workspace_id) WHERE state = 'active';

CREATE TABLE integration_logs (
  id                  uuid NOT NULL PRIMARY KEY,
  workspace_id        uuid NOT NULL,
  user_integration_id uuid NOT NULL,
  event_type          text NOT NULL CHECK (event_type IN ('connected', 'disconnected', 'tested', 'error',
                        'config_updated', 'credential_rotated')),
  message             text NOT NULL,
  -- Only where folding changes it.
  message_folded      text,
  metadata            jsonb NOT NULL,
  created_at          bigint NOT NULL,
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE
);

CREATE INDEX integration_logs_newest
  ON integration_logs (workspace_id, user_integration_id, created_at DESC, id DESC);
CREATE INDEX integration_logs_oldest ON integration_logs (workspace_id, created_at, id);

CREATE TABLE integration_health_metrics (
  id                  uuid NOT NULL PRIMARY KEY,
  workspace_id        uuid NOT NULL,
  user_integration_id uuid NOT NULL,
  response_time_ms    bigint NOT NULL CHECK (response_time_ms >= 0),
  success             boolean NOT NULL,
  error_message       text,
  checked_at          bigint NOT NULL,
  created_at          bigint NOT NULL,
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE
);

CREATE INDEX integration_health_metrics_newest
  ON integration_health_metrics (workspace_id, user_integration_id, checked_at DESC, id DESC);
CREATE INDEX integration_health_metrics_oldest ON integration_health_metrics (workspace_id, checked_at, id);

CREATE TABLE health_rollups (
  workspace_id        uuid NOT NULL,
  user_integration_id uuid NOT NULL,
  hour                bigint NOT NULL CHECK (hour % 3600000 = 0),
  count               bigint NOT NULL,
  successes           bigint NOT NULL,
  total_ms            bigint NOT NULL,
  max_ms              bigint NOT NULL,
  spread              bytea NOT NULL,
  PRIMARY KEY (workspace_id, user_integration_id, hour),
  FOREIGN KEY (workspace_id, user_integration_id) REFERENCES user_integrations (workspace_id, id)
    ON DELETE CASCADE
);

CREATE INDEX health_rollups_oldest ON health_rollups (workspace_id, hour);

CREATE TABLE toolsets (
  workspace_id        uuid NOT NULL,
  user_id             uuid NOT NULL,
  key                 text COLLATE "C" NOT NULL,
  name                text NOT NULL,
  description         text NOT NULL,
  tools               jsonb NOT NULL,
  revision            bigint NOT NULL,
  created_at          bigint NOT NULL,
  updated_at          bigint NOT NULL,
  PRIMARY KEY (workspace_id, key),
  FOREIGN KEY (workspace_id, user_id) REFERENCES users (workspace_id, id)
);

CREATE INDEX toolsets_by_user ON toolsets (workspace_id, user_id);

CREATE TABLE leases (
  name                text NOT NULL PRIMARY KEY,
  holder              text NOT NULL,
  token               bigint NOT NULL,
  expires_at          bigint NOT NULL
);

CREATE TABLE idempotency_keys (
  workspace_id        uuid NOT NULL REFERENCES workspaces (id),
  caller              text NOT NULL,
  key                 text COLLATE "C" NOT NULL,
  digest              bytea NOT NULL CHECK (length(digest) = 32),
  -- Null while the request is under way.
  response            bytea,
  created_at          bigint NOT NULL,
  expires_at          bigint NOT NULL,
  PRIMARY KEY (workspace_id, caller, key)
);

CREATE INDEX idempotency_keys_by_end ON idempotency_keys (workspace_id, expires_at);
