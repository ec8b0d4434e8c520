//! One shape for everything that goes wrong: whose fault, whether to retry, and what to do.
//! The same [`Fault`] becomes problem JSON, a JSON-RPC error, an exit code and a line in the console.

use std::fmt;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The one who asked.
    Caller,
    /// The system behind a connection.
    Upstream,
    /// Whoever runs the hub: configuration, capacity.
    Operator,
    /// Us.
    Bug,
}

/// Whether trying again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// Safe to send again at once.
    Safe,
    /// Safe to send again after so many milliseconds.
    AfterMs(u32),
    /// It may have happened: look before sending again.
    OutcomeUnknown,
}

/// The one spelling that every door uses: `never`, `safe`, `after_ms:1000`, `outcome_unknown`.
impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Safe => f.write_str("safe"),
            Self::AfterMs(ms) => write!(f, "after_ms:{ms}"),
            Self::OutcomeUnknown => f.write_str("outcome_unknown"),
        }
    }
}

/// `TL-nnnn`. Every code has a page in `docs/errors/`, printed by `trunkline explain`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TL-{:04}", self.0)
    }
}
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal, $title:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($number);)*
            /// Every code there is, with its HTTP status and title.
            pub const ALL: &'static [(Self, u16, &'static str)] = &[$((Self($number), $status, $title),)*];
        }
    };
}

codes! {
    /// No key, or one that opens nothing.
    UNAUTHENTICATED = 1001, 401, "Not signed in";
    /// Known, but not allowed.
    FORBIDDEN = 1002, 403, "Not allowed";
    /// `Origin` or `Host` is not on the list.
    FOREIGN_ORIGIN = 1003, 403, "Foreign origin or host";
    /// No such connection, tool, resource, prompt or page (or none that the caller may know of).
    NOT_FOUND = 1101, 404, "Not found";
    /// The message is not what the protocol asks for.
    BAD_MESSAGE = 1201, 400, "Malformed message";
    /// Arguments do not fit the tool's schema.
    BAD_ARGUMENTS = 1202, 422, "Arguments do not fit the schema";
    /// Larger than a limit allows.
    TOO_LARGE = 1203, 413, "Too large";
    /// Protocol version or capability that is not served.
    UNSUPPORTED = 1204, 400, "Not supported";
    /// A session, cursor or state that is not ours or not any more.
    STALE_STATE = 1205, 404, "Unknown or expired state";
    /// An `Idempotency-Key` that was used already, for something else or with an answer that is gone.
    KEY_REUSED = 1206, 422, "Idempotency key used before";
    /// What is asked for does not go with how things stand now.
    CONFLICT = 1207, 409, "At odds with the present state";
    /// Too many calls at once.
    BUSY = 1301, 429, "Too many calls at once";
    /// Did not answer in time.
    TIMEOUT = 1401, 504, "No answer in time";
    /// Cannot be reached or does not start.
    UNREACHABLE = 1402, 502, "Cannot be reached";
    /// Answered with something that is not the protocol.
    BAD_ANSWER = 1403, 502, "Unusable answer";
    /// Stopped in the middle of a call.
    GONE_MIDWAY = 1404, 502, "Ended in the middle of the call";
    /// Refused our credentials.
    UPSTREAM_REFUSED = 1405, 502, "Upstream refused the credentials";
    /// Answered more than a limit allows.
    ANSWER_TOO_LARGE = 1406, 502, "Answer too large";
    /// The egress guard refused the address.
    EGRESS_REFUSED = 1407, 502, "Address not allowed";
    /// The system behind the connection says that it is asked too much.
    RATE_LIMITED = 1408, 429, "Upstream's rate limit reached";
    /// The caller, or the connection, has to give leave in a browser first.
    LEAVE_NEEDED = 1409, 401, "Authorisation needed";
    /// The caller's own credential is missing for a connection on which everybody uses their own.
    AUTHORISE_HERE = 1410, 401, "Your own authorisation needed";
    /// The connection's entry is incomplete or wrong.
    MISCONFIGURED = 1501, 503, "Connection not configured";
    /// A question back to the caller could not be asked or was not answered.
    UNANSWERED = 1601, 502, "Question to the caller not answered";
    /// The caller went away or cancelled.
    CANCELLED = 1602, 499, "Cancelled";
    /// The store, the disk, the ledger.
    STORE = 1701, 503, "Storage unavailable";
    /// Our own mistake.
    BUG = 1901, 500, "Internal error";
}

impl Code {
    /// HTTP status and title of the code.
    #[must_use]
    pub fn describe(self) -> (u16, &'static str) {
        Self::ALL.iter().find(|(code, ..)| *code == self).map_or((500, "Internal error"), |(_, s, t)| (*s, t))
    }
}

/// What went wrong, for whoever has to act on it. Holds no secret and nothing of other callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of thing went wrong.
    pub code: Code,
    /// Whose fault.
    pub blame: Blame,
    /// Whether to try again.
    pub retry: Retry,
    /// What happened, naming the field and the limit.
    pub detail: String,
    /// What to do about it; one sentence.
    pub hint: String,
    /// Where the caller can do it. For the caller's eyes only: no log and no record has it.
    pub link: Option<Box<Link>>,
}

/// A page on which one caller can mend what is wrong. Who has it may act on it, so it prints itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The page.
    pub url: String,
    /// Tells this link from others: MCP's `elicitationId`.
    pub id: String,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(****)")
    }
}

impl Fault {
    /// A fault with the blame and retry that its code usually has; adjust with the `with_` methods.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (blame, retry) = match code.0 {
            1301 => (Blame::Operator, Retry::AfterMs(1000)),
            1000..=1399 | 1602 => (Blame::Caller, Retry::Never),
            1401 | 1404 => (Blame::Upstream, Retry::OutcomeUnknown),
            1402 => (Blame::Upstream, Retry::Safe),
            1407 => (Blame::Operator, Retry::Never),
            1408 => (Blame::Upstream, Retry::AfterMs(1000)),
            1409 | 1410 => (Blame::Caller, Retry::Never),
            1400..=1499 => (Blame::Upstream, Retry::Never),
            1500..=1599 => (Blame::Operator, Retry::Never),
            1600..=1699 => (Blame::Caller, Retry::Never),
            1701 => (Blame::Operator, Retry::AfterMs(1000)),
            _ => (Blame::Bug, Retry::Never),
        };
        Self { code, blame, retry, detail: detail.into(), hint: String::new(), link: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds where the caller can do it.
    #[must_use]
    pub fn with_link(mut self, link: Option<Link>) -> Self {
        self.link = link.map(Box::new);
        self
    }

    /// What happened and what to do, without the code: for places that show the code beside it.
    #[must_use]
    pub fn advice(&self) -> String {
        if self.hint.is_empty() { self.detail.clone() } else { format!("{} ({})", self.detail, self.hint) }
    }

    /// Sets whether to retry.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets whose fault it is.
    #[must_use]
    pub const fn with_blame(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.advice(), self.code)
    }
}

impl std::error::Error for Fault {}
