//! `egress`: the way out, for the whole hub and, key by key in its place, for one entry.
//!
//! Files are read here, so that what is wrong with one is told with the line that names it, and so that a file with
//! other certificates in it makes an entry that differs.

mod read;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use credential::same;
use model::Secret;
use outbound::target::CONNECT_TIMEOUT;
use outbound::{
    Bypass, EgressRule, Http2, NameServers, OutboundError, Proxy, Resolver, Route, RouteBuilder, Times,
};

use serde_json::{Value as Json, json};

pub(crate) use read::{read_entry, read_hub};

/// What a proxy's own address is judged by: the administrator named it, and proxies are usually on private addresses.
const PROXY_RULE: EgressRule = EgressRule { private_allowed: true };
/// Reached without a proxy whatever is listed: behind one they would be the proxy's own.
const NEVER_PROXIED: &[&str] = &["localhost", "127.0.0.0/8", "::1"];

/// A setting, and its value where nothing is said.
type Usual = (&'static str, fn() -> Json);
/// Every setting of the hub's way out.
pub(crate) const SETTINGS: &[Usual] = &[
    ("egress.ca", || json!([])),
    ("egress.system_ca", || true.into()),
    ("egress.proxy", || Json::Null),
    ("egress.proxy_auth.username", || Json::Null),
    ("egress.proxy_auth.password", || Json::Null),
    ("egress.no_proxy", || json!([])),
    ("egress.dns", || json!([])),
    ("egress.timeouts.connect", || CONNECT_TIMEOUT.as_secs().into()),
    ("egress.timeouts.tls", || CONNECT_TIMEOUT.as_secs().into()),
    ("egress.timeouts.first_byte", || Json::Null),
    ("egress.timeouts.idle", || Json::Null),
    ("egress.timeouts.total", || Json::Null),
    ("egress.redirects", || false.into()),
    ("egress.http2", || "auto".into()),
];

/// What is said about the way out. `None` is not said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Egress {
    /// Private and loopback addresses may be reached; of an entry.
    pub(crate) private: Option<bool>,
    /// The longest answer; of an entry.
    pub(crate) response_bytes: Option<usize>,
    /// Authorities, as PEM text.
    ca: Option<Arc<str>>,
    /// Whether those of the machine count beside them.
    system_ca: Option<bool>,
    /// A client certificate with its key, as PEM text; of an entry.
    identity: Option<(Arc<str>, Secret)>,
    proxy: Option<Option<Proxied>>,
    no_proxy: Option<Vec<String>>,
    servers: Option<Vec<SocketAddr>>,
    times: SaidTimes,
    redirects: Option<bool>,
    http2: Option<Http2>,
    /// The route that the hub's words alone make: what it trusts and whom it asks for names is set up once, and shared.
    base: Arc<OnceLock<Result<Route, OutboundError>>>,
}

#[derive(Debug, Clone)]
struct Proxied {
    url: String,
    auth: Option<(String, Secret)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct SaidTimes {
    connect: Option<Duration>,
    tls: Option<Duration>,
    first_byte: Option<Duration>,
    idle: Option<Duration>,
    total: Option<Duration>,
}

// === impl Egress ===

impl Egress {
    /// True when nothing is said that a route depends on, beside what may be reached.
    pub(crate) fn is_plain(&self) -> bool {
        let nothing = Self { private: self.private, response_bytes: self.response_bytes, ..Self::default() };
        same(self.said().expose().as_bytes(), nothing.said().expose().as_bytes())
    }

    /// Everything that is said, secrets too, in one unambiguous spelling: equal texts mean the same way out.
    pub(crate) fn said(&self) -> Secret {
        let identity = self.identity.as_ref().map(|(chain, key)| (chain, key.expose()));
        let proxy = self.proxy.as_ref().map(|proxy| {
            proxy.as_ref().map(|proxied| {
                (&proxied.url, proxied.auth.as_ref().map(|(user, password)| (user, password.expose())))
            })
        });
        Secret::new(format!(
            "{:?}",
            (
                (self.private, self.response_bytes, &self.ca, self.system_ca, identity, proxy),
                (&self.no_proxy, &self.servers, self.times, self.redirects, self.http2)
            )
        ))
    }

    /// The route of an entry that says `self` in the place of what `hub` says. A certificate that the connection was
    /// given as a credential goes before one of the file.
    pub(crate) fn build(
        &self,
        hub: &Self,
        rule: EgressRule,
        given: Option<(&str, &Secret)>,
    ) -> Result<Route, OutboundError> {
        let base = hub.base()?;
        if given.is_none() && self.is_plain() {
            return Ok(base.under(rule));
        }
        let pick = |own: Option<Duration>, hubs: Option<Duration>| own.or(hubs);
        let (own, of_hub, usual) = (&self.times, &hub.times, Times::default());
        let times = Times {
            connect: pick(own.connect, of_hub.connect).unwrap_or(usual.connect),
            tls: pick(own.tls, of_hub.tls).unwrap_or(usual.tls),
            first_byte: pick(own.first_byte, of_hub.first_byte),
            idle: pick(own.idle, of_hub.idle),
            total: pick(own.total, of_hub.total),
        };
        let mut route: RouteBuilder = Route::builder(rule).times(times);
        route = route.http2(self.http2.or(hub.http2).unwrap_or_default());
        route = route.redirects(self.redirects.or(hub.redirects).unwrap_or_default());
        let is_shown = given.is_some() || self.identity.is_some();
        if !is_shown && self.ca.is_none() && self.system_ca.is_none() {
            route = route.trust_of(&base);
        } else if let Some(ca) = self.ca.as_ref().or(hub.ca.as_ref()) {
            let is_alone = !self.system_ca.or(hub.system_ca).unwrap_or(true);
            route = route.root_certificates(ca).only_own_roots(is_alone);
        }
        let of_file = self.identity.as_ref().map(|(chain, key)| (&**chain, key));
        if let Some((chain, key)) = given.or(of_file) {
            route = route.client_certificate(chain, key.clone());
        }
        if let Some(proxied) = self.proxy.as_ref().or(hub.proxy.as_ref()).and_then(Option::as_ref) {
            let mut proxy = Proxy::parse(&proxied.url, PROXY_RULE)?;
            if let Some((user, password)) = &proxied.auth {
                proxy = proxy.with_basic_auth(user, password)?;
            }
            let mut bypass = Bypass::default();
            let listed = self.no_proxy.as_ref().or(hub.no_proxy.as_ref());
            for one in listed.into_iter().flatten().map(String::as_str).chain(NEVER_PROXIED.iter().copied()) {
                let _ = bypass.add(one);
            }
            route = route.proxy(proxy).bypass(bypass);
        }
        route = match self.servers.as_deref() {
            None => route.resolver_of(&base),
            // Said to be none: the system's.
            Some([]) => route,
            Some(servers) => route.resolver(Arc::new(NameServers::new(servers)?) as Arc<dyn Resolver>),
        };
        route.build()
    }

    /// The route of those who say nothing of their own.
    fn base(&self) -> Result<Route, OutboundError> {
        if self.is_plain() {
            return Ok(Route::new(EgressRule::default(), CONNECT_TIMEOUT));
        }
        let nobody = Self::default();
        self.base.get_or_init(|| self.build(&nobody, EgressRule::default(), None)).clone()
    }
}

#[cfg(test)]
mod tests;
