//! Where a request goes: an origin (what connections are pooled by) and a path.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::host::{Host, read_authority};
use crate::{Http2, OutboundError, Route};

/// Default time allowed for name, socket and TLS together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const NO_LINE: &str = "it holds characters that a request line may not";

/// A parsed URL with the route that it is reached by. Cheap to clone. `Debug` shows no path.
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
    /// The host, read.
    pub(crate) place: Host,
    /// The same as text.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The `Host` header.
    pub(crate) authority: String,
    pub(crate) route: Route,
    /// The server chose HTTP/1.1, or asked for it: HTTP/2 is not offered to it again.
    pub(crate) is_old: AtomicBool,
    /// A redirect led here: no client certificate is shown, and the connection is used once.
    pub(crate) is_stranger: bool,
}

impl Origin {
    /// Whether HTTP/2 may come of a dial.
    pub(crate) fn may_share(&self) -> bool {
        let has_two = match self.route.http2() {
            Http2::Never => false,
            Http2::Auto => self.is_tls,
            Http2::Always => true,
        };
        // To where a redirect led nobody comes back: nothing to share.
        has_two && !self.is_stranger && !self.is_old.load(Ordering::Relaxed)
    }

    pub(crate) fn shows_certificate(&self) -> bool {
        !self.is_stranger && self.route.has_certificate()
    }
}

static NEXT_ORIGIN: AtomicU64 = AtomicU64::new(1);

impl Target {
    /// Reads an `http`, `https`, `ws` or `wss` URL, to be reached by `route`.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`] for anything else, for URLs with a user name in them, and for hosts that are neither
    /// an address nor a plain name.
    pub fn parse(url: &str, route: &Route) -> Result<Self, OutboundError> {
        let bad = |why: &str| OutboundError::BadUrl { url: shown(url), why: why.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("not a URL"))?;
        let is = |known: &str| scheme.eq_ignore_ascii_case(known);
        let is_tls = is("https") || is("wss");
        if !is_tls && !is("http") && !is("ws") {
            return Err(bad("only http, https, ws and wss are spoken"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (place, port) = read_authority(authority).map_err(bad)?;
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if !is_line(&path) {
            return Err(bad(NO_LINE));
        }
        let host = place.to_string();
        let written = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let origin = Origin {
            id: NEXT_ORIGIN.fetch_add(1, Ordering::Relaxed),
            is_tls,
            place,
            host,
            port: port.unwrap_or(if is_tls { 443 } else { 80 }),
            authority: port.map_or_else(|| written.clone(), |port| format!("{written}:{port}")),
            route: route.clone(),
            is_old: AtomicBool::new(false),
            is_stranger: false,
        };
        Ok(Self { origin: Arc::new(origin), path: path.into() })
    }

    /// A reference given by the server, resolved against this target; it has to stay in the same origin.
    ///
    /// # Errors
    /// [`OutboundError::BadUrl`] when it leads elsewhere.
    pub fn join(&self, reference: &str) -> Result<Self, OutboundError> {
        let bad = |why: &str| OutboundError::BadUrl { url: shown(reference), why: why.to_owned() };
        let path = if scheme_of(reference).is_some() {
            let other = Self::parse(reference, &self.origin.route)?;
            if !other.is_same_origin(self) {
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
        if !is_line(&path) || path.contains('#') {
            return Err(bad(NO_LINE));
        }
        Ok(Self { origin: Arc::clone(&self.origin), path })
    }

    /// True when scheme, host and port are the same: what one may be told, the other may.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        let (a, b) = (&self.origin, &other.origin);
        (a.is_tls, &a.place, a.port) == (b.is_tls, &b.place, b.port)
    }

    /// The same target as one that a redirect led to.
    pub(crate) fn into_stranger(self) -> Self {
        let origin = Origin {
            id: self.origin.id,
            is_tls: self.origin.is_tls,
            place: self.origin.place.clone(),
            host: self.origin.host.clone(),
            port: self.origin.port,
            authority: self.origin.authority.clone(),
            route: self.origin.route.clone(),
            is_old: AtomicBool::new(false),
            is_stranger: true,
        };
        Self { origin: Arc::new(origin), path: self.path }
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

/// The scheme of a reference that has one (RFC 3986 §3.1); a colon behind the first `/`, `?` or `#` makes none.
pub(crate) fn scheme_of(reference: &str) -> Option<&str> {
    let (scheme, _) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

fn is_line(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic())
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
    use crate::{EgressRule, Route};

    fn parse(url: &str) -> Result<Target, crate::OutboundError> {
        Target::parse(url, &Route::new(EgressRule::default(), CONNECT_TIMEOUT))
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
        assert_eq!(&*target.join("/m?to=http://b/").unwrap().path, "/m?to=http://b/");
        for bad in
            ["http://b/m", "//b/m", "https://a:81/m", "http://a/m", "/a b", "/a\r\nx", "b:c", "x:@a:81/"]
        {
            assert!(target.join(bad).is_err(), "{bad}");
        }
    }
}
