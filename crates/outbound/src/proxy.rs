//! A way through an HTTP proxy: `CONNECT` (RFC 9110 §9.3.6), then the tunnel is the connection.
//!
//! The proxy is asked for the address that we have judged, never for a name: it would look the name up once more,
//! behind the guard's back. What follows from that stands in docs/reference/outbound.md.

use std::fmt;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::egress::{Reach, reach_of};
use crate::host::{Host, read_authority};
use crate::{EgressRule, Network, OutboundError, Stream};

/// Longest head of a proxy's answer.
const HEAD_MAX: usize = 8 * 1024;
/// Most header lines in it.
const LINES_MAX: usize = 64;
/// Addresses of one target that a proxy is asked for.
const ATTEMPTS_MAX: usize = 3;

/// A proxy. `Debug` shows where it is and nothing of the credentials.
pub struct Proxy {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// What may be reached to get to it: proxies are usually on private addresses where targets may not be.
    pub(crate) rule: EgressRule,
    /// It is spoken to over TLS.
    pub(crate) is_tls: bool,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret>,
}

impl Proxy {
    /// Reads `http://host:port` or `https://host:port`. `rule` is what the proxy itself is judged by.
    ///
    /// # Errors
    /// [`OutboundError::BadRoute`] for anything else, and for URLs with a user name in them.
    pub fn parse(url: &str, rule: EgressRule) -> Result<Self, OutboundError> {
        let bad = |why: &str| OutboundError::BadRoute { what: "proxy", why: why.to_owned() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("write it as http://host:port"))?;
        let is_tls = scheme.eq_ignore_ascii_case("https");
        if !is_tls && !scheme.eq_ignore_ascii_case("http") {
            return Err(bad("only http:// and https:// proxies are spoken to"));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(bad("its credentials are given apart, not in the URL"));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(bad("a proxy has no path"));
        }
        let (host, port) = read_authority(authority).map_err(bad)?;
        Ok(Self {
            host,
            port: port.unwrap_or(if is_tls { 443 } else { 80 }),
            rule,
            is_tls,
            authorization: None,
        })
    }

    /// Adds user and password. They go to the proxy only.
    ///
    /// # Errors
    /// [`OutboundError::BadRoute`] for a user with a colon (RFC 7617 §2), and for control characters.
    pub fn with_basic_auth(mut self, user: &str, password: &Secret) -> Result<Self, OutboundError> {
        let has_control = |text: &str| text.chars().any(char::is_control);
        if user.contains(':') || has_control(user) || has_control(password.expose()) {
            let why = "user or password hold characters that basic authentication cannot carry".to_owned();
            return Err(OutboundError::BadRoute { what: "proxy", why });
        }
        let pair = Secret::new(format!("{user}:{}", password.expose()));
        self.authorization = Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.expose()))));
        Ok(self)
    }

    /// Asks the proxy on `socket` for a tunnel to a judged address.
    pub(crate) async fn tunnel(&self, socket: &mut Stream, address: SocketAddr) -> Result<(), OutboundError> {
        let credentials = match &self.authorization {
            Some(value) => Secret::new(format!("proxy-authorization: {}\r\n", value.expose())),
            None => Secret::new(""),
        };
        let request = Secret::new(format!(
            "CONNECT {address} HTTP/1.1\r\nhost: {address}\r\n{}\r\n",
            credentials.expose()
        ));
        let broken = |error: &std::io::Error| self.failed(format!("the connection to it ended: {error}"));
        socket.write_all(request.expose().as_bytes()).await.map_err(|error| broken(&error))?;
        let head = self.read_head(socket).await?;
        let mut slots = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut response = httparse::Response::new(&mut slots);
        let is_whole = matches!(response.parse(&head), Ok(httparse::Status::Complete(_)));
        match response.code.filter(|_| is_whole) {
            Some(200..=299) => Ok(()),
            Some(407) => Err(self.failed("it wants other credentials (407)".to_owned())),
            Some(status) => Err(self.failed(format!("it answered {status} when asked for {address}"))),
            None => Err(self.failed("it did not answer with valid HTTP".to_owned())),
        }
    }

    /// Reads up to the empty line and not a byte further: what follows belongs to whoever is at the other end.
    async fn read_head(&self, socket: &mut Stream) -> Result<Vec<u8>, OutboundError> {
        const END: &[u8; 4] = b"\r\n\r\n";
        let mut head = Vec::with_capacity(256);
        loop {
            // As many bytes as are missing at least: a whole end, or the rest of one that has begun.
            let begun = (0..=END.len())
                .rev()
                .find(|count| END.get(..*count).is_some_and(|begin| head.ends_with(begin)))
                .unwrap_or(0);
            let missing = END.len() - begun;
            if missing == 0 {
                return Ok(head);
            }
            if head.len() + missing > HEAD_MAX {
                return Err(self.failed("its answer is too long".to_owned()));
            }
            let mut bytes = [0; END.len()];
            let room = bytes.get_mut(..missing).unwrap_or_default();
            match socket.read(room).await {
                Ok(0) => return Err(self.failed("it closed the connection without an answer".to_owned())),
                Ok(count) => head.extend_from_slice(room.get(..count).unwrap_or_default()),
                Err(error) => return Err(self.failed(format!("the connection to it ended: {error}"))),
            }
        }
    }

    fn failed(&self, why: String) -> OutboundError {
        OutboundError::Proxy { proxy: self.host.to_string(), why }
    }
}

/// The addresses to ask a proxy for. Loopback is not among them: there it would mean the proxy's own machine, which
/// nobody has judged.
pub(crate) fn beyond_this_machine(
    host: &str,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, OutboundError> {
    let mut refused = None;
    let mut kept = Vec::new();
    for address in found {
        match reach_of(address.ip()) {
            Reach::Private("loopback") => refused = Some(address),
            _ => kept.push(address),
        }
    }
    match refused {
        Some(address) if kept.is_empty() => Err(OutboundError::Refused {
            host: host.to_owned(),
            address: address.ip().to_string(),
            class: "loopback (behind a proxy: the proxy's own)",
        }),
        _ => {
            kept.truncate(ATTEMPTS_MAX);
            Ok(kept)
        }
    }
}

/// Hosts that are reached without the proxy, as `no_proxy` lists them: a name and what is below it
/// (`internal.example`, `.internal.example`), an address, a network (`10.0.0.0/8`), or `*` for all.
#[derive(Debug, Clone, Default)]
pub struct Bypass {
    all: bool,
    names: Vec<String>,
    networks: Vec<Network>,
}

impl Bypass {
    /// Adds one of the list. False for what cannot be read.
    #[must_use]
    pub fn add(&mut self, text: &str) -> bool {
        let text = text.trim();
        if text == "*" {
            self.all = true;
            return true;
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Some(network) = Network::parse(bare) {
            self.networks.push(network);
            return true;
        }
        let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
        match Host::read(name) {
            Ok(Host::Name(name) | Host::Local(name)) => {
                self.names.push(name);
                true
            }
            _ => false,
        }
    }

    /// Whether `host`, as it is written in a URL, is among them. Names are not looked up for it.
    pub(crate) fn has(&self, host: &Host) -> bool {
        let name = match host {
            Host::Address(address) => {
                return self.all || self.networks.iter().any(|net| net.contains(*address));
            }
            Host::Local(name) | Host::Name(name) => name,
        };
        let is_below = |known: &String| {
            name.strip_suffix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.all || self.names.iter().any(is_below)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::Bypass;
    use crate::host::Host;

    #[test]
    fn what_is_listed_goes_without_the_proxy_and_nothing_that_only_looks_like_it() {
        let mut list = Bypass::default();
        for one in ["internal.example", ".corp", "*.lab.example", "10.0.0.0/8", "[::1]", "localhost"] {
            assert!(list.add(one), "{one}");
        }
        for direct in [
            "internal.example",
            "a.internal.example",
            "x.corp",
            "y.lab.example",
            "10.9.9.9",
            "[::1]",
            "localhost",
        ] {
            assert!(list.has(&Host::read(direct).unwrap()), "{direct}");
        }
        for through in ["notinternal.example", "internal.example.com", "corpx", "11.0.0.1", "[::2]"] {
            assert!(!list.has(&Host::read(through).unwrap()), "{through}");
        }
        assert!(!list.add("http://x"));
        assert!(!list.add("10.0.0.0/99"));
        assert!(list.add("*"));
        assert!(list.has(&Host::read("anything.example").unwrap()));
    }
}
