//! The change feed over `LISTEN` and `NOTIFY`: what one node commits wakes the others.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use store::ChangeFeed;
use tokio::task::AbortHandle;

/// How long to wait before listening again, at first and at most.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// This node among those that share the schema.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// One per schema: notifications go to the whole database.
    channel: String,
    /// Tells our own notifications from those of others; ours arrive after we have told ourselves.
    name: String,
}

/// The task that listens; it ends with the store.
pub(crate) struct Follower(AbortHandle);

// === impl Node ===

impl Node {
    /// A name that no other node has.
    pub(crate) async fn register(pool: &PgPool) -> sqlx::Result<Self> {
        let (channel, name) =
            sqlx::query_as("SELECT 'trunkline_' || md5(current_schema()), gen_random_uuid()::text")
                .fetch_one(pool)
                .await?;
        Ok(Self { channel, name })
    }

    /// Tells the other nodes, if and when the transaction commits.
    pub(crate) async fn announce(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query("SELECT pg_notify($1, $2)").bind(&self.channel).bind(&self.name).execute(db).await?;
        Ok(())
    }
}

// === impl Follower ===

impl Follower {
    /// Listens by the time it returns, so that nothing committed afterwards is missed.
    pub(crate) async fn start(pool: PgPool, node: Node, feed: Arc<ChangeFeed>) -> sqlx::Result<Self> {
        let listener = listen(&pool, &node).await?;
        Ok(Self(tokio::spawn(follow(listener, pool, node, feed)).abort_handle()))
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(pool: &PgPool, node: &Node) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect_with(pool).await?;
    // A broken connection is ours to notice: what was sent meanwhile is lost, and the feed has to say so.
    listener.eager_reconnect(false);
    listener.listen(&node.channel).await?;
    Ok(listener)
}

async fn follow(mut listener: PgListener, pool: PgPool, node: Node, feed: Arc<ChangeFeed>) {
    loop {
        match listener.try_recv().await {
            Ok(Some(notification)) => {
                if notification.payload() != node.name {
                    feed.changed_elsewhere();
                }
            }
            Err(sqlx::Error::PoolClosed) => return,
            Ok(None) | Err(_) => {
                tracing::warn!("store: the change feed is interrupted; listening again");
                let Some(again) = listen_again(&pool, &node).await else { return };
                listener = again;
                // Whatever was announced in between: look.
                feed.changed_elsewhere();
            }
        }
    }
}

/// Tries until it works; `None` when the store is closed meanwhile.
async fn listen_again(pool: &PgPool, node: &Node) -> Option<PgListener> {
    let mut wait = RETRY_AFTER.0;
    loop {
        match listen(pool, node).await {
            Ok(listener) => return Some(listener),
            Err(sqlx::Error::PoolClosed) => return None,
            Err(error) => {
                tracing::warn!(%error, "store: the change feed cannot be followed yet");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_AFTER.1);
            }
        }
    }
}
