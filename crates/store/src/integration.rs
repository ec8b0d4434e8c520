//! Integrations as they are stored: the catalogue's entries (table `integration_types`).

use async_trait::async_trait;
use model::id::{IntegrationId, WorkspaceId};
use model::{Category, IntegrationKind, Timestamp};

use crate::text::{check_bytes, check_name, check_text};
use crate::{Command, Json, Page, StoreError, Transactions};

/// The longest slug, in bytes.
pub const SLUG_LEN_MAX: usize = 64;
/// The longest name of anything, in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// The longest description or address, in bytes.
pub const DESCRIPTION_LEN_MAX: usize = 4_096;
/// The largest configuration, schema or list of tools as JSON, in bytes.
pub const JSON_LEN_MAX: usize = 256 * 1024;
/// The largest manifest, in bytes.
pub const MANIFEST_LEN_MAX: usize = 4 * 1024 * 1024;
/// The most integrations that one workspace makes for itself.
pub const INTEGRATIONS_MAX: usize = 10_000;
/// The most definitions of one integration that are remembered.
pub const VERSIONS_MAX: usize = 1_000;

/// Where an integration comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The program itself.
    Builtin,
    /// The operator's folder.
    Folder,
    /// Made through the API, in one workspace.
    Api,
}

/// One integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationRow {
    /// Which one.
    pub id: IntegrationId,
    /// The workspace that made it ([`Origin::Api`]); `None` for those that every workspace has.
    pub workspace: Option<WorkspaceId>,
    /// What it is called outside. Unique in its workspace, or among those without one.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What kind of thing it connects.
    pub kind: IntegrationKind,
    /// Where it stands in the catalogue.
    pub category: Category,
    /// What it is, in a sentence or two.
    pub description: String,
    /// Which icon shows it.
    pub icon_type: String,
    /// Where its documentation is; empty for nowhere.
    pub docs_url: String,
    /// Whether new connections of it can be made.
    pub is_active: bool,
    /// JSON Schema of a connection's configuration.
    pub config_schema: Json,
    /// The version of its definition, for connections to pin.
    pub version: String,
    /// SHA-256 of its manifest.
    pub manifest_digest: [u8; 32],
    /// The manifest as it was given, for those that are in no folder.
    pub manifest: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Grows by one with every change: 1 when it is made.
    pub revision: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed; the store sets it.
    pub updated_at: Timestamp,
}

/// One earlier or present definition of an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationVersion {
    /// Its version.
    pub version: String,
    /// SHA-256 of its manifest.
    pub manifest_digest: [u8; 32],
    /// The schema it had.
    pub config_schema: Json,
    /// Its manifest, where the store has it.
    pub manifest: Option<String>,
    /// When it came to be known.
    pub created_at: Timestamp,
}

/// Changes of the catalogue.
#[derive(Debug, Clone)]
pub enum IntegrationCommand {
    /// Adds one of a workspace. Its slug must be new there and among those without a workspace
    /// ([`StoreError::Conflict`]); the workspace must exist and have room.
    Insert(Box<IntegrationRow>),
    /// Replaces one of a workspace, found by its slug. Id and time of making stay. `expected` is the
    /// revision that the writer saw, or `None` for whichever.
    Update {
        /// The new content.
        row: Box<IntegrationRow>,
        /// The revision it replaces.
        expected: Option<u64>,
    },
    /// Makes one without a workspace be as this, found by its slug; changes nothing when it is already.
    Seed(Box<IntegrationRow>),
    /// Removes one of a workspace, with its versions. Nothing may be connected with it.
    Delete {
        /// Its workspace.
        workspace: WorkspaceId,
        /// Its slug.
        slug: String,
    },
    /// Takes one without a workspace out of the catalogue (`is_active` becomes false), for what the
    /// program or the folder has no more. Its connections stay.
    Withdraw {
        /// Its slug.
        slug: String,
        /// When.
        at: Timestamp,
    },
}

/// Which integrations a list is to hold.
#[derive(Debug, Clone, Default)]
pub struct IntegrationQuery {
    /// Contained in name or description, whatever the case. Every character means itself.
    pub text: Option<String>,
    /// Of this kind only.
    pub kind: Option<IntegrationKind>,
    /// Of this category only.
    pub category: Option<Category>,
    /// From there only.
    pub origin: Option<Origin>,
    /// Also those that are not active.
    pub with_inactive: bool,
    /// Rows of a page, up to [`crate::PAGE_MAX`].
    pub limit: usize,
    /// Where the page begins.
    pub after: Option<NameCursor>,
}

/// A place in a list ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameCursor {
    /// The last row's name, folded.
    pub name: String,
    /// The last row's id.
    pub id: IntegrationId,
}

/// The store of integrations. A workspace sees those without a workspace and its own.
#[async_trait]
pub trait Integrations: Transactions {
    /// A page of the catalogue, ordered by name.
    async fn list_integrations(
        &self,
        workspace: WorkspaceId,
        query: IntegrationQuery,
    ) -> Result<Page<IntegrationRow, NameCursor>, StoreError>;

    /// All that the query tells of, page by page; its place and the size of its pages do not matter.
    async fn all_integrations(
        &self,
        workspace: WorkspaceId,
        query: IntegrationQuery,
    ) -> Result<Vec<IntegrationRow>, StoreError> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let query = IntegrationQuery { limit: crate::PAGE_MAX, after, ..query.clone() };
            let page = self.list_integrations(workspace, query).await?;
            rows.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// The one with this slug; the workspace's own goes before one without a workspace.
    async fn find_integration(
        &self,
        workspace: WorkspaceId,
        slug: &str,
    ) -> Result<Option<IntegrationRow>, StoreError>;

    /// The one with this id.
    async fn find_integration_by_id(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Option<IntegrationRow>, StoreError>;

    /// The definitions it has had, newest first; at most [`crate::PAGE_MAX`].
    async fn list_integration_versions(
        &self,
        workspace: WorkspaceId,
        id: IntegrationId,
    ) -> Result<Vec<IntegrationVersion>, StoreError>;

    /// Runs one command.
    async fn change_integration(&self, command: IntegrationCommand) -> Result<(), StoreError> {
        self.apply(vec![Command::Integration(command)]).await
    }
}

// === impl Origin ===

impl Origin {
    /// The word in the column `origin`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Folder => "folder",
            Self::Api => "api",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Builtin, Self::Folder, Self::Api].into_iter().find(|one| one.as_str() == word)
    }
}

// === impl IntegrationRow ===

impl IntegrationRow {
    /// What a search looks through: name and description, folded.
    #[must_use]
    pub fn search_text(&self) -> String {
        crate::fold(&format!("{}\n{}", self.name, self.description))
    }

    /// Whether `other` says the same, apart from ids, revision and times.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let plain = |row: &Self| Self {
            id: self.id,
            revision: 0,
            created_at: self.created_at,
            updated_at: self.updated_at,
            ..row.clone()
        };
        plain(self) == plain(other)
    }

    /// The definition that this row holds at present.
    #[must_use]
    pub fn present_version(&self) -> IntegrationVersion {
        IntegrationVersion {
            version: self.version.clone(),
            manifest_digest: self.manifest_digest,
            config_schema: self.config_schema.clone(),
            manifest: self.manifest.clone(),
            created_at: self.updated_at,
        }
    }

    /// Whether a workspace sees it.
    #[must_use]
    pub fn is_for(&self, workspace: WorkspaceId) -> bool {
        self.workspace.is_none_or(|own| own == workspace)
    }

    /// Where the page after this row begins.
    #[must_use]
    pub fn cursor(&self) -> NameCursor {
        NameCursor { name: crate::fold(&self.name), id: self.id }
    }

    /// As the store keeps it when it is new.
    #[must_use]
    pub fn as_new(&self) -> Self {
        Self { revision: 1, updated_at: self.created_at, ..self.clone() }
    }

    /// As the store keeps it in place of `there`.
    #[must_use]
    pub fn in_place_of(&self, there: &Self) -> Self {
        Self {
            id: there.id,
            revision: there.revision.saturating_add(1),
            created_at: there.created_at,
            updated_at: there.updated_at.max(self.updated_at),
            ..self.clone()
        }
    }

    /// As it is when it is out of the catalogue.
    #[must_use]
    pub fn withdrawn(&self, at: Timestamp) -> Self {
        Self { is_active: false, updated_at: at, ..self.clone() }.in_place_of(self)
    }

    fn check(&self, is_owned: bool) -> Result<(), StoreError> {
        if self.workspace.is_some() != is_owned {
            return Err(StoreError::Malformed {
                what: "the workspace of an integration",
                why: "must be named for one made through the API, and only for those",
            });
        }
        check_name("the slug of an integration", &self.slug, SLUG_LEN_MAX)?;
        check_name("the name of an integration", &self.name, NAME_LEN_MAX)?;
        check_name("the version of an integration", &self.version, 64)?;
        check_text("the description of an integration", &self.description, DESCRIPTION_LEN_MAX)?;
        check_text("the icon of an integration", &self.icon_type, NAME_LEN_MAX)?;
        check_text("the documentation address of an integration", &self.docs_url, DESCRIPTION_LEN_MAX)?;
        check_bytes("the configuration schema, in bytes,", self.config_schema.as_str().len(), JSON_LEN_MAX)?;
        check_text("a manifest, in bytes,", self.manifest.as_deref().unwrap_or_default(), MANIFEST_LEN_MAX)
    }
}

impl IntegrationCommand {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Insert(row) | Self::Update { row, .. } => row.check(true),
            Self::Seed(row) => row.check(false),
            Self::Delete { .. } | Self::Withdraw { .. } => Ok(()),
        }
    }
}

// === impl IntegrationQuery ===

impl IntegrationQuery {
    /// The text as it is compared.
    #[must_use]
    pub fn folded_text(&self) -> Option<String> {
        crate::text::sought(self.text.as_deref())
    }
}
