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

impl Door {
    /// The view that `who` has right now, waiting for connections that are on their way up.
    pub(crate) async fn settled_view(&self, who: &Who) -> std::sync::Arc<View> {
        let pipeline = &self.parts().pipeline;
        let only = match &who.endpoint {
            Endpoint::Connection(key) => Some(key.as_str()),
            _ => None,
        };
        pipeline.settle(only, Instant::now() + self.settings().settle).await;
        self.view(who)
    }

    /// The same without waiting.
    pub(crate) fn view(&self, who: &Who) -> std::sync::Arc<View> {
        self.views.get(&self.parts().pipeline.snapshot(), &who.endpoint, &who.caller.access)
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
        Reply::Result(self.page(who, member, listing, from))
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

    fn page(&self, who: &Who, member: &str, listing: &Listing, from: usize) -> Bytes {
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
        if who.peer.era == Some(Era::Modern) {
            // Private: another caller may be allowed to see something else.
            out.extend_from_slice(
                format!(",\"resultType\":\"complete\",\"ttlMs\":{TTL_MS},\"cacheScope\":\"private\"")
                    .as_bytes(),
            );
            out.extend_from_slice(b",\"_meta\":{\"");
            out.extend_from_slice(wire::meta::SERVER_INFO.as_bytes());
            out.extend_from_slice(b"\":");
            out.extend_from_slice(&self.server_info(who));
            out.push(b'}');
        }
        out.push(b'}');
        out.into()
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
