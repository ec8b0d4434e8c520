//! What the hub does by itself while it runs, behind everything else: what is old goes, and connections are
//! looked after. Whatever goes wrong here is logged and tried again; no call ever waits for it.

pub(crate) mod health;
pub(crate) mod retention;
#[cfg(test)]
pub(crate) mod scene;

use std::sync::Arc;
use std::time::Duration;

use api::Directory as _;
use model::{Clock, Entropy};
use store::{LeaseCommand, Store, StoreError, Taken};

use crate::wiring::hub::Hub;
use health::Checker;
use retention::Sweeper;

/// How long after its start a hub begins: a start has enough to do.
const FIRST: Duration = Duration::from_secs(60);
/// How often what is old goes.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// How often it is looked whether a connection is to be looked after.
const TICK: Duration = Duration::from_secs(1);

/// A lease that is ours.
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) token: u64,
}

/// Begins all of it. Has to be called inside the control runtime; what is begun ends with the store.
pub(crate) fn begin(hub: &Hub, upkeep: crate::config::upkeep::Upkeep) {
    let sweeper = Sweeper {
        store: Arc::clone(&hub.house.store),
        clock: Arc::clone(&hub.house.clock),
        entropy: Arc::clone(&hub.house.entropy),
        recorder: Some(Arc::clone(&hub.recorder)),
        counters: Arc::clone(&hub.counters),
        workspace: hub.house.owner.workspace,
        keep: upkeep.retention,
    };
    tokio::spawn(async move {
        tokio::time::sleep(FIRST).await;
        loop {
            match sweeper.once().await {
                Ok(_) => {}
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!("what is old stays for now: {}", error.fault()),
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    });
    look_after(hub, upkeep.health_interval_s);
}

/// Begins to look after connections.
fn look_after(hub: &Hub, default_s: Option<u64>) {
    let (connections, manifests) = (Arc::clone(&hub.connections), hub.manifests());
    let operator = hub.operator();
    let checker = Arc::new(Checker {
        store: Arc::clone(&hub.house.store),
        clock: Arc::clone(&hub.house.clock),
        entropy: Arc::clone(&hub.house.entropy),
        counters: Arc::clone(&hub.counters),
        workspace: hub.house.owner.workspace,
        try_out: Box::new(move |row| {
            let connections = Arc::clone(&connections);
            let operator = Arc::clone(&operator);
            Box::pin(async move { connections.try_out(&row, &operator).await.map(drop) })
        }),
        interval_of: Box::new(move |row| {
            if row.is_per_user {
                // There is no credential that would be the hub's to use, and one user's tells nothing of others'.
                return None;
            }
            let manifest = manifests.find(row).ok().flatten();
            manifest.and_then(|manifest| manifest.health_interval_s).or(default_s)
        }),
        places: Checker::places(),
        plan: std::sync::Mutex::default(),
    });
    let connections = Arc::clone(&hub.connections);
    tokio::spawn(async move {
        while !connections.is_draining() {
            match checker.tick().await {
                Ok(_) => {}
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!("connections are not looked after: {}", error.fault()),
            }
            tokio::time::sleep(TICK).await;
        }
    });
}

/// Takes a lease for a holder of this moment's own. `None` when somebody else has it.
pub(crate) async fn take(
    store: &dyn Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    name: String,
    ttl_ms: u32,
) -> Result<Option<Held>, StoreError> {
    let holder = format!("{:016x}", entropy.next_u64());
    match store.acquire_lease(&name, &holder, ttl_ms, clock.now()).await? {
        Taken::Ours(token) => Ok(Some(Held { name, token })),
        Taken::Theirs(_) => Ok(None),
    }
}

/// Lets a lease go.
pub(crate) async fn release(store: &dyn Store, held: Held) -> Result<(), StoreError> {
    store.change_lease(LeaseCommand::Release { name: held.name, token: held.token }).await
}
