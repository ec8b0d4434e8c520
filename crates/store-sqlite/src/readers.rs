//! The reading connections: taken, used on a blocking thread, put back.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use store::StoreError;
use tokio::sync::Semaphore;

/// A fixed number of connections that cannot write.
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    /// One permit per connection; closed with the store.
    permits: Arc<Semaphore>,
    count: u32,
}

/// What a read ends with: its value, or a row that cannot be understood.
pub(crate) trait Answer: Send + 'static {
    type Value;
    fn into_result(self) -> Result<Self::Value, StoreError>;
}

// === impl Readers ===

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits, count }
    }

    /// Runs `look` on a connection of its own. What was committed before the call is seen.
    pub(crate) async fn read<A: Answer>(
        &self,
        doing: &'static str,
        look: impl FnOnce(&Connection) -> rusqlite::Result<A> + Send + 'static,
    ) -> Result<A::Value, StoreError> {
        self.look(doing, move |db| look(db).map_err(|e| StoreError::unavailable(doing, e)))
            .await?
            .into_result()
    }

    /// Like [`Readers::read`], for reads that know their own errors.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        doing: &'static str,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let idle = Arc::clone(&self.idle);
        let looked = tokio::task::spawn_blocking(move || {
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let db = taken.ok_or(StoreError::Closed)?;
            let answer = look(&db);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            // Given back only now, also when the asker has gone away meanwhile.
            drop(permit);
            answer
        });
        looked.await.map_err(|e| StoreError::unavailable(doing, e))?
    }

    /// Waits for reads under way, then closes the connections.
    pub(crate) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            self.permits.close();
            drop(all);
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

// === impl Answer ===

impl<T: Send + 'static> Answer for Option<T> {
    type Value = Self;
    fn into_result(self) -> Result<Self, StoreError> {
        Ok(self)
    }
}

impl<T: Send + 'static> Answer for Result<Vec<T>, StoreError> {
    type Value = Vec<T>;
    fn into_result(self) -> Self {
        self
    }
}
