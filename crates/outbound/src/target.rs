//! Where a request goes: an origin (what connections are pooled by) and a path.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{EgressRule, OutboundError};

/// Default time allowed for name, socket and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A parsed URL with the rule that it is dialled under. Cheap to clone. `Debug` shows no path.
#[derive(Clone)]
pub struct Target {
    pub(crate) origin: Arc<Origin>,
    /// Path and query.
    pub(crate) path: Arc<str>,
}

/// Scheme, host and port: connections are pooled by this, per [`Target::parse`], so that two connections
/// of the hub never share a socket even when they share a host.
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The `Host` header.
    pub(crate) authority: String,
    pub(crate) rule: EgressRule,
    pub(crate) connect_timeout: Duration,
}

static NEXT_ORIGIN: AtomicU64 = AtomicU64::new(1);

impl Target {
    /// Reads an `http`, `https`, `ws` or `wss` URL.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`] for anything else, and for URLs with a user name in them.
    pub fn parse(url: &str, rule: EgressRule, connect_timeout: Duration) -> Result<Self, OutboundError> {
        let bad = |why: &str| OutboundError::BadUrl { url: shown(url), why: why.to_owned() };
        let uri: http::Uri = url.parse().map_err(|_| bad("not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(bad("only http, https, ws and wss are spoken")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("credentials belong into `auth`, not into the URL"));
        }
        let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() {
            return Err(bad("it has no host"));
        }
        let origin = Origin {
            id: NEXT_ORIGIN.fetch_add(1, Ordering::Relaxed),
            is_tls,
            host: bare.to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.as_str().to_ascii_lowercase(),
            rule,
            connect_timeout,
        };
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { origin: Arc::new(origin), path: path.into() })
    }

    /// A reference given by the server, resolved against this target; it has to stay in the same origin.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`] when it leads elsewhere.
    pub fn join(&self, reference: &str) -> Result<Self, OutboundError> {
        let bad = |why: &str| OutboundError::BadUrl { url: shown(reference), why: why.to_owned() };
        let path = if reference.contains("://") {
            let other = Self::parse(reference, self.origin.rule, self.origin.connect_timeout)?;
            let (a, b) = (&self.origin, &other.origin);
            if (a.is_tls, &a.host, a.port) != (b.is_tls, &b.host, b.port) {
                return Err(bad("the server points to another origin"));
            }
            other.path
        } else if reference.starts_with("//") {
            return Err(bad("the server points to another origin"));
        } else if reference.starts_with('/') {
            reference.into()
        } else {
            let stem = self.path.split('?').next().unwrap_or("/");
            if let Some(query) = reference.strip_prefix('?') {
                format!("{stem}?{query}").into()
            } else {
                let folder = stem.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{folder}/{reference}").into()
            }
        };
        if path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#') || !path.is_ascii() {
            return Err(bad("it holds characters that a request line may not"));
        }
        Ok(Self { origin: Arc::clone(&self.origin), path })
    }

    /// Host and port, for people.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.origin.authority
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/..", if self.origin.is_tls { "https" } else { "http" }, self.origin.authority)
    }
}

/// A URL without what may be secret in it: user, path and query. What only looks like a URL may hold a
/// password anywhere, so a scheme is shown when it is letters, and a host when nothing else stands beside it.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "..".to_owned() };
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return "..".to_owned();
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if is_host_and_port(authority) { format!("{scheme}://{authority}") } else { format!("{scheme}://..") }
}

/// True for a name or an address, with a port or without: no user, and no password cut short by a `/` in it.
fn is_host_and_port(authority: &str) -> bool {
    let behind = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, behind)) if address.parse::<std::net::Ipv6Addr>().is_ok() => behind,
        Some(_) => return false,
        None => authority.find(':').and_then(|at| authority.get(at..)).unwrap_or(""),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    !authority.contains('@') && (behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::{CONNECT_TIMEOUT, Target};
    use crate::EgressRule;

    fn parse(url: &str) -> Result<Target, crate::OutboundError> {
        Target::parse(url, EgressRule::default(), CONNECT_TIMEOUT)
    }

    #[test]
    fn urls_are_read_and_secrets_in_them_never_shown() {
        let target = parse("https://Example.com/mcp?a=1").unwrap();
        assert_eq!((target.authority(), &*target.path, target.origin.port), ("example.com", "/mcp?a=1", 443));
        assert_eq!(parse("http://[::1]:8080").unwrap().origin.host, "::1");
        for bad in ["ftp://x/secret", "http://u:secret@x/", "/secret", "http:///secret", "file:///secret"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_shown_of_a_url_is_its_scheme_and_a_host_that_is_nothing_else() {
        for (url, wanted) in [
            ("ftp://Host:21/secret?secret#secret", "ftp://Host:21"),
            ("ftp://[::1]:21/secret", "ftp://[::1]:21"),
            ("http://u:secret@x/", "http://.."),
            ("http://secret@x/", "http://.."),
            ("http://u:se/cret@x", "http://.."),
            ("http://[secret]/", "http://.."),
            ("http://[::1]secret/", "http://.."),
            (":secret@x/..://y", ".."),
            ("u:secret@x/?to=http://y", ".."),
            ("secret", ".."),
            ("://secret", ".."),
        ] {
            assert_eq!(super::shown(url), wanted, "{url}");
        }
        let error = parse("http://a/").unwrap().join("http://u:se/cret@x").unwrap_err().to_string();
        assert!(!error.contains("u:se") && error.contains("http://.."), "{error}");
    }

    #[test]
    fn a_server_may_point_only_into_its_own_origin() {
        let target = parse("http://a:81/mcp/sse?x=1").unwrap();
        assert_eq!(&*target.join("/messages?id=1").unwrap().path, "/messages?id=1");
        assert_eq!(&*target.join("messages?id=1").unwrap().path, "/mcp/messages?id=1");
        assert_eq!(&*target.join("?id=1").unwrap().path, "/mcp/sse?id=1");
        assert_eq!(&*target.join("http://a:81/m").unwrap().path, "/m");
        for bad in ["http://b/m", "//b/m", "https://a:81/m", "http://a/m", "/a b", "/a\r\nx"] {
            assert!(target.join(bad).is_err(), "{bad}");
        }
    }
}
