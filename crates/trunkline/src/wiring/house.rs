//! What a hub stands on: its data folder, the lock, the master key, the store, the owner, the keys.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector::Credentials;
use credential::{AeadSealer, MasterKey, MasterKeyOrigin, MasterKeySources, SystemEntropy};
use identity::{Identity, MadeKey, NewKey};
use ledger::{LedgerOptions, Recorder};
use model::id::{UserId, WorkspaceId};
use model::{Access, Clock, Entropy, Fault, Owner, Secret, SystemClock};
use store::{FolderLock, MemoryStore, NewOwner, Store};
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

use crate::commands::env;
use crate::config::Config;
use crate::config::hub;
use crate::say::Quit;

/// The database of the embedded default.
pub(crate) const DATABASE: &str = "trunkline.db";
/// The folder of call records.
const CALLS: &str = "calls";

/// See the head of the file. Dropping it gives the data folder free.
pub(crate) struct House {
    /// Where data is kept.
    pub(crate) data: PathBuf,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Chance.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// What is remembered.
    pub(crate) store: Arc<dyn Store>,
    /// The credentials of connections.
    pub(crate) credentials: Arc<Credentials>,
    /// Who is calling.
    pub(crate) identity: Arc<Identity>,
    /// Whose everything is.
    pub(crate) owner: Owner,
    /// Seals what doors hand out.
    pub(crate) sealer: Arc<AeadSealer>,
    /// Where the master key came from.
    pub(crate) origin: MasterKeyOrigin,
    _lock: FolderLock,
}

/// What the house is entered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To run a hub: what is missing is made.
    Run,
    /// To make a key on a hub that has run before: nothing else is made.
    MakeKey,
}

/// A store and its master key, without a hub on top.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) master: MasterKey,
    pub(crate) origin: MasterKeyOrigin,
    pub(crate) owner: Owner,
    pub(crate) entropy: Arc<dyn Entropy>,
    _lock: FolderLock,
}

/// Opens the store of a hub that has run before and is stopped now.
///
/// # Errors
/// What is in the way, with a remedy.
pub(crate) async fn open(config: &Config, data: &Path) -> Result<Opened, Quit> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let is_embedded = matches!(config.hub.store, hub::Store::Sqlite);
    if is_embedded && !data.join(DATABASE).exists() {
        return Err(Quit::failed(format!("no hub has run on the data folder {} yet", data.display()))
            .with_hint("name another folder with --data"));
    }
    make_folder(data)?;
    let lock = FolderLock::take(data).map_err(|error| Quit::from(error.fault()))?;
    let (master, origin) = master_key(config, data, false, &*entropy).await?;
    let store = open_store(config, data, Arc::new(SystemClock::new())).await?;
    refuse_half_moved(&*store).await?;
    let owner = store.find_owner().await.map_err(|error| Quit::from(error.fault()))?;
    let owner = owner.ok_or_else(|| Quit::failed("no hub has run on this store yet"))?;
    Ok(Opened { store, master, origin, owner, entropy, _lock: lock })
}

/// A store that is half there would look as if the rest had been removed.
async fn refuse_half_moved(store: &dyn Store) -> Result<(), Quit> {
    if store::is_half_moved(store).await.map_err(|error| Quit::from(error.fault()))? {
        return Err(Quit::failed("a move into this store was cut off")
            .with_hint("start `trunkline migrate` again, with the configuration that it was begun with"));
    }
    Ok(())
}

async fn open_store(config: &Config, data: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, Quit> {
    let failed = |error: store::StoreError| Quit::from(error.fault());
    Ok(match &config.hub.store {
        hub::Store::Memory => Arc::new(MemoryStore::new()),
        hub::Store::Sqlite => Arc::new(SqliteStore::open(data.join(DATABASE), clock).await.map_err(failed)?),
        hub::Store::Postgres(url) => Arc::new(PostgresStore::open(url, clock).await.map_err(failed)?),
    })
}

/// Opens everything, in the order in which it depends on each other.
///
/// # Errors
/// What is in the way, with a remedy. Exit code 1, or 2 where the configuration is to blame.
pub(crate) async fn enter(config: &Config, data: &Path, purpose: Purpose) -> Result<House, Quit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let database = data.join(DATABASE);
    let is_embedded = matches!(config.hub.store, hub::Store::Sqlite);
    if purpose == Purpose::MakeKey && is_embedded && !database.exists() {
        return Err(Quit::failed(format!("no hub has run on the data folder {} yet", data.display()))
            .with_hint(
                "`trunkline serve` makes the first key and prints it; name another folder with --data",
            ));
    }
    make_folder(data)?;
    let lock = FolderLock::take(data).map_err(|error| Quit::from(error.fault()))?;
    let (master, origin) = master_key(config, data, !database.exists(), &*entropy).await?;
    let digester = master.key_digester();
    let wrapping = master.wrapping_key();
    let sealer = Arc::new(AeadSealer::new(master, Arc::clone(&entropy)));

    let store = open_store(config, data, Arc::clone(&clock)).await?;
    refuse_half_moved(&*store).await?;
    let candidate = NewOwner {
        owner: Owner {
            workspace: WorkspaceId::new(&*clock, &*entropy),
            user: UserId::new(&*clock, &*entropy),
        },
        workspace_name: "home".to_owned(),
        user_name: "owner".to_owned(),
        created_at: clock.now(),
    };
    let owner = store.bootstrap_owner(candidate).await.map_err(|error| Quit::from(error.fault()))?;
    let identity = Identity::load(Arc::clone(&store), digester, Arc::clone(&clock), Arc::clone(&entropy));
    let identity = Arc::new(identity.await.map_err(|error| Quit::from(error.fault()))?);
    let credentials =
        Credentials::new(Arc::clone(&store), wrapping, Arc::clone(&clock), Arc::clone(&entropy));
    let credentials = Arc::new(credentials);
    Ok(House {
        data: data.to_owned(),
        clock,
        entropy,
        store,
        credentials,
        identity,
        owner,
        sealer,
        origin,
        _lock: lock,
    })
}

// === impl House ===

impl House {
    /// Opens the record of calls.
    pub(crate) fn recorder(&self, config: &Config) -> Result<Recorder, Quit> {
        let opened = match config.hub.store {
            hub::Store::Memory => Recorder::memory(),
            _ => {
                // A file holds a day at most: there is room for every day that is kept.
                let days = usize::try_from(config.hub.upkeep.retention.calls_days).unwrap_or(usize::MAX);
                let usual = LedgerOptions::default();
                let segments_max = usual.segments_max.max(days.saturating_add(2));
                let options = LedgerOptions { segments_max, ..usual };
                Recorder::open(self.data.join(CALLS), options, Arc::clone(&self.clock))
            }
        };
        opened.map_err(|error| {
            Quit::failed(error.to_string()).with_hint("check the disk and the data folder's owner")
        })
    }

    /// The first key, where none was ever made. To be called when it can be shown: it is known only now.
    pub(crate) async fn first_key(&self) -> Result<Option<Secret>, Quit> {
        let (identity, owner) = (&self.identity, self.owner);
        let keys = identity.list_keys(owner.workspace).await.map_err(|error| Quit::from(error.fault()))?;
        if !keys.is_empty() {
            return Ok(None);
        }
        let new =
            NewKey { owner, name: "first key".to_owned(), access: Access::everything(), expires_at: None };
        let MadeKey { secret, .. } =
            identity.make_key(new).await.map_err(|error| Quit::from(error.fault()))?;
        Ok(Some(secret))
    }

    /// Lets go of the store.
    pub(crate) async fn leave(&self) {
        if let Err(error) = self.identity.flush_last_used().await {
            tracing::warn!(%error, "last uses of keys are not written down");
        }
        self.store.close().await;
    }
}

/// The data folder, for its owner only.
fn make_folder(data: &Path) -> Result<(), Quit> {
    let failed = |error: std::io::Error| {
        Quit::failed(format!("the data folder {} cannot be used: {error}", data.display()))
            .with_hint("name another with --data or TRUNKLINE_DATA")
    };
    if !data.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    }
    let meta = std::fs::metadata(data).map_err(failed)?;
    if !meta.is_dir() {
        return Err(failed(std::io::Error::other("it is not a folder")));
    }
    if meta.permissions().mode() & 0o022 != 0 {
        return Err(Quit::failed(format!("others may write to the data folder {}", data.display()))
            .with_hint(format!("chmod 700 {}", data.display())));
    }
    Ok(())
}

async fn master_key(
    config: &Config,
    data: &Path,
    is_first_start: bool,
    entropy: &dyn Entropy,
) -> Result<(MasterKey, MasterKeyOrigin), Quit> {
    let set = |name| env(name).filter(|text| !text.is_empty());
    let argv = &config.hub.master_key_command;
    let run = |argv: Vec<String>| -> std::pin::Pin<Box<dyn Future<Output = Result<Secret, String>> + Send>> {
        Box::pin(super::secret_command::run(argv))
    };
    // On PostgreSQL many nodes share one key, so none of them may make its own.
    let is_shared = matches!(config.hub.store, hub::Store::Postgres(_));
    let sources = MasterKeySources {
        file: set("TRUNKLINE_MASTER_KEY_FILE").map(PathBuf::from),
        text: set("TRUNKLINE_MASTER_KEY").map(Secret::new),
        command: (!argv.is_empty()).then(|| (argv.clone(), &run as credential::RunCommand<'_>)),
        data_folder: (!is_shared).then(|| data.to_owned()),
        may_make: is_first_start,
    };
    MasterKey::load(sources, entropy).await.map_err(|error| {
        let fault: Fault = error.fault();
        Quit { code: 2, ..Quit::from(fault) }
    })
}
