//! One listen stream per modern server (SEP-2575): list changes, watched resources, tasks.

use std::sync::Arc;
use std::time::Duration;

use process::Backoff;
use wire::{Method, RpcCode};

use crate::ask::Ask;
use crate::channel::within;
use crate::handshake::{Live, Way};
use crate::inner::Inner;
use crate::params::own_modern;
use crate::signals::Nudge;
use crate::trouble::Trouble;

/// The longest life of one listen on a channel; it is opened again afterwards.
const LISTEN_MS: u64 = 24 * 3600 * 1000;
/// Changes of what is watched within this time make one new stream.
const GATHER: Duration = Duration::from_millis(50);

/// Keeps a listen stream open for as long as `live` is in use; runs until it is dropped.
pub(crate) async fn run(inner: Arc<Inner>, live: Arc<Live>) {
    let mut changed = inner.watch_changed.subscribe();
    let mut backoff = Backoff::new();
    let mut has_listened = false;
    loop {
        changed.borrow_and_update();
        let Some(filter) = inner.listen_filter(&live) else {
            if changed.changed().await.is_err() {
                return;
            }
            continue;
        };
        if has_listened {
            // What happened while nobody listened is learnt by looking.
            inner.signals.nudge(Nudge::ListChanged);
        }
        let started_ms = inner.now_ms();
        let outcome = tokio::select! {
            outcome = listen(&inner, &live, &filter) => outcome,
            changed = changed.changed() => {
                if changed.is_err() {
                    return;
                }
                // Dropping the stream has cancelled it; the next one asks for the new set.
                tokio::time::sleep(GATHER).await;
                continue;
            }
        };
        let ran = Duration::from_millis(inner.now_ms().saturating_sub(started_ms));
        has_listened |= outcome.is_ok();
        match outcome {
            Err(Trouble::Rpc { code, .. }) if code == RpcCode::METHOD_NOT_FOUND.0 => {
                tracing::debug!("the server knows no listen; its lists are read again by time only");
                if changed.changed().await.is_err() {
                    return;
                }
            }
            Err(trouble) => tracing::debug!(%trouble, "a listen stream ended"),
            Ok(()) => {}
        }
        tokio::time::sleep(backoff.next_wait(ran, &*inner.parts.entropy)).await;
    }
}

/// Listens until the stream ends; `Ok` when it had begun.
async fn listen(inner: &Inner, live: &Live, filter: &str) -> Result<(), Trouble> {
    let params = own_modern(&live.facts.version, filter);
    match &live.way {
        Way::ModernHttp(http) => {
            let mut events = http.listen(params, within(inner.settings.connect_timeout_ms)).await?;
            while let Ok(Some(event)) = events.next().await {
                if !http.heard(&event.data) {
                    break;
                }
            }
            Ok(())
        }
        Way::ModernChannel(channel) => {
            let ask = Ask::own(Method::Listen.name(), params, within(LISTEN_MS));
            match channel.request(ask).await {
                Ok(answer) => answer.into_result().map(|_| ()),
                Err(Trouble::Ended { .. }) => std::future::pending().await,
                Err(trouble) => Err(trouble),
            }
        }
        Way::Legacy(..) => std::future::pending().await,
    }
}
