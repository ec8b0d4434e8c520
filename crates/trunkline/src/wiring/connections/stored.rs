//! Connections and toolsets that were made through the API: read from the store at the start, and again
//! whenever it has changed, here or on another node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector::Credentials;
use model::{ConnectionStatus, Fault, Timestamp};
use store::{Backend, ConnectionQuery, ConnectionRow, Scope, ToolsetRow};
use tokio::sync::{Mutex, watch};

use super::directory::whole_entry_of;
use super::{Changes, Connections, Marks, Shelf, own};
use crate::config::entry::Entry;
use crate::wiring::manifests::Manifests;

/// How long after a failure the store is read again.
const AGAIN: Duration = Duration::from_secs(1);
/// A test that another node began may still be running for so long.
const TEST_MAX_MS: i64 = 10 * 60 * 1000;

/// See the head of the file.
pub(super) struct Stored {
    shelf: Shelf,
    /// One reading at a time: an older one must not be applied after a newer one.
    turn: Mutex<()>,
}

// === impl Stored ===

impl Stored {
    pub(super) fn new(shelf: Shelf) -> Self {
        Self { shelf, turn: Mutex::new(()) }
    }

    /// The credentials of stored connections.
    pub(super) fn credentials(&self) -> &Credentials {
        &self.shelf.credentials
    }

    /// Where the tokens of a connection are kept.
    pub(super) fn keeping(
        &self,
        row: &ConnectionRow,
    ) -> (Arc<dyn store::Store>, Arc<Credentials>, ConnectionRow) {
        (Arc::clone(&self.shelf.store), Arc::clone(&self.shelf.credentials), row.clone())
    }

    /// What integrations' manifests make of connections.
    pub(super) fn manifests(&self) -> &Manifests {
        &self.shelf.manifests
    }

    async fn read(&self) -> Result<(Vec<Entry>, Vec<call::Toolset>, Marks), Fault> {
        let Shelf { store, workspace, credentials, manifests } = &self.shelf;
        manifests.read_own(&**store, *workspace).await?;
        let mut rows = Vec::new();
        for status in [
            ConnectionStatus::Configuring,
            ConnectionStatus::Connected,
            ConnectionStatus::Testing,
            ConnectionStatus::Error,
        ] {
            let mut after = None;
            loop {
                let query = ConnectionQuery {
                    status: Some(status),
                    limit: store::PAGE_MAX,
                    after,
                    ..ConnectionQuery::default()
                };
                let page = store.list_connections(Scope::from(*workspace), query).await;
                let page = page.map_err(|error| error.fault())?;
                rows.extend(page.items.into_iter().map(|one| one.connection));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        // Whoever sets one up is told how a name in it stands, before it is used.
        let named = rows.iter().map(|row| (row.id, row.key.clone())).collect();
        let connector::Opened { shared: mut secrets, starved, own } =
            credentials.open_all(*workspace, &named).await?;
        let entries = rows.iter().filter(|row| is_used(row)).map(|row| {
            let entry = match secrets.remove(&row.id).unwrap_or_else(|| Ok(BTreeMap::new())) {
                Ok(secrets) if row.is_per_user => own::entry_of_all(row, secrets, manifests),
                Ok(secrets) => whole_entry_of(row, &secrets, manifests),
                Err(fault) if starved.contains(&row.id) => {
                    Entry::broken(row.key.clone(), fault.advice()).starved()
                }
                Err(fault) => Entry::broken(row.key.clone(), fault.advice()),
            };
            entry.with_mode(row.is_per_user)
        });
        let entries = entries.collect();
        let sets = store.list_toolsets(*workspace).await.map_err(|error| error.fault())?;
        let sets = sets.iter().filter_map(toolset).collect();
        Ok((entries, sets, own))
    }
}

impl Connections {
    /// At the start: what was being tested when the last hub ended did not pass; what is connected is
    /// mounted.
    pub(crate) async fn begin(&self, now: Timestamp) {
        let Shelf { store, workspace, .. } = &self.stored.shelf;
        let before = match store.backend() {
            Backend::Postgres => Timestamp(now.0 - TEST_MAX_MS),
            Backend::Memory | Backend::Sqlite => now,
        };
        let reason = "the hub ended while it was being tested; test it again";
        if let Err(error) = store.fail_testing(*workspace, before, now, reason).await {
            tracing::error!("connections that were being tested cannot be set right: {}", error.fault());
        }
        self.read_store().await;
    }

    /// Follows the store until it is closed, and what sources keep for what is in it.
    pub(crate) async fn follow(&self, mut sources: watch::Receiver<u64>) {
        let mut feed = self.stored.shelf.store.subscribe();
        loop {
            tokio::select! {
                Ok(()) = sources.changed() => {}
                changed = feed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            if !self.read_store().await {
                tokio::time::sleep(AGAIN).await;
                feed.mark_changed();
            }
        }
    }

    /// Reads the store and brings what runs in step. False when the store did not answer.
    pub(crate) async fn read_store(&self) -> bool {
        let _turn = self.stored.turn.lock().await;
        match self.stored.read().await {
            Ok((entries, sets, own)) => {
                // Connectors belong to the control runtime, whichever one this was asked on.
                let _inside = self.control.enter();
                let Changes { added, changed, removed, kept } = self.apply_stored(entries, sets, own);
                if !(added.is_empty() && changed.is_empty() && removed.is_empty() && kept.is_empty()) {
                    tracing::info!(?added, ?changed, ?removed, ?kept, "connections read from the store");
                }
                true
            }
            Err(fault) => {
                tracing::error!("the connections cannot be read: {fault}");
                false
            }
        }
    }
}

/// Whether calls find it: what has been connected, and has not been disconnected since. One whose last test
/// failed stays, and its calls say why they fail: it may be well again before anybody looks.
fn is_used(row: &ConnectionRow) -> bool {
    match row.status {
        ConnectionStatus::Connected => true,
        ConnectionStatus::Testing | ConnectionStatus::Error => row.connected_at.is_some(),
        ConnectionStatus::Configuring | ConnectionStatus::Disconnected => false,
    }
}

fn toolset(row: &ToolsetRow) -> Option<call::Toolset> {
    let tools: Vec<api::ChosenTool> = match serde_json::from_value(row.tools.value()) {
        Ok(tools) => tools,
        Err(error) => {
            tracing::error!(toolset = %row.key, "a stored toolset cannot be read: {error}");
            return None;
        }
    };
    let picked = tools.into_iter().filter_map(|one| {
        let (connection, tool) = one.tool.split_once("__")?;
        Some(call::Picked {
            connection: connection.parse().ok()?,
            tool: tool.into(),
            rename: one.rename,
            description: one.description,
        })
    });
    Some(call::Toolset { key: row.key.clone(), tools: picked.collect() })
}
