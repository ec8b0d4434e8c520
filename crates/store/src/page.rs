//! Whose rows, and how many at once.

use model::id::{UserId, WorkspaceId};
use model::{Owner, Timestamp};

/// The most rows of one page; more is cut down to this.
pub const PAGE_MAX: usize = 500;

/// Whose connections are meant. There is no scope without a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// `None` for the whole workspace (the hub itself, an administrator). With a user, reads find what is
    /// the user's own or shared, and writes find the user's own only.
    pub user: Option<UserId>,
}

/// Rows, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows, at most as many as were asked for.
    pub items: Vec<T>,
    /// Ask again from here; `None` when this was the last page.
    pub next: Option<C>,
}

/// A place in a list ordered by time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeCursor<I> {
    /// The last row's time.
    pub at: Timestamp,
    /// The last row's id.
    pub id: I,
}

/// What a page size comes to: 1 to [`PAGE_MAX`].
#[must_use]
pub fn page_size(limit: usize) -> usize {
    limit.clamp(1, PAGE_MAX)
}

// === impl Scope ===

impl Scope {
    /// Whether a read may find a row of `owner`.
    #[must_use]
    pub fn sees(&self, owner: Owner, is_shared: bool) -> bool {
        owner.workspace == self.workspace && (is_shared || self.user.is_none_or(|user| user == owner.user))
    }

    /// Whether a write may change a row of `owner`.
    #[must_use]
    pub fn may_change(&self, owner: Owner) -> bool {
        self.sees(owner, false)
    }
}

impl From<Owner> for Scope {
    fn from(owner: Owner) -> Self {
        Self { workspace: owner.workspace, user: Some(owner.user) }
    }
}

impl From<WorkspaceId> for Scope {
    fn from(workspace: WorkspaceId) -> Self {
        Self { workspace, user: None }
    }
}

// === impl Page ===

impl<T, C> Page<T, C> {
    /// A page from up to `size + 1` rows: the one too many says that there is more.
    #[must_use]
    pub fn cut(mut rows: Vec<T>, size: usize, cursor: impl FnOnce(&T) -> C) -> Self {
        let has_more = rows.len() > size;
        rows.truncate(size);
        let next = if has_more { rows.last().map(cursor) } else { None };
        Self { items: rows, next }
    }

    /// The same, to be gone on with at `place` where nothing else says so.
    #[must_use]
    pub fn going_on(self, place: Option<C>) -> Self {
        Self { next: self.next.or(place), ..self }
    }
}
