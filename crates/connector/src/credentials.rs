//! The credentials of connections: sealed on their way into the store, opened on their way to a connector,
//! and sealed anew when a workspace gets another data key.
//!
//! A credential is a value, or names the secret of a source that keeps it; then the name is what is sealed, and the
//! value is looked up when it is used ([`reference`]).
//!
//! Nothing here shows a value to whoever stored it: what can be seen is its fingerprint, its last four
//! characters, and its times.

mod reference;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use credential::{EnvelopeError, KeyRing, Place, WrappingKey};
use model::id::{ConnectionId, CredentialId, UserId, WorkspaceId};
use model::{Clock, Code, Entropy, Fault, Key, Retry, Secret, Timestamp};
use store::{
    ConnectionRow, CredentialCommand, CredentialRow, DataKeyCommand, DataKeyRow, DataKeyState, PreviousValue,
    Replaces, Scope, Store, StoreError,
};

use crate::carry::CarriedValue;
use crate::oauth::TOKENS_FIELD;
use crate::sources::Sources;

use reference::Content;

/// The largest value, bytes.
pub const VALUE_LEN_MAX: usize = 32 * 1024;
/// Rows that are sealed anew between two looks at how far it is.
const BATCH: usize = 200;
/// How often a row that changes at the same time is tried again in one rotation.
const ROUNDS_MAX: usize = 100;

/// Stores, opens and rotates credentials.
pub struct Credentials {
    store: Arc<dyn Store>,
    wrapping: WrappingKey,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Open keys, by workspace. A ring that lacks a key is read again.
    rings: RwLock<HashMap<WorkspaceId, Arc<KeyRing>>>,
    /// Who keeps what references name; none where no hub runs.
    sources: OnceLock<Sources>,
}

/// A value on its way in.
#[derive(Debug)]
pub struct NewCredential {
    /// Which field it fills: `auth.credentials.key`.
    pub field: String,
    /// Whose own; `None` for one that all users share.
    pub user: Option<UserId>,
    /// The value.
    pub value: Secret,
    /// From when on it is of no use; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// How long the value before it is kept beside it, milliseconds; 0 drops it at once.
    pub overlap_ms: u32,
}

/// How a rotation of the data key ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The key that seals from now on.
    pub version: u32,
    /// Values that were sealed anew.
    pub resealed: u64,
    /// Values of each key, counted afterwards: the proof that no value uses an old one.
    pub counts: Vec<(u32, u64)>,
}

/// The credentials of a workspace, as a hub needs them that starts.
#[derive(Debug, Default)]
pub struct Opened {
    /// What all users of a connection share, by field.
    pub shared: HashMap<ConnectionId, Result<BTreeMap<String, Secret>, Fault>>,
    /// Of those that failed, the ones whose source gives a secret no more: what runs with it must end.
    pub starved: HashSet<ConnectionId>,
    /// Who has credentials of their own for a connection, and which.
    pub own: HashMap<ConnectionId, HashMap<UserId, Mark>>,
}

/// Tells what a user has stored for a connection from what was there before, without holding any of it. A token
/// that is renewed keeps its mark: it is somebody's leave, not what it looks like today, that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark(u64);

// === impl Mark ===

impl Mark {
    fn add(&mut self, row: &CredentialRow) {
        let mut hasher = DefaultHasher::new();
        row.field.hash(&mut hasher);
        row.id.hash(&mut hasher);
        row.expires_at.map(|at| at.0).hash(&mut hasher);
        if row.field != TOKENS_FIELD {
            row.fingerprint.hash(&mut hasher);
        }
        // Rows come in any order.
        self.0 = self.0.wrapping_add(hasher.finish());
    }
}

// === impl Credentials ===

impl Credentials {
    /// Credentials in `store` under the master key that `wrapping` comes from.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        wrapping: WrappingKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, wrapping, clock, entropy, rings: RwLock::default(), sources: OnceLock::new() }
    }

    /// Seals a value and puts it in its place. True when it took the place of another.
    ///
    /// # Errors
    /// A value that is empty or too large; the store; a master key that is not the one of this data.
    pub async fn put(&self, connection: &ConnectionRow, new: NewCredential) -> Result<bool, Fault> {
        let length = new.value.expose().len();
        if length == 0 || length > VALUE_LEN_MAX || new.value.expose().contains('\0') {
            let detail = format!("value: has {length} bytes, and has to have 1 to {VALUE_LEN_MAX}, no NUL");
            return Err(Fault::new(Code::BAD_ARGUMENTS, detail));
        }
        self.set(connection, new).await
    }

    /// Seals what is put and checked.
    async fn set(&self, connection: &ConnectionRow, new: NewCredential) -> Result<bool, Fault> {
        let ring = self.sealing_ring(connection.owner.workspace).await?;
        let place = Place { connection: connection.id, user: new.user, field: &new.field };
        let sealed = ring.seal(place, &new.value, &*self.entropy).map_err(unopened)?;
        let is_reference = reference::is_sealed_reference(&new.value);
        let now = self.clock.now();
        let rows = self.rows(connection).await?;
        let before = rows.iter().find(|row| row.user == new.user && row.field == new.field);
        let previous = match before {
            Some(row) if new.overlap_ms > 0 => {
                let old = ring.open(place_of(row), row.key_version, &row.sealed).map_err(unopened)?;
                let again = ring.seal(place, &old, &*self.entropy).map_err(unopened)?;
                Some(PreviousValue {
                    sealed: again.bytes,
                    overlap_until: Timestamp(now.0 + i64::from(new.overlap_ms)),
                })
            }
            _ => None,
        };
        let replaces = before.map_or(Replaces::Nothing, |row| Replaces::Exactly {
            key_version: row.key_version,
            fingerprint: row.fingerprint,
        });
        let row = CredentialRow {
            id: before.map_or_else(|| CredentialId::new(&*self.clock, &*self.entropy), |row| row.id),
            connection: connection.id,
            owner: connection.owner,
            user: new.user,
            field: new.field,
            sealed: sealed.bytes,
            key_version: sealed.key_version,
            fingerprint: sealed.fingerprint,
            // The end of a name tells nothing of the value.
            last_four: if is_reference { String::new() } else { sealed.last_four },
            expires_at: new.expires_at,
            last_rotated_at: before.map(|_| now),
            created_at: before.map_or(now, |row| row.created_at),
            previous,
        };
        self.store.put_credential(row, replaces).await.map_err(|error| error.fault())?;
        Ok(before.is_some())
    }

    /// The values of a connection, as they are stored.
    ///
    /// # Errors
    /// The store.
    pub async fn rows(&self, connection: &ConnectionRow) -> Result<Vec<CredentialRow>, Fault> {
        let scope = Scope::from(connection.owner.workspace);
        self.store.list_credentials(scope, connection.id).await.map_err(|error| error.fault())
    }

    /// Removes a user's own value, or one that all users share. False when there was none.
    ///
    /// # Errors
    /// The store.
    pub async fn remove(
        &self,
        connection: &ConnectionRow,
        user: Option<UserId>,
        field: &str,
    ) -> Result<bool, Fault> {
        let rows = self.rows(connection).await?;
        let Some(row) = rows.iter().find(|row| row.user == user && row.field == field) else {
            return Ok(false);
        };
        let scope = Scope::from(connection.owner.workspace);
        let command = CredentialCommand::Delete { scope, connection: connection.id, id: row.id };
        self.store.change_credential(command).await.map_err(|error| error.fault())?;
        Ok(true)
    }

    /// The open values of a connection that all users share, by field.
    ///
    /// # Errors
    /// The store; a value that does not open; one that has expired, which is refused here and not upstream; a source
    /// that does not give what a reference names.
    pub async fn open(&self, connection: &ConnectionRow) -> Result<BTreeMap<String, Secret>, Fault> {
        self.open_of(connection, None).await
    }

    /// The open values of a connection that are `user`'s own; of nobody, those that all users share. Never both.
    ///
    /// # Errors
    /// As [`Credentials::open`].
    pub async fn open_of(
        &self,
        connection: &ConnectionRow,
        user: Option<UserId>,
    ) -> Result<BTreeMap<String, Secret>, Fault> {
        let rows = self.rows(connection).await?;
        let rows = rows.iter().filter(|row| row.user == user);
        let mut values = BTreeMap::new();
        for (field, content) in self.open_rows(connection.owner.workspace, rows).await? {
            values.insert(field, self.value_now(content, &connection.key).await?);
        }
        Ok(values)
    }

    /// The open shared values of every connection of a workspace, and the marks of the users' own, for a hub that
    /// starts. What the connections `named` (id and key) name in sources is what is read there from now on; a first
    /// answer is waited for, a while.
    ///
    /// # Errors
    /// The store. What is wrong with one connection's values is told in its place and holds up no other.
    pub async fn open_all(
        &self,
        workspace: WorkspaceId,
        named: &HashMap<ConnectionId, Key>,
    ) -> Result<Opened, Fault> {
        let mut rows: HashMap<ConnectionId, Vec<CredentialRow>> = HashMap::new();
        let mut own: HashMap<ConnectionId, HashMap<UserId, Mark>> = HashMap::new();
        let mut after = None;
        loop {
            // No data key has version 0: this is every row.
            let page = self.store.list_credentials_not_of(workspace, 0, after, store::PAGE_MAX).await;
            let page = page.map_err(|error| error.fault())?;
            for row in page.items {
                match row.user {
                    None => rows.entry(row.connection).or_default().push(row),
                    Some(user) => own.entry(row.connection).or_default().entry(user).or_default().add(&row),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut contents = HashMap::with_capacity(rows.len());
        for (connection, rows) in rows {
            contents.insert(connection, self.open_rows(workspace, rows.iter()).await);
        }
        let (shared, starved) = self.values_of_all(contents, named).await;
        Ok(Opened { shared, starved, own })
    }

    /// The values of a connection that all users share, as they are carried to another hub: those that have
    /// expired among them. References are carried by themselves ([`Credentials::references`]).
    ///
    /// # Errors
    /// The store; a value that does not open.
    pub async fn carried(&self, connection: &ConnectionRow) -> Result<BTreeMap<String, CarriedValue>, Fault> {
        let mut values = BTreeMap::new();
        for row in self.rows(connection).await?.into_iter().filter(|row| row.user.is_none()) {
            if let Content::Value(value) = self.content_of(&row).await? {
                values.insert(row.field, CarriedValue { value, expires_at: row.expires_at });
            }
        }
        Ok(values)
    }

    async fn open_rows(
        &self,
        workspace: WorkspaceId,
        rows: impl Iterator<Item = &CredentialRow>,
    ) -> Result<BTreeMap<String, Content>, Fault> {
        let mut contents = BTreeMap::new();
        let now = self.clock.now();
        for row in rows {
            if row.expires_at.is_some_and(|at| at <= now) {
                let detail = format!("its credential `{}` has expired", row.field);
                return Err(Fault::new(Code::MISCONFIGURED, detail).with_hint("store a new one"));
            }
            let ring = self.ring_with(workspace, row.key_version).await?;
            let value = ring.open(place_of(row), row.key_version, &row.sealed).map_err(unopened)?;
            contents.insert(row.field.clone(), Content::read(value)?);
        }
        Ok(contents)
    }

    async fn content_of(&self, row: &CredentialRow) -> Result<Content, Fault> {
        let ring = self.ring_with(row.owner.workspace, row.key_version).await?;
        let value = ring.open(place_of(row), row.key_version, &row.sealed).map_err(unopened)?;
        Content::read(value)
    }

    /// Gives a workspace a new data key and seals every value with it; told how many are done of how many.
    /// A rotation that was cut off is finished by the next one: whatever is not sealed with the newest key
    /// is what is left to do.
    ///
    /// # Errors
    /// The store; a value that does not open (the others are sealed anew all the same, and the old key stays).
    pub async fn rotate_data_key(
        &self,
        workspace: WorkspaceId,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Rotated, Fault> {
        let counts = self.counts(workspace).await?;
        let ring = self.sealing_ring(workspace).await?;
        let newest = ring.newest().unwrap_or(0);
        // Left over from one that was cut off: finish that first, with the key that it made.
        let is_unfinished = counts.iter().any(|(version, count)| *version != newest && *count > 0);
        let version = if is_unfinished { newest } else { self.add_key(workspace, newest + 1).await? };
        let ring = self.ring_with(workspace, version).await?;
        let total = self.counts(workspace).await?.iter().filter(|(v, _)| *v != version).map(|(_, n)| n).sum();
        let mut resealed = 0;
        progress(0, total);
        for _ in 0..ROUNDS_MAX {
            let done = self.reseal(workspace, &ring, version, resealed, total, progress).await?;
            resealed += done;
            if done == 0 {
                break;
            }
        }
        let counts = self.counts(workspace).await?;
        if let Some((old, count)) = counts.iter().find(|(v, count)| *v != version && *count > 0) {
            let detail = format!("{count} credentials are still sealed with data key {old}");
            return Err(Fault::new(Code::STORE, detail).with_hint("run the rotation again"));
        }
        Ok(Rotated { version, resealed, counts })
    }

    /// One walk over what is not sealed with `version`; how many rows it sealed anew.
    async fn reseal(
        &self,
        workspace: WorkspaceId,
        ring: &KeyRing,
        version: u32,
        before: u64,
        total: u64,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<u64, Fault> {
        let (mut done, mut after) = (0, None);
        loop {
            let page = self.store.list_credentials_not_of(workspace, version, after, BATCH).await;
            let page = page.map_err(|error| error.fault())?;
            for row in page.items {
                let expected =
                    Replaces::SameValue { key_version: row.key_version, fingerprint: row.fingerprint };
                let row = self.sealed_anew(ring, row)?;
                match self.store.put_credential(row, expected).await {
                    Ok(()) => done += 1,
                    // Somebody stored another value or removed it: the next walk looks again.
                    Err(StoreError::Conflict { .. } | StoreError::Missing { .. }) => {}
                    Err(error) => return Err(error.fault()),
                }
            }
            progress(before + done, total.max(before + done));
            // Calls on this core go before the next batch.
            tokio::task::yield_now().await;
            after = page.next;
            if after.is_none() {
                return Ok(done);
            }
        }
    }

    fn sealed_anew(&self, ring: &KeyRing, row: CredentialRow) -> Result<CredentialRow, Fault> {
        let place = place_of(&row);
        let value = ring.open(place, row.key_version, &row.sealed).map_err(unopened)?;
        let sealed = ring.seal(place, &value, &*self.entropy).map_err(unopened)?;
        let previous = match &row.previous {
            None => None,
            Some(previous) => {
                let value = ring.open(place, row.key_version, &previous.sealed).map_err(unopened)?;
                let sealed = ring.seal(place, &value, &*self.entropy).map_err(unopened)?;
                Some(PreviousValue { sealed: sealed.bytes, overlap_until: previous.overlap_until })
            }
        };
        Ok(CredentialRow {
            sealed: sealed.bytes,
            key_version: sealed.key_version,
            fingerprint: sealed.fingerprint,
            previous,
            ..row
        })
    }

    async fn counts(&self, workspace: WorkspaceId) -> Result<Vec<(u32, u64)>, Fault> {
        self.store.count_credentials(workspace).await.map_err(|error| error.fault())
    }

    /// A ring that can seal: the workspace's first data key is made when there is none.
    async fn sealing_ring(&self, workspace: WorkspaceId) -> Result<Arc<KeyRing>, Fault> {
        let ring = self.read_ring(workspace).await?;
        if ring.newest().is_some() {
            return Ok(ring);
        }
        self.add_key(workspace, 1).await?;
        self.read_ring(workspace).await
    }

    /// A ring that has this key.
    async fn ring_with(&self, workspace: WorkspaceId, version: u32) -> Result<Arc<KeyRing>, Fault> {
        let known = self.rings.read().unwrap_or_else(PoisonError::into_inner).get(&workspace).cloned();
        match known {
            Some(ring) if ring.newest().is_some_and(|newest| newest >= version) => Ok(ring),
            _ => self.read_ring(workspace).await,
        }
    }

    async fn read_ring(&self, workspace: WorkspaceId) -> Result<Arc<KeyRing>, Fault> {
        let rows = self.store.list_data_keys(workspace).await.map_err(|error| error.fault())?;
        let keys = rows.iter().map(|row| (row.version, row.wrapped.as_slice()));
        let ring = Arc::new(self.wrapping.ring(workspace, keys).map_err(unopened)?);
        self.rings.write().unwrap_or_else(PoisonError::into_inner).insert(workspace, Arc::clone(&ring));
        Ok(ring)
    }

    /// Makes a data key. Another node may have made it first: then it is that one.
    async fn add_key(&self, workspace: WorkspaceId, version: u32) -> Result<u32, Fault> {
        let wrapped = self.wrapping.make(workspace, version, &*self.entropy).map_err(unopened)?;
        let row = DataKeyRow {
            workspace,
            version,
            wrapped,
            master_key_id: self.wrapping.id(),
            state: DataKeyState::Active,
            created_at: self.clock.now(),
        };
        match self.store.change_data_key(DataKeyCommand::Insert(Box::new(row))).await {
            Ok(()) | Err(StoreError::Conflict { .. }) => Ok(version),
            Err(error) => Err(error.fault()),
        }
    }
}

fn place_of(row: &CredentialRow) -> Place<'_> {
    Place { connection: row.connection, user: row.user, field: &row.field }
}

fn unopened(error: EnvelopeError) -> Fault {
    Fault::new(Code::STORE, format!("a stored credential cannot be used: {error}"))
        .with_retry(Retry::Never)
        .with_hint("start the hub with the master key that it was stored with, or store it again")
}
