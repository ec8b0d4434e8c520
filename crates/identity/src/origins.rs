//! Where requests may come from: Host and Origin, against pages in browsers that reach for local servers
//! (DNS rebinding). On by default, the same for every HTTP door.
//!
//! A Host that is an IP address cannot be rebound, so a hub that listens on every address accepts any.

mod place;

use model::{Code, Fault};

use place::{Origin, Place};

/// The hosts and origins that are ours.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    hosts: Vec<Place>,
    origins: Vec<Origin>,
    /// Listening on `0.0.0.0` or `[::]`.
    is_everywhere: bool,
}

impl Origins {
    /// Ours beside loopback: what is listened on, what the hub is reached as from outside, and what the
    /// operator lists. Entries that do not parse allow nothing.
    #[must_use]
    pub fn new(listen: &str, public_url: &str, allowed_hosts: &[String], allowed_origins: &[String]) -> Self {
        let own = Origin::parse(public_url);
        let listen = Place::parse(listen);
        let is_everywhere = listen.as_ref().and_then(Place::ip).is_some_and(|ip| ip.is_unspecified());
        let hosts = allowed_hosts.iter().filter_map(|text| Place::parse(text));
        let hosts = hosts.chain(listen).chain(own.as_ref().map(|own| own.place.any_port())).collect();
        let origins = allowed_origins.iter().filter_map(|text| Origin::parse(text)).chain(own).collect();
        Self { hosts, origins, is_everywhere }
    }

    /// Checks a request: the authority of its target (HTTP/2 has it there), its `Host` and its `Origin` values.
    ///
    /// # Errors
    /// [`Code::FOREIGN_ORIGIN`], naming the value and where to allow it.
    pub fn check<'a>(
        &self,
        target: Option<&'a str>,
        mut hosts: impl Iterator<Item = &'a str>,
        mut origins: impl Iterator<Item = &'a str>,
    ) -> Result<(), Fault> {
        let named = hosts.next();
        if hosts.next().is_some() || (target.is_none() && named.is_none()) {
            return Err(foreign("Host", named.unwrap_or("(none)")));
        }
        // Beside a target, a Host has to be on the list as well.
        for host in [target, named].into_iter().flatten() {
            if !Place::parse(host).is_some_and(|place| self.is_own_host(&place)) {
                return Err(foreign("Host", host));
            }
        }
        let Some(origin) = origins.next() else { return Ok(()) };
        let is_own = Origin::parse(origin).is_some_and(|origin| self.is_own_origin(&origin));
        if is_own && origins.next().is_none() { Ok(()) } else { Err(foreign("Origin", origin)) }
    }

    fn is_own_host(&self, host: &Place) -> bool {
        host.is_loopback()
            || (self.is_everywhere && host.ip().is_some())
            || self.hosts.iter().any(|own| own.covers(host))
    }

    fn is_own_origin(&self, origin: &Origin) -> bool {
        origin.place.is_loopback() || self.origins.contains(origin)
    }
}

fn foreign(what: &str, value: &str) -> Fault {
    let value: String = value.chars().take(200).collect();
    let list = if what == "Host" { "allowed_hosts" } else { "allowed_origins" };
    Fault::new(Code::FOREIGN_ORIGIN, format!("{what} `{value}` is not allowed here"))
        .with_hint(format!("add it to `{list}` in the configuration if it should be"))
}

#[cfg(test)]
mod tests {
    use super::Origins;

    #[test]
    fn loopback_and_listed_names_pass_and_rebinding_does_not() {
        let origins = Origins::new("10.0.0.5:4780", "https://hub.example.com", &["box.lan".to_owned()], &[]);
        let check = |host: &'static str, origin: Option<&'static str>| {
            origins.check(None, std::iter::once(host), origin.into_iter()).is_ok()
        };
        for host in ["localhost:4780", "10.0.0.5:4780", "hub.example.com", "box.lan:80"] {
            assert!(check(host, None), "{host}");
        }
        assert!(check("localhost", Some("http://localhost:6274")));
        assert!(check("localhost", Some("https://hub.example.com")));
        for host in ["evil.example", "10.0.0.6:4780", "localhost.evil.example", ""] {
            assert!(!check(host, None), "{host}");
        }
        for origin in ["http://evil.example", "null", "https://hub.example.com.evil.example", "*"] {
            assert!(!check("localhost", Some(origin)), "{origin}");
        }
        assert!(origins.check(None, std::iter::empty(), std::iter::empty()).is_err());
        assert!(origins.check(None, ["localhost", "localhost"].into_iter(), std::iter::empty()).is_err());
    }
}
