//! Listening: `subscriptions/listen` of modern clients, `resources/subscribe` of legacy ones.

use std::sync::Arc;

use bytes::Bytes;
use call::ListKind;
use model::{Fault, Key};
use wire::{Object, object};

use crate::Door;
use crate::door::Who;
use crate::events::{URIS_MAX, Wants, WatchGuard, farewell, with_subscription};
use crate::outbox::Outbox;
use crate::rescue::{self, Reply};
use crate::session::{Session, lock};

/// A stream that listens. It ends with the guard; [`Listening::farewell`] is its graceful end.
pub(crate) struct Listening {
    _guard: WatchGuard,
    id: Bytes,
}

impl Listening {
    /// The result that ends the stream from our side.
    pub(crate) fn farewell(&self) -> Bytes {
        farewell(&self.id)
    }
}

impl Door {
    /// Opens a listen stream on `outbox`; its first message says what of the wishes is honoured.
    pub(crate) async fn listen(
        &self,
        who: &Who,
        id: &[u8],
        params: &[u8],
        outbox: &Arc<Outbox>,
    ) -> Result<Listening, Reply> {
        let bad = |why: &str| Reply::error(wire::RpcCode::INVALID_PARAMS, why);
        let params = Object::scan(params).map_err(|e| bad(&format!("params: {e}")))?;
        let wishes = params.get("notifications").ok_or_else(|| bad("`params.notifications` is required"))?;
        let wishes = Object::scan(wishes).map_err(|_| bad("`params.notifications` must be an object"))?;
        let texts = |member: &str| -> Result<Vec<String>, Reply> {
            let Some(raw) = wishes.get(member) else { return Ok(Vec::new()) };
            let list: Vec<String> = serde_json::from_slice(raw)
                .map_err(|_| bad(&format!("`params.notifications.{member}` must be a list of strings")))?;
            if list.len() > URIS_MAX {
                return Err(bad(&format!(
                    "`params.notifications.{member}` has {} entries, the limit is {URIS_MAX}",
                    list.len()
                )));
            }
            Ok(list)
        };
        let uris = texts("resourceSubscriptions")?;
        let task_ids = texts("taskIds")?;
        let all = [
            ("toolsListChanged", ListKind::Tools),
            ("promptsListChanged", ListKind::Prompts),
            ("resourcesListChanged", ListKind::Resources),
        ];
        let kinds: Vec<(&str, ListKind)> =
            all.into_iter().filter(|(member, _)| wishes.is_true(member)).collect();
        let tasks: Vec<(Key, Arc<str>, String)> = task_ids
            .into_iter()
            .filter_map(|shown| {
                self.open_task(who, &shown).ok().map(|task| (task.connection, task.own, shown))
            })
            .collect();

        let mut honoured = Vec::from(*b"{");
        let mut add = |member: &str, raw: &[u8]| {
            if honoured.len() > 1 {
                honoured.push(b',');
            }
            object::push_str(&mut honoured, member);
            honoured.push(b':');
            honoured.extend_from_slice(raw);
        };
        for (member, _) in &kinds {
            add(member, b"true");
        }
        if !tasks.is_empty() {
            let ids: Vec<&str> = tasks.iter().map(|(_, _, shown)| shown.as_str()).collect();
            add("taskIds", &serde_json::to_vec(&ids).unwrap_or_default());
        }
        let wants = Wants::Listen {
            id: Bytes::copy_from_slice(id),
            kinds: kinds.iter().map(|(_, kind)| *kind).collect(),
            tasks,
        };
        let kept = Who { peer: Arc::new(crate::peer::kept(&who.peer)), ..who.clone() };
        let guard = self.events.watch(&kept, outbox, wants);
        let mut granted = Vec::new();
        for uri in uris {
            if self.watch_uri(who, &guard, &uri).await.is_ok() {
                granted.push(uri);
            }
        }
        if !granted.is_empty() {
            add("resourceSubscriptions", &serde_json::to_vec(&granted).unwrap_or_default());
        }
        honoured.push(b'}');
        let mut acknowledged = Vec::from(*b"{\"notifications\":");
        acknowledged.extend_from_slice(&honoured);
        acknowledged.push(b'}');
        let acknowledged = with_subscription(&acknowledged, id);
        outbox.push(
            wire::message::notification("notifications/subscriptions/acknowledged", &acknowledged).into(),
        );
        Ok(Listening { _guard: guard, id: Bytes::copy_from_slice(id) })
    }

    async fn watch_uri(&self, who: &Who, guard: &WatchGuard, uri: &str) -> Result<(), Fault> {
        let (key, own) = self.reachable_uri(who, uri)?;
        guard.subscribe(key, own, uri).await
    }

    /// The connection behind a URI that this caller may reach.
    fn reachable_uri(&self, who: &Who, uri: &str) -> Result<(Key, Arc<str>), Fault> {
        let (key, own) = self.find_uri(who, uri)?;
        let snapshot = self.parts().pipeline.snapshot();
        let may = snapshot.connection(key.as_str()).is_some_and(|m| m.may_reach(&who.caller.access, &own));
        if may {
            Ok((key, own))
        } else {
            Err(Fault::new(model::Code::NOT_FOUND, format!("no resource `{uri}`")))
        }
    }

    /// Sees to it that a legacy session hears what happens outside of its calls.
    pub(crate) fn watch_session(&self, who: &Who, session: &Arc<Session>, outbox: &Arc<Outbox>) {
        let guard = self.events.watch(who, outbox, Wants::Session(Arc::downgrade(session)));
        *lock(&session.watch) = Some(Arc::new(guard));
    }

    /// `resources/subscribe` and `resources/unsubscribe` of a legacy session.
    pub(crate) async fn subscription(
        &self,
        who: &Who,
        session: Option<&Arc<Session>>,
        is_on: bool,
        params: &[u8],
    ) -> Reply {
        let uri = Object::scan(params).ok().and_then(|p| p.get_str("uri").map(|uri| uri.into_owned()));
        let (Some(uri), Some(session)) = (uri, session) else {
            return Reply::error(wire::RpcCode::INVALID_PARAMS, "`params.uri` must be a string");
        };
        let era = model::Era::Legacy;
        let (key, own) = match self.reachable_uri(who, &uri) {
            Ok(found) => found,
            Err(fault) => return rescue::reply(&fault, Some(model::CallKind::Resource), era),
        };
        // A session may subscribe before it opens its stream: what happens until then waits for it there.
        if lock(&session.watch).is_none() {
            let outbox = session.stream().unwrap_or_default();
            session.set_stream(Some(Arc::clone(&outbox)));
            self.watch_session(who, session, &outbox);
        }
        let Some(guard) = lock(&session.watch).clone() else {
            return Reply::Result(Bytes::from_static(b"{}"));
        };
        let outcome = if is_on {
            guard.subscribe(key, own, &uri).await
        } else {
            guard.unsubscribe(key, own).await;
            Ok(())
        };
        match outcome {
            Ok(()) => Reply::Result(Bytes::from_static(b"{}")),
            Err(fault) => rescue::reply(&fault, Some(model::CallKind::Resource), era),
        }
    }
}
