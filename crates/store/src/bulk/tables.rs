//! Every table with its columns, the same on both databases; what refers to another stands behind it. The
//! backends' tests hold this list against their schema.

use super::{Cell, CellRow};

/// What a column holds. Any may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// An id.
    Id,
    /// Bytes.
    Bytes,
    /// A text.
    Text,
    /// JSON.
    Json,
    /// A whole number.
    Int,
    /// Yes or no.
    Flag,
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What it is called.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
}

/// One table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What it is called.
    pub name: &'static str,
    /// Its columns; those that the database computes are left out.
    pub columns: &'static [Column],
    /// The columns of its key.
    pub key: &'static [&'static str],
    /// Rows of one step: fewer where a row may be large.
    pub batch: usize,
}

// === impl Table ===

impl Table {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<(usize, Column)> {
        self.columns.iter().copied().enumerate().find(|(_, column)| column.name == name)
    }

    /// The key of a row.
    #[must_use]
    pub fn key_of(&self, row: &CellRow) -> CellRow {
        let cell = |name: &&'static str| {
            let at = self.column(name).map(|(at, _)| at)?;
            row.get(at).cloned()
        };
        self.key.iter().map(|name| cell(name).unwrap_or(Cell::Null)).collect()
    }

    /// The kinds of its key's columns.
    #[must_use]
    pub fn key_kinds(&self) -> Vec<ColumnKind> {
        self.key.iter().filter_map(|name| self.column(name)).map(|(_, column)| column.kind).collect()
    }

    /// The names of its columns, as a list for SQL.
    #[must_use]
    pub fn column_list(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }
}

macro_rules! tables {
    ($($name:literal by ($($key:literal),+) at $batch:literal: { $($column:literal $kind:ident,)+ })+) => {
        /// Every table, those that others refer to first.
        pub const TABLES: &[Table] = &[$(Table {
            name: $name,
            columns: &[$(Column { name: $column, kind: ColumnKind::$kind }),+],
            key: &[$($key),+],
            batch: $batch,
        }),+];
    };
}

tables! {
    "workspaces" by ("id") at 200: {
        "id" Id, "name" Text, "created_at" Int, "connection_count" Int,
    }
    "users" by ("id") at 200: {
        "id" Id, "workspace_id" Id, "name" Text, "created_at" Int,
    }
    "api_keys" by ("id") at 200: {
        "id" Id, "workspace_id" Id, "user_id" Id, "name" Text, "prefix" Text, "digest" Bytes, "access" Json,
        "created_at" Int, "expires_at" Int, "last_used_at" Int, "revoked_at" Int,
    }
    "connection_facts" by ("workspace_id", "connection_key", "kind") at 4: {
        "workspace_id" Id, "connection_key" Text, "kind" Text, "bytes" Bytes, "updated_at" Int,
    }
    "integration_types" by ("id") at 10: {
        "id" Id, "workspace_id" Id, "slug" Text, "name" Text, "name_folded" Text, "search_text" Text,
        "type" Text, "category" Text, "description" Text, "icon_type" Text, "docs_url" Text,
        "is_active" Flag, "config_schema" Json, "version" Text, "manifest_digest" Bytes, "manifest" Text,
        "origin" Text, "revision" Int, "created_at" Int, "updated_at" Int,
    }
    "integration_versions" by ("integration_type_id", "version") at 10: {
        "integration_type_id" Id, "version" Text, "manifest_digest" Bytes, "config_schema" Json,
        "manifest" Text, "created_at" Int,
    }
    "user_integrations" by ("id") at 200: {
        "id" Id, "workspace_id" Id, "user_id" Id, "key" Text, "name" Text, "name_folded" Text,
        "search_text" Text, "integration_type_id" Id, "version" Text, "previous_version" Text,
        "connection_config" Json, "auth_method" Text, "status" Text, "last_error" Text,
        "last_tested_at" Int, "connected_at" Int, "is_shared" Flag, "is_per_user" Flag,
        "egress_private" Flag, "revision" Int, "created_at" Int, "updated_at" Int,
    }
    "integration_credentials" by ("id") at 200: {
        "id" Id, "workspace_id" Id, "user_integration_id" Id, "user_id" Id, "credential_type" Text,
        "encrypted_value" Bytes, "key_version" Int, "fingerprint" Bytes, "last_four" Text,
        "expires_at" Int, "last_rotated_at" Int, "created_at" Int, "previous_value" Bytes,
        "overlap_until" Int,
    }
    "workspace_keys" by ("workspace_id", "version") at 200: {
        "workspace_id" Id, "version" Int, "wrapped" Bytes, "master_key_id" Bytes, "state" Text,
        "created_at" Int,
    }
    "integration_logs" by ("id") at 500: {
        "id" Id, "workspace_id" Id, "user_integration_id" Id, "event_type" Text, "message" Text,
        "message_folded" Text, "metadata" Json, "created_at" Int,
    }
    "integration_health_metrics" by ("id") at 1000: {
        "id" Id, "workspace_id" Id, "user_integration_id" Id, "response_time_ms" Int, "success" Flag,
        "error_message" Text, "checked_at" Int, "created_at" Int,
    }
    "health_rollups" by ("workspace_id", "user_integration_id", "hour") at 1000: {
        "workspace_id" Id, "user_integration_id" Id, "hour" Int, "count" Int, "successes" Int,
        "total_ms" Int, "max_ms" Int, "spread" Bytes,
    }
    "toolsets" by ("workspace_id", "key") at 100: {
        "workspace_id" Id, "user_id" Id, "key" Text, "name" Text, "description" Text, "tools" Json,
        "revision" Int, "created_at" Int, "updated_at" Int,
    }
    "leases" by ("name") at 500: {
        "name" Text, "holder" Text, "token" Int, "expires_at" Int,
    }
    "idempotency_keys" by ("workspace_id", "caller", "key") at 50: {
        "workspace_id" Id, "caller" Text, "key" Text, "digest" Bytes, "response" Bytes, "created_at" Int,
        "expires_at" Int,
    }
}
