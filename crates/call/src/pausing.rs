//! A clock that stops while the caller is being asked: a person filling in a form must not time the tool out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use connector::{AskError, Downstream, Question};
use tokio::time::{Duration, Instant};

/// Wraps the way back to the caller and keeps count of the time spent asking.
pub(crate) struct Pausing {
    inner: Arc<dyn Downstream>,
    asked_ms: AtomicU64,
    open: AtomicUsize,
}

impl Pausing {
    pub(crate) fn new(inner: Arc<dyn Downstream>) -> Self {
        Self { inner, asked_ms: AtomicU64::new(0), open: AtomicUsize::new(0) }
    }

    /// Runs `work` until it ends or `timeout` of un-paused time has passed (`None`).
    pub(crate) async fn run<T>(&self, timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut deadline = tokio::time::Instant::now() + timeout;
        let mut credited_ms = 0;
        loop {
            match tokio::time::timeout_at(deadline, work.as_mut()).await {
                Ok(done) => return Some(done),
                Err(_) => {
                    let asked_ms = self.asked_ms.load(Ordering::Acquire);
                    if self.open.load(Ordering::Acquire) > 0 {
                        // Still being asked; the door bounds how long a question may stay open.
                        deadline = tokio::time::Instant::now() + Duration::from_millis(200);
                    } else if asked_ms > credited_ms {
                        deadline =
                            tokio::time::Instant::now() + Duration::from_millis(asked_ms - credited_ms);
                        credited_ms = asked_ms;
                    } else {
                        return None;
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Downstream for Pausing {
    fn notify(&self, method: &str, params: Bytes) {
        self.inner.notify(method, params);
    }

    fn pause(&self) {
        self.inner.pause();
    }

    async fn ask(&self, question: Question) -> Result<Bytes, AskError> {
        let started = tokio::time::Instant::now();
        self.open.fetch_add(1, Ordering::AcqRel);
        let open = Open { pausing: self, started };
        let answer = self.inner.ask(question).await;
        drop(open);
        answer
    }
}

struct Open<'a> {
    pausing: &'a Pausing,
    started: Instant,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.pausing.asked_ms.fetch_add(ms, Ordering::AcqRel);
        self.pausing.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct SlowPerson;

    #[async_trait]
    impl Downstream for SlowPerson {
        fn notify(&self, _method: &str, _params: Bytes) {}
        async fn ask(&self, _question: Question) -> Result<Bytes, AskError> {
            tokio::time::sleep(Duration::from_secs(600)).await;
            Ok(Bytes::from_static(b"{}"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_spent_asking_does_not_count_but_time_spent_working_does() {
        let pausing = Pausing::new(Arc::new(SlowPerson));
        let question = || Question { method: "elicitation/create".into(), params: Bytes::from_static(b"{}") };
        let asked = pausing.run(Duration::from_secs(30), async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            pausing.ask(question()).await.is_ok()
        });
        assert_eq!(asked.await, Some(true));
        let stuck = pausing.run(Duration::from_secs(30), async {
            tokio::time::sleep(Duration::from_secs(31)).await;
        });
        assert_eq!(Pausing::new(Arc::new(SlowPerson)).run(Duration::from_secs(30), stuck).await, None);
    }
}
