//! The way back of requests about a task: questions name the task as the client knows it, or not at all.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use call::{AskError, Downstream, Question};

/// Wraps the way back.
pub(crate) struct Related {
    inner: Arc<dyn Downstream>,
    /// The client's id of the task; `None` for clients of the era that names none.
    shown: Option<String>,
}

impl Related {
    pub(crate) fn new(inner: Arc<dyn Downstream>, shown: Option<String>) -> Self {
        Self { inner, shown }
    }
}

#[async_trait]
impl Downstream for Related {
    fn notify(&self, method: &str, params: Bytes) {
        self.inner.notify(method, params);
    }

    fn pause(&self) {
        self.inner.pause();
    }

    async fn ask(&self, mut question: Question) -> Result<Bytes, AskError> {
        if let Some(params) = wire::task::related_to(&question.params, self.shown.as_deref()) {
            question.params = params.into();
        }
        self.inner.ask(question).await
    }
}
