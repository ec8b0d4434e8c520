//! Names and URIs in endpoints that gather several connections: unique, stable, reversible.

use std::borrow::Cow;

/// Names longer than this break some model APIs.
pub(crate) const NAME_MAX: usize = 64;
const HASH_LEN: usize = 8;

/// `key__name`, shortened deterministically with a hash when it is over [`NAME_MAX`].
pub(crate) fn exposed(key: &str, name: &str) -> String {
    let full = format!("{key}__{name}");
    if full.len() <= NAME_MAX {
        return full;
    }
    let cut =
        full.char_indices().map(|(at, _)| at).take_while(|at| *at <= NAME_MAX - HASH_LEN).last().unwrap_or(0);
    format!("{}_{:07x}", full.get(..cut).unwrap_or_default(), fnv(&full) & 0x0fff_ffff)
}

/// FNV-1a, 64 bit (Fowler, Noll, Vo): the same in every build and on every node, which is all it has to be.
fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `key__name` taken apart at the first `__`.
pub(crate) fn split(exposed: &str) -> Option<(&str, &str)> {
    exposed.split_once("__")
}

/// Schemes that mean something to clients: the key goes in front of the path, the scheme stays.
const MEANINGFUL: [&str; 2] = ["ui://", "skill://"];
const WRAPPER: &str = "trunkline://";

/// A URI (or URI template) of a connection, as a gathering endpoint shows it.
pub(crate) fn wrap_uri(key: &str, uri: &str) -> String {
    match MEANINGFUL.iter().find_map(|scheme| uri.strip_prefix(scheme).map(|rest| (scheme, rest))) {
        Some((scheme, rest)) => format!("{scheme}{key}/{rest}"),
        None => format!("{WRAPPER}{key}/{uri}"),
    }
}

/// The connection's key and its own URI, from what [`wrap_uri`] made.
pub(crate) fn unwrap_uri(shown: &str) -> Option<(&str, Cow<'_, str>)> {
    if let Some((key, uri)) = shown.strip_prefix(WRAPPER).and_then(|rest| rest.split_once('/')) {
        return Some((key, Cow::Borrowed(uri)));
    }
    MEANINGFUL.iter().find_map(|scheme| {
        let (key, rest) = shown.strip_prefix(scheme)?.split_once('/')?;
        Some((key, Cow::Owned(format!("{scheme}{rest}"))))
    })
}

#[cfg(test)]
mod tests {
    use super::{NAME_MAX, exposed, split, unwrap_uri, wrap_uri};

    #[test]
    fn names_are_prefixed_and_long_ones_cut_without_colliding() {
        assert_eq!(exposed("files", "read_file"), "files__read_file");
        assert_eq!(split("files__a__b"), Some(("files", "a__b")));
        let long = exposed("files", &"x".repeat(100));
        assert_eq!(long.len(), NAME_MAX);
        assert_ne!(long, exposed("files", &"x".repeat(101)));
        assert_eq!(long, exposed("files", &"x".repeat(100)));
    }

    #[test]
    fn uris_come_back_as_they_were() {
        for uri in [
            "file:///a b",
            "test://static-text",
            "ui://weather/view",
            "skill://x",
            "urn:a:b",
            "test://t/{id}/data",
        ] {
            let shown = wrap_uri("up", uri);
            let (key, own) = unwrap_uri(&shown).unwrap();
            assert_eq!((key, own.as_ref()), ("up", uri));
        }
        assert_eq!(wrap_uri("up", "ui://weather/view"), "ui://up/weather/view");
        assert_eq!(unwrap_uri("file:///a"), None);
    }
}
