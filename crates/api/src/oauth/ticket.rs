//! What links of `/oauth` hold, sealed: whom they are for, what of, and until when. A link that somebody else opens
//! is good for nobody but the one that it was made for, and a page says who that is.

use std::sync::Arc;

use model::id::{ApiKeyId, UserId, WorkspaceId};
use model::{Caller, Clock, Code, Entropy, Fault, Link, Sealer, Timestamp};
use serde::{Deserialize, Serialize};
use store::{ConnectionRow, CredentialRow};

/// How long an operator's link is good.
const TICKET_MS: i64 = 30 * 60 * 1000;
/// How long the link of a refused call is good: somebody is waiting for it.
const OWN_MS: i64 = 10 * 60 * 1000;
/// How long somebody may take at the vendor, or with a form.
pub(super) const STATE_MS: i64 = 10 * 60 * 1000;

const TICKET: &str = "oauth-ticket";
const STATE: &str = "oauth-state";

/// What a link holds.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Ticket {
    pub(super) connection: String,
    pub(super) workspace: WorkspaceId,
    pub(super) principal: String,
    pub(super) until: Timestamp,
    /// Whoever asked may manage the hub.
    pub(super) is_manager: bool,
    /// Where everybody uses their own credentials: whose it is to become.
    pub(super) own: Option<Own>,
}

/// The user that a link is for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Own {
    pub(super) user: UserId,
    /// The key that asked, for the page to name.
    pub(super) api_key: Option<ApiKeyId>,
    /// The link is of no use once the user has a credential that is newer.
    pub(super) asked_at: Timestamp,
}

/// What travels through the vendor, or a form.
#[derive(Serialize, Deserialize)]
pub(super) struct Travelling {
    pub(super) ticket: Ticket,
    pub(super) verifier: String,
    /// The authorization server that leave was asked of.
    pub(super) issuer: Option<String>,
    /// Of the cookie's value.
    pub(super) digest: String,
}

/// Makes links.
#[derive(Clone)]
pub struct Links {
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    public_url: String,
}

// === impl Links ===

impl Links {
    /// Links to the hub that is reached at `public_url`.
    #[must_use]
    pub fn new(
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        public_url: &str,
    ) -> Self {
        Self { sealer, clock, entropy, public_url: public_url.trim_end_matches('/').to_owned() }
    }

    /// Where the caller gives a connection a credential of their own.
    ///
    /// # Errors
    /// When it cannot be sealed.
    pub fn own(&self, row: &ConnectionRow, caller: &Caller) -> Result<Link, Fault> {
        let ticket = Ticket { until: self.now().plus_ms(OWN_MS), ..self.ticket(row, caller, true) };
        let mut number = [0; 16];
        self.entropy.fill(&mut number);
        Ok(Link { url: self.url_of(&ticket)?, id: model::hex(&number) })
    }

    pub(super) fn ticket(&self, row: &ConnectionRow, caller: &Caller, is_own: bool) -> Ticket {
        let now = self.now();
        let own = Own { user: caller.owner.user, api_key: caller.api_key, asked_at: now };
        Ticket {
            connection: row.id.to_string(),
            workspace: row.owner.workspace,
            principal: caller.principal.to_string(),
            until: now.plus_ms(TICKET_MS),
            is_manager: caller.access.manage,
            own: is_own.then_some(own),
        }
    }

    pub(super) fn url_of(&self, ticket: &Ticket) -> Result<String, Fault> {
        Ok(format!("{}/oauth/start?ticket={}", self.public_url, self.seal(TICKET, ticket)?))
    }

    /// What stands in a link.
    ///
    /// # Errors
    /// One of somebody else's making, or one that has run out.
    pub(super) fn open_ticket(&self, sealed: &str) -> Result<Ticket, Fault> {
        let ticket: Ticket = self.open(TICKET, sealed)?;
        self.still_good(ticket.until)?;
        Ok(ticket)
    }

    pub(super) fn seal_state(&self, travelling: &Travelling) -> Result<String, Fault> {
        self.seal(STATE, travelling)
    }

    /// What came back.
    ///
    /// # Errors
    /// As [`Links::open_ticket`].
    pub(super) fn open_state(&self, sealed: &str) -> Result<Travelling, Fault> {
        let travelling: Travelling = self.open(STATE, sealed)?;
        self.still_good(travelling.ticket.until)?;
        Ok(travelling)
    }

    pub(super) fn public(&self) -> &str {
        &self.public_url
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn seal<T: Serialize>(&self, purpose: &str, value: &T) -> Result<String, Fault> {
        let plain = serde_json::to_vec(value).map_err(|error| Fault::new(Code::BUG, error.to_string()))?;
        self.sealer.seal(purpose, "", &plain).map_err(|error| Fault::new(Code::BUG, error.to_string()))
    }

    fn open<T: for<'de> Deserialize<'de>>(&self, purpose: &str, sealed: &str) -> Result<T, Fault> {
        let plain = self.sealer.open(purpose, "", sealed).ok();
        plain.and_then(|plain| serde_json::from_slice(&plain).ok()).ok_or_else(|| {
            Fault::new(Code::STALE_STATE, "the link is none of this hub's").with_hint("ask for a new one")
        })
    }

    fn still_good(&self, until: Timestamp) -> Result<(), Fault> {
        if self.now() < until {
            return Ok(());
        }
        Err(Fault::new(Code::STALE_STATE, "the link has run out").with_hint("ask for a new one"))
    }
}

// === impl Own ===

impl Own {
    /// A link is good once: whoever finds it later changes nothing by it.
    ///
    /// # Errors
    /// When its user has stored something since it was made.
    pub(super) fn check_unused(&self, rows: &[CredentialRow]) -> Result<(), Fault> {
        let is_newer = |row: &&CredentialRow| {
            // A token is renewed without anybody's doing: what counts is when it came.
            let is_token = row.field == connector::oauth::TOKENS_FIELD;
            let at = row.last_rotated_at.filter(|_| !is_token).unwrap_or(row.created_at);
            row.user == Some(self.user) && at > self.asked_at
        };
        if rows.iter().find(is_newer).is_none() {
            return Ok(());
        }
        let hint =
            "ask for a new one; if that was not you, remove what is stored: `trunkline connection withdraw`";
        Err(Fault::new(Code::STALE_STATE, "the link has been used").with_hint(hint))
    }
}
