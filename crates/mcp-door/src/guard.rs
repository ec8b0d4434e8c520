//! Before anything else: is the request from where it may come from, and who is it?

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use model::{Caller, Code, Fault};

use crate::Door;

impl Door {
    /// Host and Origin, against pages in browsers that reach for local servers (DNS rebinding). On by default.
    pub(crate) fn check_origin(&self, uri: &http::Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let foreign = |what: &str, value: &str| {
            Fault::new(Code::FOREIGN_ORIGIN, format!("{what} `{value}` is not allowed here")).with_hint(
                "add it to `allowed_hosts` or `allowed_origins` in the configuration if it should be",
            )
        };
        let host = headers
            .get(HOST)
            .map(|h| h.to_str().unwrap_or("?"))
            .or_else(|| uri.authority().map(|a| a.as_str()));
        let host = host.ok_or_else(|| foreign("missing Host", ""))?;
        if !self.is_own_host(host) {
            return Err(foreign("Host", host));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        if let Some(origin) = origins.next() {
            let origin = origin.to_str().unwrap_or("?");
            if origins.next().is_some() || !self.is_own_origin(origin) {
                return Err(foreign("Origin", origin));
            }
        }
        Ok(())
    }

    fn is_own_host(&self, host: &str) -> bool {
        let name = host_name(host);
        is_loopback_name(name)
            || self
                .settings()
                .allowed_hosts
                .iter()
                .any(|h| h.eq_ignore_ascii_case(host) || h.eq_ignore_ascii_case(name))
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        if self.settings().allowed_origins.iter().any(|o| o == "*" || o.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| is_loopback_name(host_name(authority)))
    }

    /// Who is calling, from `Authorization: Bearer` or `X-Api-Key`.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Fault> {
        let text = |name: http::header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let presented =
            identity::bearer(text(AUTHORIZATION), text(http::header::HeaderName::from_static("x-api-key")))?;
        self.parts().identity.authenticate(presented, self.parts().clock.now())
    }
}

/// The name in `name:port` or `[v6]:port`.
fn host_name(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return host.get(..end + 2).unwrap_or(host);
    }
    host.rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host })
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::{host_name, is_loopback_name};

    #[test]
    fn only_whole_loopback_names_count() {
        for good in ["localhost:4780", "127.0.0.1", "[::1]:80", "LOCALHOST"] {
            assert!(is_loopback_name(host_name(good)), "{good}");
        }
        for bad in [
            "localhost.evil.example",
            "127.0.0.1.nip.io:80",
            "evil.example",
            "localhost:80:90",
            "localhost/x",
            "",
        ] {
            assert!(!is_loopback_name(host_name(bad)), "{bad}");
        }
    }
}
