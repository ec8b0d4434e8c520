//! Credentials that name the secret of a source in the place of a value ([decision 15]).
//!
//! What is sealed begins with a NUL then. No value does ([`Credentials::put`]), so that neither can be taken for the
//! other: a value that looks like a reference stays what it is.
//!
//! [decision 15]: ../../../../../docs/decisions/0015-references-from-the-api.md

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use credential::External;
use model::id::ConnectionId;
use model::{Code, Fault, Key, Secret};
use store::{ConnectionRow, CredentialRow};

use super::{Credentials, NewCredential};
use crate::sources::{Asking, Failure, Sources, Standing, Wanted};

/// What a sealed reference begins with.
const MARK: char = '\0';
/// How long a first answer of a source is waited for, where the store is read.
const FIRST_WAIT: Duration = Duration::from_secs(3);

/// What fills a field.
pub(super) enum Content {
    /// This.
    Value(Secret),
    /// What a source keeps.
    Reference(External),
}

/// The values of connections by field, or why there are none.
type Shared = HashMap<ConnectionId, Result<BTreeMap<String, Secret>, Fault>>;

// === impl Content ===

impl Content {
    pub(super) fn read(opened: Secret) -> Result<Self, Fault> {
        let Some(name) = opened.expose().strip_prefix(MARK) else { return Ok(Self::Value(opened)) };
        External::parse(name).map(Self::Reference).ok_or_else(|| {
            Fault::new(Code::STORE, "a stored credential names a source that this version does not know")
                .with_hint("store it again, or start the version that wrote it")
        })
    }
}

pub(super) fn is_sealed_reference(value: &Secret) -> bool {
    value.expose().starts_with(MARK)
}

// === impl Credentials ===

impl Credentials {
    /// Told once who keeps what references name.
    pub fn refer_to(&self, sources: Sources) {
        let _ = self.sources.set(sources);
    }

    /// Whether a connection may name it.
    ///
    /// # Errors
    /// That it may not, and who can change that.
    pub fn check_reference(&self, external: &External) -> Result<(), Fault> {
        let sources = self.sources.get().ok_or_else(|| asleep().fault(external))?;
        sources.may_name(&external.location).map_err(|Failure { why, hint, .. }| {
            Fault::new(Code::FORBIDDEN, format!("reference: `{}`: {why}", external.name())).with_hint(hint)
        })
    }

    /// Puts a name in the place of a value that all users share. True when it took the place of something.
    ///
    /// # Errors
    /// A name that the connection may not use; the store; a master key that is not the one of this data.
    pub async fn put_reference(
        &self,
        connection: &ConnectionRow,
        field: String,
        external: &External,
    ) -> Result<bool, Fault> {
        self.check_reference(external)?;
        let value = Secret::new(format!("{MARK}{}", external.name()));
        self.set(connection, NewCredential { field, user: None, value, expires_at: None, overlap_ms: 0 })
            .await
    }

    /// What a credential names, and how that stands; `None` for one that is a value.
    ///
    /// # Errors
    /// One that does not open.
    pub async fn reference_of(&self, row: &CredentialRow) -> Result<Option<(External, Standing)>, Fault> {
        let Content::Reference(external) = self.content_of(row).await? else { return Ok(None) };
        let standing = self.sources.get().map(|sources| sources.standing(&external)).unwrap_or_default();
        Ok(Some((external, standing)))
    }

    /// The names among the credentials of a connection that all users share, by field.
    ///
    /// # Errors
    /// The store; a value that does not open.
    pub async fn references(&self, connection: &ConnectionRow) -> Result<BTreeMap<String, External>, Fault> {
        let mut references = BTreeMap::new();
        for row in self.rows(connection).await?.into_iter().filter(|row| row.user.is_none()) {
            if let Content::Reference(external) = self.content_of(&row).await? {
                references.insert(row.field, external);
            }
        }
        Ok(references)
    }

    /// The value, read now where it is not known.
    pub(super) async fn value_now(&self, content: Content, connection: &Key) -> Result<Secret, Fault> {
        let external = match content {
            Content::Value(value) => return Ok(value),
            Content::Reference(external) => external,
        };
        let got = match self.sources.get() {
            Some(sources) => sources.get_stored(&external, connection.as_str()).await,
            None => Err(asleep()),
        };
        got.map_err(|failure| failure.fault(&external))
    }

    /// The values of many connections as they are known, after their sources had a moment to answer; and which of
    /// those that have none are to end with what they had.
    pub(super) async fn values_of_all(
        &self,
        contents: HashMap<ConnectionId, Result<BTreeMap<String, Content>, Fault>>,
        named: &HashMap<ConnectionId, Key>,
    ) -> (Shared, HashSet<ConnectionId>) {
        if let Some(sources) = self.sources.get() {
            sources.want(Asking::Store, wanted(&contents, named, sources));
            sources.settle(FIRST_WAIT).await;
        }
        let (mut shared, mut starved) = (Shared::with_capacity(contents.len()), HashSet::new());
        for (connection, contents) in contents {
            let values = contents.and_then(|contents| {
                let mut values = BTreeMap::new();
                for (field, content) in contents {
                    let value = match content {
                        Content::Value(value) => value,
                        Content::Reference(external) => self.known(&external).map_err(|failure| {
                            if !failure.is_unread() {
                                starved.insert(connection);
                            }
                            let fault = failure.fault(&external);
                            Fault { detail: format!("{field}: {}", fault.detail), ..fault }
                        })?,
                    };
                    values.insert(field, value);
                }
                Ok(values)
            });
            shared.insert(connection, values);
        }
        (shared, starved)
    }

    fn known(&self, external: &External) -> Result<Secret, Failure> {
        self.sources.get().map_or_else(|| Err(asleep()), |sources| sources.look_up_stored(external))
    }
}

/// What connections want read, of what they may name.
fn wanted(
    contents: &HashMap<ConnectionId, Result<BTreeMap<String, Content>, Fault>>,
    named: &HashMap<ConnectionId, Key>,
    sources: &Sources,
) -> Wanted {
    let mut wanted = Wanted::new();
    for (connection, contents) in contents {
        let (Some(key), Ok(contents)) = (named.get(connection), contents) else { continue };
        for content in contents.values() {
            if let Content::Reference(external) = content
                && sources.may_name(&external.location).is_ok()
            {
                wanted.entry(external.location.clone()).or_default().insert(key.to_string());
            }
        }
    }
    wanted
}

fn asleep() -> Failure {
    Failure {
        outcome: "asleep",
        why: "sources of secrets are asked by a hub that runs".to_owned(),
        hint: "start it: `trunkline serve`".to_owned(),
    }
}
