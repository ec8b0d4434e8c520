//! What a client says of itself, in either era.

use std::sync::Arc;

use bytes::Bytes;
use call::{Abilities, Peer};
use model::Era;
use wire::{Meta, Object};

/// The abilities that raw client capabilities declare.
pub(crate) fn abilities(capabilities: &[u8]) -> Abilities {
    let Ok(all) = Object::scan(capabilities) else { return Abilities::default() };
    let member = |key: &str| all.get(key).and_then(|raw| Object::scan(raw).ok());
    let elicitation = member("elicitation");
    let sampling = member("sampling");
    Abilities {
        // An empty object means forms: the only mode there was before 2025-11-25.
        elicit_form: elicitation.as_ref().is_some_and(|e| e.get("form").is_some() || e.get("url").is_none()),
        elicit_url: elicitation.as_ref().is_some_and(|e| e.get("url").is_some()),
        sampling: sampling.is_some(),
        sampling_tools: sampling.as_ref().is_some_and(|s| s.get("tools").is_some()),
        roots: member("roots").is_some(),
    }
}

/// The peer behind a modern request. `body` owns the bytes that `meta` borrows from.
pub(crate) fn modern(meta: &Meta<'_>, body: &Bytes, version: &Arc<str>) -> Peer {
    let own = |raw: Option<&[u8]>| raw.map(|raw| slice_of(body, raw));
    Peer {
        era: Some(Era::Modern),
        protocol_version: Arc::clone(version),
        client_info: own(meta.client_info),
        capabilities: own(meta.client_capabilities).unwrap_or_else(|| Bytes::from_static(b"{}")),
        abilities: meta.client_capabilities.map(abilities).unwrap_or_default(),
        log_level: meta.log_level.as_deref().map(Into::into),
    }
}

/// The same peer with bytes of its own, for what outlives the request: a slice would keep the whole buffer that the
/// request was read into.
pub(crate) fn kept(peer: &Peer) -> Peer {
    let own = |raw: &Bytes| Bytes::copy_from_slice(raw);
    Peer {
        client_info: peer.client_info.as_ref().map(own),
        capabilities: own(&peer.capabilities),
        ..peer.clone()
    }
}

/// A part of `body` as shared bytes: no copy when it is one, a copy when it is not.
pub(crate) fn slice_of(body: &Bytes, part: &[u8]) -> Bytes {
    let (start, from) = (body.as_ptr() as usize, part.as_ptr() as usize);
    match from.checked_sub(start) {
        Some(offset) if offset + part.len() <= body.len() => body.slice(offset..offset + part.len()),
        _ => Bytes::copy_from_slice(part),
    }
}

/// True when a message of `level` is wanted by someone who asked for `wanted` (RFC 5424 order).
pub(crate) fn is_loud_enough(level: &str, wanted: &str) -> bool {
    const ORDER: [&str; 8] =
        ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];
    let rank = |name: &str| ORDER.iter().position(|known| *known == name);
    match (rank(level), rank(wanted)) {
        (Some(level), Some(wanted)) => level >= wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{abilities, is_loud_enough, kept, slice_of};
    use bytes::Bytes;

    #[test]
    fn capabilities_become_abilities() {
        let a = abilities(br#"{"elicitation":{},"sampling":{"tools":{}},"roots":{"listChanged":true}}"#);
        assert!(a.elicit_form && !a.elicit_url && a.sampling && a.sampling_tools && a.roots);
        let url = abilities(br#"{"elicitation":{"url":{}}}"#);
        assert!(!url.elicit_form && url.elicit_url && !url.sampling);
        assert_eq!(abilities(b"[]"), call::Abilities::default());
    }

    #[test]
    fn a_peer_that_is_kept_does_not_keep_its_request() {
        let body = Bytes::from(b"a long request with {\"roots\":{}} in it".to_vec());
        let mut peer = call::Peer::plain();
        peer.capabilities = slice_of(&body, &body[20..32]);
        peer.client_info = Some(slice_of(&body, &body[..6]));
        let own = kept(&peer);
        assert_eq!((&own.capabilities, &own.client_info), (&peer.capabilities, &peer.client_info));
        drop(peer);
        assert!(body.is_unique(), "nothing holds a part of it");
    }

    #[test]
    fn levels_are_compared_by_severity() {
        assert!(is_loud_enough("error", "info") && !is_loud_enough("debug", "info"));
    }
}
