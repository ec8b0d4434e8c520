//! What the pipeline cannot know and the binary can: entries that never became a connection, where an
//! entry was written, and how to try one out.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use connector::oauth::Keeper;
use model::id::UserId;
use model::{AuthMethod, Caller, Category, ConnectionStatus, Fault, IntegrationKind, Key, Timestamp};
use store::{ConnectionRow, IntegrationRow};

/// Told by the binary.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Every configured entry, mounted or not. Answers from memory.
    fn entries(&self) -> Vec<Entry>;

    /// True from the moment in which the hub stops taking new work.
    fn is_draining(&self) -> bool;

    /// Tries the connection out: connects afresh and reads its inventory.
    ///
    /// # Errors
    /// Which layer failed, and what to do; `NOT_FOUND` when there is no such entry.
    async fn retest(&self, key: &Key) -> Result<(), Fault>;

    /// The toolsets of the configuration file. Answers from memory.
    fn file_toolsets(&self) -> BTreeSet<Key>;

    /// What this hub knows of an integration beside its row. Answers from memory.
    fn describe(&self, integration: &IntegrationRow) -> Described;

    /// Reads a manifest that is to be an entry of the catalogue.
    ///
    /// # Errors
    /// Every mistake, with its line.
    fn read_manifest(&self, slug: &str, manifest: &str) -> Result<ReadManifest, Fault>;

    /// Makes a manifest of what stands in the place of a schema, where that is a template: a plain object such
    /// as `{"protocol": "stdio", "command": "node"}`. With it comes what did not map. `None` for a schema.
    ///
    /// # Errors
    /// What is wrong with the template.
    fn of_template(&self, entry: &ReadManifest, slug: &str) -> Result<Option<(String, Vec<String>)>, Fault>;

    /// The icon of an integration, an SVG without scripts and references; `None` where it has none.
    fn icon(&self, integration: &IntegrationRow) -> Option<String>;

    /// Reads a connection as it would be connected with: the exact command line where that starts a
    /// program, `None` where it does not.
    ///
    /// # Errors
    /// Every field that is wrong, with its remedy.
    fn command_line(&self, row: &ConnectionRow) -> Result<Option<String>, Fault>;

    /// Whether a credential of this name has a place in the connection.
    ///
    /// # Errors
    /// Which places there are.
    fn check_field(&self, row: &ConnectionRow, field: &str) -> Result<(), Fault>;

    /// What each user gives a stored connection on which everybody uses their own credentials; `None` for one
    /// whose credentials all users share.
    ///
    /// # Errors
    /// When there is nothing about it that could be a user's own.
    fn own_way(&self, row: &ConnectionRow) -> Result<Option<OwnWay>, Fault>;

    /// Connects with a stored connection once, reads what it offers, and lets go of it: how many tools it
    /// offers. Where everybody uses their own credentials, with the caller's; what a caller who may manage
    /// is shown then is what all are shown.
    ///
    /// # Errors
    /// Which layer failed, and what to do.
    async fn try_out(&self, row: &ConnectionRow, caller: &Caller) -> Result<usize, Fault>;

    /// What asking for leave for a stored connection needs. `public_url` is where this hub is reached. With
    /// `is_fresh` what can be asked of the system itself is asked anew; otherwise what was found then counts.
    /// Where everybody uses their own credentials, it is `user`'s.
    ///
    /// # Errors
    /// When it does not sign in with somebody's leave, or lacks something for it.
    async fn leave(
        &self,
        row: &ConnectionRow,
        public_url: &str,
        is_fresh: bool,
        user: UserId,
    ) -> Result<Leave, Fault>;

    /// Brings what runs on this node in step with the store, so that the next call finds it so.
    async fn settle(&self);
}

/// What is known of an integration beside its row.
#[derive(Debug, Clone, Default)]
pub struct Described {
    /// Why connections of it cannot be made by this hub; `None` where they can.
    pub unavailable: Option<String>,
    /// Members of a configuration that are the hub's, whatever the integration's schema says.
    pub hub_keys: &'static [&'static str],
    /// The ways to prove oneself, the usual one first.
    pub auth: Vec<AuthWay>,
    /// How many tools it has, where that is known before it is connected.
    pub tool_count: Option<usize>,
    /// What replaying its recorded exchanges showed, once that was done.
    pub proof: Option<Proof>,
}

/// What a manifest says of its entry.
#[derive(Debug, Clone)]
pub struct ReadManifest {
    /// What people call it.
    pub name: String,
    /// What kind of thing it connects.
    pub kind: IntegrationKind,
    /// Where it stands in the catalogue.
    pub category: Category,
    /// What it is, in a sentence or two.
    pub description: String,
    /// Where its documentation is; empty for nowhere.
    pub docs_url: String,
    /// JSON Schema of a connection's configuration.
    pub config_schema: serde_json::Value,
    /// The version of its definition.
    pub version: String,
}

/// A way to prove oneself.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = IntegrationAuthMethod)]
pub struct AuthWay {
    /// Its word, which connections say.
    #[schema(value_type = String)]
    pub method: AuthMethod,
    /// What people call it.
    pub title: String,
    /// The secrets that it takes.
    pub credentials: Vec<CredentialField>,
    /// Somebody has to give leave in a browser or on another device.
    pub needs_leave: bool,
}

/// A secret that a connection takes.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = IntegrationCredentialField)]
pub struct CredentialField {
    /// Where it goes: `auth.credentials.token`.
    pub field: String,
    /// What people call it.
    pub title: String,
    /// Where to get it; empty for nowhere.
    pub help: String,
    /// Nothing works without it.
    pub required: bool,
}

/// What replaying recorded exchanges showed.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = IntegrationProof)]
pub struct Proof {
    /// When it was done; milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// Everything went as recorded, and every tool is shown.
    pub is_whole: bool,
    /// Calls that went as recorded.
    pub passed: usize,
    /// Those that did not.
    pub failed: usize,
}

/// What each user gives a connection on which everybody uses their own credentials.
#[derive(Debug, Clone)]
pub enum OwnWay {
    /// Leave, in a browser or on another device; what else is stored (the client) all users share.
    Leave,
    /// These, which they enter; nothing is shared.
    Entered(Vec<CredentialField>),
}

/// What asking for leave needs.
pub struct Leave {
    /// What people call the system that gives it.
    pub name: String,
    /// Where the tokens go.
    pub keeper: Arc<Keeper>,
    /// Leave can be given in a browser that comes back here.
    pub has_browser: bool,
    /// Leave can be given on another device.
    pub has_device: bool,
}

/// One configured entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its key, as far as it is one; an entry with an unusable key keeps it as written.
    pub key: String,
    /// How it stands when it is not mounted: `configuring`, `error` or `disconnected`. Ignored for a
    /// mounted one, whose connector knows better.
    pub status: ConnectionStatus,
    /// What is wrong with the entry itself, with a remedy; told for mounted ones too (a broken edit
    /// leaves the old connection running).
    pub reason: Option<String>,
    /// Where it is written; `None` for what is only in the store.
    pub source: Option<Source>,
    /// Changed in the file only, not through the API.
    pub is_file_managed: bool,
    /// How bytes travel, as far as the entry says: `stdio`, `http`, ...
    pub transport: Option<String>,
}

/// Where an entry is written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Source {
    /// Path of the file.
    pub file: String,
    /// Line in it, from 1.
    #[schema(required = true)]
    pub line: Option<u32>,
}
