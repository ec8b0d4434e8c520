//! Looking for connections.

use std::collections::BTreeMap;

use model::id::ConnectionId;
use model::{Category, ConnectionStatus, IntegrationKind, Key};

use super::ConnectionRow;
use crate::TimeCursor;

/// Where a page of connections begins: after this one.
pub type ConnectionCursor = TimeCursor<ConnectionId>;

/// Which connections a list is to hold.
#[derive(Debug, Clone, Default)]
pub struct ConnectionQuery {
    /// Contained in its name or key, or in its integration's name or description, whatever the case. Every
    /// character means itself.
    pub text: Option<String>,
    /// Of this kind only.
    pub kind: Option<IntegrationKind>,
    /// Of this category only.
    pub category: Option<Category>,
    /// In this status only.
    pub status: Option<ConnectionStatus>,
    /// With the integration of this slug only.
    pub integration: Option<String>,
    /// With this key only.
    pub key: Option<Key>,
    /// Rows of a page, up to [`crate::PAGE_MAX`].
    pub limit: usize,
    /// Where the page begins.
    pub after: Option<ConnectionCursor>,
}

/// What a list shows of an integration beside each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationSummary {
    /// What people call it.
    pub name: String,
    /// What kind of thing it connects.
    pub kind: IntegrationKind,
    /// Where it stands in the catalogue.
    pub category: Category,
    /// Which icon shows it.
    pub icon_type: String,
    /// The newest version of its definition.
    pub version: String,
}

/// A connection and what it is a connection with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The connection.
    pub connection: ConnectionRow,
    /// Its integration.
    pub integration: IntegrationSummary,
}

/// How many connections there are. What there is none of has no entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// All of them.
    pub total: u64,
    /// By where they stand.
    pub by_status: BTreeMap<ConnectionStatus, u64>,
    /// By kind of integration.
    pub by_kind: BTreeMap<IntegrationKind, u64>,
    /// By category of integration.
    pub by_category: BTreeMap<Category, u64>,
}

// === impl ConnectionQuery ===

impl ConnectionQuery {
    /// The text as it is compared.
    #[must_use]
    pub fn folded_text(&self) -> Option<String> {
        crate::text::sought(self.text.as_deref())
    }
}

// === impl Connected ===

impl Connected {
    /// Where the page after this row begins.
    #[must_use]
    pub const fn cursor(&self) -> ConnectionCursor {
        TimeCursor { at: self.connection.created_at, id: self.connection.id }
    }
}

// === impl ConnectionStats ===

impl ConnectionStats {
    /// Adds `count` connections of one sort.
    pub fn add(&mut self, status: ConnectionStatus, kind: IntegrationKind, category: Category, count: u64) {
        self.total += count;
        *self.by_status.entry(status).or_default() += count;
        *self.by_kind.entry(kind).or_default() += count;
        *self.by_category.entry(category).or_default() += count;
    }
}
