//! Further users of a hub. The product has one user until people sign in; its model has many. Here they are put into
//! its store, through the store's own commands, while it is stopped.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use credential::{MasterKey, SystemEntropy};
use identity::{Identity, NewKey};
use model::id::UserId;
use model::{Access, Clock, Entropy, Owner, SystemClock};
use store::{Cell, Command, CopiedRows, Store, TABLES};
use store_sqlite::SqliteStore;

use crate::hub::Hub;

impl Hub {
    /// Stops the hub, adds users with an API key each that may use everything and manage nothing, and starts it again;
    /// the keys, in order.
    ///
    /// # Errors
    /// The store; a hub that does not come up again.
    pub async fn add_users(&mut self, names: &[&str]) -> anyhow::Result<Vec<String>> {
        self.program().stop()?;
        let keys = add(&self.folder().join("data"), names).await?;
        self.restart().await?;
        Ok(keys)
    }
}

async fn add(data: &Path, names: &[&str]) -> anyhow::Result<Vec<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(data.join("trunkline.db"), Arc::clone(&clock)).await?);
    let owner = store.find_owner().await?.context("the hub has run before")?;
    let table = TABLES.iter().find(|table| table.name == "users").context("there are users")?;
    let digester = MasterKey::from_file(&data.join("master.key"))?.key_digester();
    let identity =
        Identity::load(Arc::clone(&store), digester, Arc::clone(&clock), Arc::clone(&entropy)).await?;
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        let user = UserId::new(&*clock, &*entropy);
        let (id, workspace) = (*user.uuid().as_bytes(), *owner.workspace.uuid().as_bytes());
        let row =
            vec![Cell::Id(id), Cell::Id(workspace), Cell::Text((*name).to_owned()), Cell::Int(clock.now().0)];
        store.apply(vec![Command::Copy(CopiedRows { table, rows: vec![row] })]).await?;
        let access = Access { manage: false, ..Access::everything() };
        let new = NewKey {
            owner: Owner { user, ..owner },
            name: format!("key of {name}"),
            access,
            expires_at: None,
        };
        keys.push(identity.make_key(new).await?.secret.expose().to_owned());
    }
    store.close().await;
    Ok(keys)
}
