//! One connection's token, kept in force.
//!
//! Before its end it is renewed by one caller at a time: in this process by a lock, among nodes by a fenced
//! lease in the store. What was got is written over exactly what was read, so that a late holder overwrites
//! nothing. A renewal writes down that it begins: refresh tokens are often good for one use, and whoever finds
//! the beginning of one that never ended knows why the provider refuses.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use model::id::UserId;
use model::{Clock, Code, Entropy, Fault, Retry, Secret, Timestamp};
use store::{ConnectionRow, LeaseCommand, Store, Taken};
use tokio::sync::Mutex;

use super::provider::{Ask, Provider, Refusal};
use super::{TokenSet, Tokens};
use crate::credentials::{Credentials, NewCredential};

/// The place of a connection's tokens among its credentials.
pub const TOKENS_FIELD: &str = "oauth.tokens";
/// How long a renewal may hold the lease, milliseconds: longer than an exchange takes.
const LEASE_MS: u32 = 60_000;
/// How long another node's renewal is waited for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(200);
/// How long nothing is asked after a failure that may pass, milliseconds.
const COOL_MS: i64 = 30_000;

/// Makes a signed token that is traded for another.
pub type Assert = Arc<dyn Fn() -> Result<Secret, Fault> + Send + Sync>;

/// How this connection comes to a token when it has none to renew.
#[derive(Clone)]
pub enum Own {
    /// Not by itself: somebody gives leave in a browser.
    Leave,
    /// As the client itself.
    Client,
    /// With a token that it signs.
    Assertion(Assert),
}

/// What a keeper works with.
#[derive(Clone)]
pub struct KeeperParts {
    /// Where tokens are kept, and whose they are; `None` keeps them in memory only.
    pub stored: Option<(Arc<dyn Store>, Arc<Credentials>, ConnectionRow)>,
    /// Whose own they are; `None` for those that all users share.
    pub user: Option<UserId>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

/// See the head of the file.
pub struct Keeper {
    provider: Provider,
    own: Own,
    /// What people call the connection.
    key: String,
    parts: KeeperParts,
    held: RwLock<Option<Arc<Held>>>,
    /// One renewal at a time, and the last failure with the time until which nothing is asked.
    turn: Mutex<Option<(Timestamp, Fault)>>,
}

struct Held {
    set: TokenSet,
    /// When it is renewed; some before others, so that not all go at once.
    renew_at: Option<Timestamp>,
}

// === impl Keeper ===

impl Keeper {
    /// A keeper of the token of the connection `key`.
    #[must_use]
    pub fn new(provider: Provider, own: Own, key: String, parts: KeeperParts) -> Self {
        Self { provider, own, key, parts, held: RwLock::default(), turn: Mutex::default() }
    }

    /// The client that it renews with.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Takes a token that leave was just given for.
    ///
    /// # Errors
    /// The store.
    pub async fn put(&self, set: TokenSet) -> Result<(), Fault> {
        let mut cool = self.turn.lock().await;
        if let (Some(user), Some((_, credentials, connection))) = (self.parts.user, &self.parts.stored) {
            // Another account may have come: a row of its own says so to whoever still has the old token.
            credentials.remove(connection, Some(user), TOKENS_FIELD).await?;
        }
        self.save(&set).await?;
        *cool = None;
        self.hold(set);
        Ok(())
    }

    /// True where somebody has to give leave, and tokens do not come by themselves.
    #[must_use]
    pub const fn needs_leave(&self) -> bool {
        matches!(self.own, Own::Leave)
    }

    /// Leave that was found to be wanting since the last time that it was given.
    #[must_use]
    pub fn wanted(&self) -> Option<String> {
        self.held()?.set.wanted.clone()
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, set: TokenSet) -> Arc<Held> {
        let before = i64::try_from(self.provider.refresh_before_s).unwrap_or(0) * 1000;
        let spread = u64::try_from(before / 5).unwrap_or(0).max(1);
        let jitter = i64::try_from(self.parts.entropy.next_u64() % spread).unwrap_or(0);
        let renew_at = set.expires_at.map(|at| {
            // A token that lasts hardly longer than the margin is used for half of its life.
            let lasts = at.ms_since(set.issued_at).max(0);
            at.plus_ms(-(before + jitter).min(lasts / 2))
        });
        let held = Arc::new(Held { set, renew_at });
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&held));
        held
    }

    /// What the store has.
    async fn stored(&self) -> Result<Option<TokenSet>, Fault> {
        let Some((_, credentials, connection)) = &self.parts.stored else {
            return Ok(self.held().map(|held| held.set.clone()));
        };
        let open = credentials.open_of(connection, self.parts.user).await?;
        Ok(open.get(TOKENS_FIELD).and_then(TokenSet::from_secret))
    }

    async fn save(&self, set: &TokenSet) -> Result<(), Fault> {
        let Some((_, credentials, connection)) = &self.parts.stored else { return Ok(()) };
        let new = NewCredential {
            field: TOKENS_FIELD.to_owned(),
            user: self.parts.user,
            value: set.to_secret(),
            expires_at: None,
            overlap_ms: 0,
        };
        credentials.put(connection, new).await.map(|_| ())
    }

    fn leave_needed(&self, why: &str) -> Fault {
        Fault::new(
            Code::LEAVE_NEEDED,
            format!("`{}` needs somebody's leave at {}: {why}", self.key, self.provider.name),
        )
        .with_hint(format!("`trunkline connection authorize {}` gives the link", self.key))
    }

    /// Another token in the place of `old`, or the first one.
    async fn another(&self, old: Option<&Secret>) -> Result<Arc<Held>, Fault> {
        let mut cool = self.turn.lock().await;
        let is_other = |held: &Arc<Held>| {
            held.set.dead.is_none() && old.is_none_or(|old| old.expose() != held.set.access.expose())
        };
        if let Some(held) = self.held().filter(is_other) {
            return Ok(held);
        }
        let now = self.parts.clock.now();
        if let Some((until, fault)) = &*cool
            && now < *until
        {
            return Err(fault.clone());
        }
        let done = match &self.parts.stored {
            None => self.renew_now(old, self.stored().await?).await,
            Some((store, ..)) => self.renew_alone(store, old).await,
        };
        match done {
            Ok(held) => {
                *cool = None;
                Ok(held)
            }
            Err(fault) => {
                *cool = Some((self.parts.clock.now().plus_ms(COOL_MS), fault.clone()));
                Err(fault)
            }
        }
    }

    /// The same with the lease: while another node renews, its result is waited for.
    async fn renew_alone(&self, store: &Arc<dyn Store>, old: Option<&Secret>) -> Result<Arc<Held>, Fault> {
        let connection = self.parts.stored.as_ref().map(|(.., row)| row.id.to_string()).unwrap_or_default();
        let name = match self.parts.user {
            Some(user) => format!("refresh:{connection}:{user}"),
            None => format!("refresh:{connection}"),
        };
        let mut nonce = [0; 12];
        self.parts.entropy.fill(&mut nonce);
        let holder = model::hex(&nonce);
        let until = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            let stored = self.stored().await?;
            let is_other = |set: &TokenSet| {
                set.dead.is_none() && old.is_none_or(|old| old.expose() != set.access.expose())
            };
            if let Some(set) = stored.filter(is_other) {
                return Ok(self.hold(set));
            }
            let taken = store.acquire_lease(&name, &holder, LEASE_MS, self.parts.clock.now()).await;
            match taken.map_err(|error| error.fault())? {
                Taken::Ours(token) => {
                    // Read again: it may have been renewed between the last look and the lease.
                    let stored = self.stored().await;
                    let done = match stored {
                        Ok(Some(set)) if is_other(&set) => Ok(self.hold(set)),
                        Ok(stored) => self.renew_now(old, stored).await,
                        Err(fault) => Err(fault),
                    };
                    let release = LeaseCommand::Release { name, token };
                    if let Err(error) = store.change_lease(release).await {
                        tracing::warn!(connection = %self.key, "the lease of a renewal runs out by itself: {}", error.fault());
                    }
                    return done;
                }
                Taken::Theirs(_) if tokio::time::Instant::now() > until => {
                    let what = "another node has been renewing its token for long";
                    return Err(Fault::new(Code::BUSY, what));
                }
                Taken::Theirs(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Asks the provider, and writes down what came.
    async fn renew_now(&self, old: Option<&Secret>, stored: Option<TokenSet>) -> Result<Arc<Held>, Fault> {
        let now = self.parts.clock.now();
        if let Some(dead) = stored.as_ref().and_then(|set| set.dead.clone())
            && matches!(self.own, Own::Leave)
        {
            return Err(self.leave_needed(&dead));
        }
        let renews = stored.as_ref().and_then(|set| set.refresh.clone());
        let asked = match (&self.own, &renews) {
            (Own::Client, _) => self.provider.ask(Ask::Client, now).await,
            (Own::Assertion(assert), _) => {
                let assertion = assert()?;
                self.provider.ask(Ask::Assertion(&assertion), now).await
            }
            (Own::Leave, Some(refresh)) => {
                if let Some(set) = &stored {
                    self.save(&TokenSet { renewing_since: Some(now), ..set.clone() }).await?;
                }
                self.provider.ask(Ask::Refresh(refresh), now).await
            }
            (Own::Leave, None) if stored.is_some() => {
                let why = if old.is_some() {
                    "its token was refused, and nothing renews it"
                } else {
                    "it has run out"
                };
                return Err(self.leave_needed(why));
            }
            (Own::Leave, None) => return Err(self.leave_needed("nobody has given it yet")),
        };
        match asked {
            Ok(mut set) => {
                // A provider that sends no other goes on with the one that there is.
                set.refresh = set.refresh.or(renews);
                if let Some(before) = &stored {
                    set.scope = set.scope.or_else(|| before.scope.clone());
                    for (name, value) in &before.kept {
                        set.kept.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                }
                // In use at once, whatever the store says: it is the only one that still works.
                let held = self.hold(set);
                self.save_surely(&held.set).await?;
                Ok(held)
            }
            Err(Refusal::Final { error, words }) => self.refused(stored, &error, &words).await,
            Err(Refusal::Pending { .. }) => Err(Fault::new(
                Code::BAD_ANSWER,
                format!("{} asks to wait where nothing is waited for", self.provider.name),
            )),
            Err(Refusal::Transient(fault)) => {
                // An answer that may have been on its way stays on record: the token may be spent.
                let is_known = fault.retry != Retry::OutcomeUnknown;
                if let Some(set) = stored.filter(|_| is_known && matches!(self.own, Own::Leave)) {
                    self.save(&TokenSet { renewing_since: None, ..set }).await?;
                }
                Err(fault.with_hint("the token is renewed as soon as the provider answers again"))
            }
        }
    }

    /// A token that was got is not lost to a store that is busy for a moment.
    async fn save_surely(&self, set: &TokenSet) -> Result<(), Fault> {
        let mut tries = 0;
        loop {
            match self.save(set).await {
                Err(fault) if tries < 5 => {
                    tracing::warn!(connection = %self.key, "a renewed token is not stored yet: {fault}");
                    tries += 1;
                    tokio::time::sleep(LOOK * tries).await;
                }
                done => return done,
            }
        }
    }

    async fn refused(&self, stored: Option<TokenSet>, error: &str, words: &str) -> Result<Arc<Held>, Fault> {
        let said = if words.is_empty() { error.to_owned() } else { format!("{error}: {words}") };
        if !matches!(self.own, Own::Leave) {
            let what = format!("{} gives no token ({said})", self.provider.name);
            return Err(Fault::new(Code::UPSTREAM_REFUSED, what)
                .with_hint("check the client's id and secret, or its key"));
        }
        let why = match stored.as_ref().and_then(|set| set.renewing_since) {
            Some(_) => format!(
                "its last renewal was cut off before the new token could be stored, and the old one is refused ({said})"
            ),
            None => format!("it was taken back or has run out ({said})"),
        };
        // `invalid_client` is about the client, which an operator mends: the leave may still be good.
        if error == "invalid_grant"
            && let Some(set) = stored
        {
            let set = TokenSet { dead: Some(why.clone()), renewing_since: None, ..set };
            self.save(&set).await?;
            self.hold(set);
        }
        Err(self.leave_needed(&why))
    }
}

#[async_trait]
impl Tokens for Keeper {
    async fn current(&self) -> Result<Secret, Fault> {
        let held = match self.held() {
            Some(held) => Some(held),
            None => self.stored().await?.map(|set| self.hold(set)),
        };
        let Some(held) = held else { return Ok(self.another(None).await?.set.access.clone()) };
        if let Some(dead) = &held.set.dead {
            // Somebody may have given leave again, on another node.
            return match self.stored().await? {
                Some(set) if set.dead.is_none() => Ok(self.hold(set).set.access.clone()),
                _ => Err(self.leave_needed(dead)),
            };
        }
        let now = self.parts.clock.now();
        if held.renew_at.is_none_or(|at| now < at) {
            return Ok(held.set.access.clone());
        }
        match self.another(Some(&held.set.access)).await {
            Ok(fresh) => Ok(fresh.set.access.clone()),
            // Not yet over: it is used as long as it lasts.
            Err(fault)
                if fault.code != Code::LEAVE_NEEDED && held.set.expires_at.is_none_or(|at| now < at) =>
            {
                tracing::warn!(connection = %self.key, "its token is not renewed yet: {fault}");
                Ok(held.set.access.clone())
            }
            Err(fault) => Err(fault),
        }
    }

    async fn wants(&self, scope: &str) {
        let _turn = self.turn.lock().await;
        if let Some(held) = self.held() {
            self.hold(TokenSet { wanted: Some(scope.to_owned()), ..held.set.clone() });
        }
        let noted = match self.stored().await {
            Ok(Some(set)) if set.wanted.as_deref() != Some(scope) => {
                self.save(&TokenSet { wanted: Some(scope.to_owned()), ..set }).await
            }
            Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = noted {
            tracing::warn!(connection = %self.key, "the leave that it wants is not noted: {fault}");
        }
    }

    async fn renew(&self, spent: &Secret) -> Result<Secret, Fault> {
        Ok(self.another(Some(spent)).await?.set.access.clone())
    }
}
