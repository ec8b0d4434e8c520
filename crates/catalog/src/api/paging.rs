//! How an API hands out long lists.

use super::Path;

/// How a long list is read.
#[derive(Debug)]
pub struct Pagination {
    /// In which of the forms.
    pub form: Form,
    /// Where the list is in an answer.
    pub items: Path,
    /// Where the number of all items is, if it is said.
    pub total: Option<Path>,
    /// How many items are asked for at once, if that can be said.
    pub size: Option<Size>,
    /// A page with fewer items than were asked for is the last one. Left out where an API filters its pages.
    pub is_short_last: bool,
}

/// How many items are asked for at once.
#[derive(Debug)]
pub struct Size {
    /// Where it is said.
    pub spot: Spot,
    /// How many where a caller says nothing.
    pub default: u64,
    /// The most that the API gives.
    pub max: u64,
}

/// Where a value of a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// A query parameter.
    Query(String),
    /// A header. Where one proves oneself, the name may hold settings: `{config.header}`.
    Header(String),
    /// A member of the body.
    Body(Path),
}

/// Where a cursor comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A member of the answer's body.
    Body(Path),
    /// A header of the answer.
    Header(String),
    /// A member of its last item.
    LastItem(Path),
}

/// The forms in which lists are handed out.
#[derive(Debug)]
pub enum Form {
    /// A number of the page, counted from `start`.
    Page {
        /// Where it goes.
        spot: Spot,
        /// The first page's.
        start: u64,
        /// Where the number of the last page is, if it is said.
        last: Option<Path>,
    },
    /// How many items to leave out.
    Offset {
        /// Where it goes.
        spot: Spot,
        /// The first one's.
        start: u64,
    },
    /// A value of one answer that asks for the next: a cursor, a token, a scroll id, the last record's id.
    Cursor {
        /// Where it goes.
        spot: Spot,
        /// Where it comes from.
        from: Source,
        /// Where it is said whether there are more; without it, a cursor means more.
        more: Option<Path>,
    },
    /// The `Link` header's `rel="next"` (RFC 8288).
    Link,
    /// A member that holds the next URL, whole or as a path.
    NextUrl {
        /// Where it is.
        from: Path,
    },
    /// Whichever of the common ways an answer shows: the `Link` header, a member with the next URL, a cursor or token
    /// under one of its usual names. For APIs that nobody has read the documentation of.
    Auto {
        /// Where a cursor goes; by its own name where nothing is said.
        spot: Option<Spot>,
    },
    /// `Range: items=0-24`, answered by `Content-Range: items 0-24/319`.
    Range {
        /// The unit.
        unit: String,
    },
    /// Spans of time, one after the other, from an argument up to another or now.
    Window {
        /// Where the beginning goes; an RFC 3339 time.
        from: Spot,
        /// Where the end goes.
        to: Spot,
        /// The argument with the first beginning.
        since: String,
        /// The argument with the last end; now where it is not given.
        until: String,
        /// The length of one span, seconds.
        span_s: u32,
    },
}
