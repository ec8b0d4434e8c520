//! Lists: pages of what a view holds, under sealed cursors.

use bytes::Bytes;
use model::{Code, Era, Fault};
use tokio::time::Instant;
use wire::{Method, Object};

use crate::Door;
use crate::door::Who;
use crate::endpoint::Endpoint;
use crate::rescue::{self, Reply};
use crate::view::{Listing, View};

/// How long a client may keep a list, milliseconds. Changes are announced, so this is a net, not a clock.
const TTL_MS: u64 = 60_000;
/// Connections that are on their way up, and those that do not answer now: lists of keys in a list's `_meta`.
const STARTING: &str = "io.trunkline/starting";
const STALE: &str = "io.trunkline/stale";

impl Door {
    /// The view that `who` has right now, waiting for connections that are on their way up.
    pub(crate) async fn settled_view(&self, who: &Who) -> std::sync::Arc<View> {
        let pipeline = &self.parts().pipeline;
        match &who.endpoint {
            // There is nothing else to show: without it the answer is an error.
            Endpoint::Connection(key) => {
                pipeline.settle(Some(key.as_str()), Instant::now() + self.settings().settle).await;
            }
            _ => pipeline.gather(self.settings().gather).await,
        }
        self.view(who)
    }

    /// The same without waiting.
    pub(crate) fn view(&self, who: &Who) -> std::sync::Arc<View> {
        self.views.get(
            &self.parts().pipeline.snapshot(),
            &who.endpoint,
            &who.caller.access,
            who.peer.era.unwrap_or(Era::Legacy),
        )
    }

    /// Answers one of the four list methods.
    pub(crate) async fn list(&self, who: &Who, method: Method, params: &[u8]) -> Reply {
        let view = self.settled_view(who).await;
        if let Err(fault) = self.check_place(who, &view) {
            return rescue::reply(&fault, None, who.peer.era.unwrap_or(Era::Legacy));
        }
        let (listing, member) = match method {
            Method::PromptsList => (&view.prompts, "prompts"),
            Method::ResourcesList => (&view.resources, "resources"),
            Method::ResourcesTemplatesList => (&view.templates, "resourceTemplates"),
            _ => (&view.tools, "tools"),
        };
        let cursor =
            Object::scan(params).ok().and_then(|p| p.get_str("cursor").map(std::borrow::Cow::into_owned));
        let from = match cursor {
            None => 0,
            Some(cursor) => match self.open_cursor(who, member, listing, &cursor) {
                Some(from) => from,
                None => {
                    return Reply::error(
                        wire::RpcCode::INVALID_PARAMS,
                        "`cursor` is not one of ours, or the list has changed since: start again without a cursor",
                    );
                }
            },
        };
        Reply::Result(self.page(who, &view, member, listing, from))
    }

    /// Whether there is anything at the endpoint at all. A connection that has never answered is told as
    /// such: an empty list would say that it has no tools.
    pub(crate) fn check_place(&self, who: &Who, view: &View) -> Result<(), Fault> {
        match &who.endpoint {
            Endpoint::All => Ok(()),
            Endpoint::Connection(key) => {
                // HTTP has asked this already; byte streams come here first.
                let is_there = self.is_there(&who.endpoint, &who.caller.access);
                let found = view.snapshot.connection(key.as_str());
                let mounted = found.filter(|_| is_there).ok_or_else(|| {
                    Fault::new(Code::NOT_FOUND, format!("no connection `{key}`")).with_hint("check the URL")
                })?;
                if mounted.is_known() { Ok(()) } else { Err(mounted.not_up()) }
            }
            Endpoint::Toolset(key) if view.snapshot.toolset(key.as_str()).is_none() => {
                Err(Fault::new(Code::NOT_FOUND, format!("no toolset `{key}`")).with_hint("check the URL"))
            }
            Endpoint::Toolset(_) => Ok(()),
        }
    }

    fn page(&self, who: &Who, view: &View, member: &str, listing: &Listing, from: usize) -> Bytes {
        let to = listing.items.len().min(from.saturating_add(self.settings().page_items));
        let items = listing.items.get(from..to).unwrap_or_default();
        let size: usize = items.iter().map(|item| item.len() + 1).sum();
        let mut out = Vec::with_capacity(size + 320);
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(member.as_bytes());
        out.extend_from_slice(b"\":[");
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_slice(item);
        }
        out.push(b']');
        if to < listing.items.len()
            && let Some(cursor) = self.seal_cursor(who, member, listing, to)
        {
            out.extend_from_slice(b",\"nextCursor\":");
            wire::object::push_str(&mut out, &cursor);
        }
        let notes = self.notes(who, view);
        let is_modern = who.peer.era == Some(Era::Modern);
        if is_modern {
            // Private: another caller may be allowed to see something else. What is not all there is not kept.
            let ttl_ms = if notes.is_empty() { TTL_MS } else { 0 };
            out.extend_from_slice(
                format!(",\"resultType\":\"complete\",\"ttlMs\":{ttl_ms},\"cacheScope\":\"private\"")
                    .as_bytes(),
            );
        }
        let mut meta = notes;
        if is_modern {
            let mut info = wire::object::quoted(wire::meta::SERVER_INFO);
            info.push(b':');
            info.extend_from_slice(&self.server_info(who));
            meta.insert(0, info);
        }
        if !meta.is_empty() {
            out.extend_from_slice(b",\"_meta\":{");
            out.extend_from_slice(&meta.join(&b','));
            out.push(b'}');
        }
        out.push(b'}');
        out.into()
    }

    /// Members of `_meta` for what is not as it should be: connections whose part is missing because they are on
    /// their way up, and those whose part is the last they said before they stopped answering.
    fn notes(&self, who: &Who, view: &View) -> Vec<Vec<u8>> {
        let concerned = |mounted: &&std::sync::Arc<call::Mounted>| match &who.endpoint {
            Endpoint::All => self.is_there(&Endpoint::Connection(mounted.key.clone()), &who.caller.access),
            Endpoint::Connection(key) => *key == mounted.key,
            Endpoint::Toolset(key) => view.snapshot.toolset(key.as_str()).is_some_and(|set| {
                set.tools.iter().any(|picked| {
                    picked.connection == mounted.key && mounted.may_reach(&who.caller.access, &picked.tool)
                })
            }),
        };
        let named = |name: &str, test: fn(&call::Mounted) -> bool| {
            let keys: Vec<&str> = view
                .snapshot
                .connections()
                .filter(|mounted| test(mounted))
                .filter(concerned)
                .map(|mounted| mounted.key.as_str())
                .collect();
            (!keys.is_empty()).then(|| {
                let mut member = wire::object::quoted(name);
                member.push(b':');
                member.extend_from_slice(&serde_json::to_vec(&keys).unwrap_or_default());
                member
            })
        };
        [named(STARTING, |m| m.is_settling()), named(STALE, |m| m.is_known() && m.inventory.is_stale)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn seal_cursor(&self, who: &Who, member: &str, listing: &Listing, offset: usize) -> Option<String> {
        let plain = format!("{}:{}:{offset}", who.endpoint, listing.digest);
        self.parts().sealer.seal(&purpose(member), &who.caller.principal, plain.as_bytes()).ok()
    }

    fn open_cursor(&self, who: &Who, member: &str, listing: &Listing, cursor: &str) -> Option<usize> {
        let plain = self.parts().sealer.open(&purpose(member), &who.caller.principal, cursor).ok()?;
        let plain = String::from_utf8(plain).ok()?;
        let offset = plain.strip_prefix(&format!("{}:{}:", who.endpoint, listing.digest))?;
        offset.parse().ok().filter(|offset| *offset <= listing.items.len())
    }
}

fn purpose(member: &str) -> String {
    format!("cursor:{member}")
}
