//! `name[:port]` and `scheme://name[:port]`, read strictly: what does not parse is foreign.

use std::net::IpAddr;

/// A host and, where it was said, a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Lower case; IPv6 without brackets.
    name: String,
    port: Option<u16>,
}

/// Where a page came from. Its port is always there, the scheme's own included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    is_tls: bool,
    pub(crate) place: Place,
}

// === impl Place ===

impl Place {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let (name, rest) = inner.split_once(']')?;
                name.parse::<std::net::Ipv6Addr>().ok()?;
                (name, rest)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
            None if rest.is_empty() => None,
            _ => return None,
        };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
        // One dot at the end names the same host.
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_name = !name.is_empty() && name.bytes().all(is_plain);
        is_name.then(|| Self { name: name.to_ascii_lowercase(), port })
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.name.parse().ok()
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.name == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// Whether `host` is meant when the list says `self`: a port only counts where the list names one.
    pub(crate) fn covers(&self, host: &Self) -> bool {
        self.name == host.name && (self.port.is_none() || self.port == host.port)
    }

    /// The same host on whichever port: a proxy in front may or may not repeat its own.
    pub(crate) fn any_port(&self) -> Self {
        Self { name: self.name.clone(), port: None }
    }
}

// === impl Origin ===

impl Origin {
    /// Reads an origin, or the origin of a URL. `null` is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let mut place = Place::parse(authority)?;
        place.port.get_or_insert(if is_tls { 443 } else { 80 });
        Some(Self { is_tls, place })
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Place};

    #[test]
    fn only_whole_loopback_names_are_loopback() {
        for good in ["localhost:4780", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "LOCALHOST", "localhost."] {
            assert!(Place::parse(good).unwrap().is_loopback(), "{good}");
        }
        for bad in ["localhost.evil.example", "127.0.0.1.nip.io:80", "10.0.0.1", "[fe80::1]"] {
            assert!(!Place::parse(bad).unwrap().is_loopback(), "{bad}");
        }
        for none in
            ["", "localhost:80:90", "localhost/x", "user@localhost", "[::1", "[x]", "a b", "localhost:x"]
        {
            assert_eq!(Place::parse(none), None, "{none}");
        }
    }

    #[test]
    fn origins_are_equal_when_scheme_name_and_effective_port_are() {
        let own = Origin::parse("https://hub.example.com").unwrap();
        assert_eq!(Origin::parse("https://HUB.example.com:443/console").unwrap(), own);
        for other in
            ["http://hub.example.com", "https://hub.example.com:8443", "https://hub.example.com.evil.example"]
        {
            assert_ne!(Origin::parse(other).unwrap(), own, "{other}");
        }
        for none in
            ["null", "file://x", "https://", "hub.example.com", "https://hub.example.com@evil.example"]
        {
            assert_eq!(Origin::parse(none), None, "{none}");
        }
    }
}
