//! How one connection of the hub reaches out: what it may reach, how long that may take, whom it trusts, what it
//! shows of itself, and through which proxy. Made once per connection; every dial is made under one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::Secret;

use crate::host::Host;
use crate::resolver::Resolver;
use crate::target::CONNECT_TIMEOUT;
use crate::tls::{self, Tls};
use crate::{Bypass, EgressRule, OutboundError, Proxy};

/// A way out. Cheap to clone: clones share their TLS configuration. `Debug` shows no secrets.
#[derive(Clone)]
pub struct Route(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    rule: EgressRule,
    times: Times,
    /// `None`: the configuration that the whole program shares.
    tls: Option<Arc<Tls>>,
    proxy: Option<Arc<Proxy>>,
    /// What is reached without the proxy.
    bypass: Bypass,
    http2: Http2,
    redirects: bool,
    /// `None`: the system's.
    resolver: Option<Arc<dyn Resolver>>,
}

/// How long each part of an exchange may take. What is `None` has no limit beside the request's own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Name, proxy and socket together.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From the request until the head of the answer is here.
    pub first_byte: Option<Duration>,
    /// Between two pieces of a body. Event streams are exempt: their silence is nothing amiss.
    pub idle: Option<Duration>,
    /// From the request until the end of the body; event streams are exempt.
    pub total: Option<Duration>,
}

impl Default for Times {
    fn default() -> Self {
        Self { connect: CONNECT_TIMEOUT, tls: CONNECT_TIMEOUT, first_byte: None, idle: None, total: None }
    }
}

/// When HTTP/2 is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Http2 {
    /// Where a server chooses it in the TLS handshake (ALPN).
    #[default]
    Auto,
    /// Not at all.
    Never,
    /// Without asking first, on plain connections too (prior knowledge, RFC 9113 §3.3).
    Always,
}

/// Collects what a [`Route`] is made of.
#[derive(Default)]
#[must_use = "nothing happens before `build`"]
pub struct RouteBuilder {
    rule: EgressRule,
    times: Times,
    tls: Option<Arc<Tls>>,
    roots: Option<String>,
    is_alone: bool,
    identity: Option<(String, Secret)>,
    proxy: Option<Arc<Proxy>>,
    bypass: Bypass,
    http2: Http2,
    redirects: bool,
    resolver: Option<Arc<dyn Resolver>>,
}

impl Route {
    /// A route with nothing but a rule and a time: the machine's trust, no client certificate, no proxy.
    #[must_use]
    pub fn new(rule: EgressRule, connect_timeout: Duration) -> Self {
        let times = Times { connect: connect_timeout, ..Times::default() };
        Self(Arc::new(Inner {
            rule,
            times,
            tls: None,
            proxy: None,
            bypass: Bypass::default(),
            http2: Http2::default(),
            redirects: false,
            resolver: None,
        }))
    }

    /// The same way under another rule. What it trusts and shows is shared.
    #[must_use]
    pub fn under(&self, rule: EgressRule) -> Self {
        Self(Arc::new(Inner { rule, ..Inner::clone(&self.0) }))
    }

    /// A route that has more to it.
    pub fn builder(rule: EgressRule) -> RouteBuilder {
        RouteBuilder { rule, ..RouteBuilder::default() }
    }

    /// The addresses that `host` may be reached at now, in the order in which they are tried. `host` is written as in
    /// a URL. For those who want to tell beforehand; a dial judges for itself, and dials what it has judged.
    ///
    /// # Errors
    /// When the host cannot be read or found, or when the guard refuses every address of it.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, OutboundError> {
        let read = Host::read(host)
            .map_err(|why| OutboundError::BadUrl { url: "..".to_owned(), why: why.to_owned() })?;
        self.find(&read, port, self.0.rule).await
    }

    /// Looks `host` up, once, and judges every address of it.
    pub(crate) async fn find(
        &self,
        host: &Host,
        port: u16,
        rule: EgressRule,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let name = match host {
            Host::Address(address) => return rule.judge(&address.to_string(), port, [*address]),
            Host::Local(name) => return rule.judge(name, port, THIS_MACHINE),
            Host::Name(name) => name,
        };
        let found: std::io::Result<Vec<IpAddr>> = match &self.0.resolver {
            Some(resolver) => resolver.look_up(name).await,
            None => tokio::net::lookup_host((name.as_str(), port))
                .await
                .map(|found| found.map(|address| address.ip()).collect()),
        };
        let found = found
            .map_err(|error| OutboundError::Unresolved { host: name.clone(), why: error.to_string() })?;
        rule.judge(name, port, found)
    }

    pub(crate) fn rule(&self) -> EgressRule {
        self.0.rule
    }

    /// How long each part of an exchange may take.
    #[must_use]
    pub fn times(&self) -> Times {
        self.0.times
    }

    /// Redirects of `GET` and `HEAD` are to be followed, by those who can: see [`crate::Client::send_following`].
    #[must_use]
    pub fn follows_redirects(&self) -> bool {
        self.0.redirects
    }

    pub(crate) fn http2(&self) -> Http2 {
        self.0.http2
    }

    /// The proxy on the way to `host`, if there is one.
    pub(crate) fn proxy(&self, host: &Host) -> Option<&Proxy> {
        self.0.proxy.as_deref().filter(|_| !self.0.bypass.has(host))
    }

    /// The TLS configuration; for an origin that a redirect led to, without the client certificate.
    pub(crate) fn tls(
        &self,
        is_stranger: bool,
        offers_two: bool,
    ) -> Result<Arc<rustls::ClientConfig>, OutboundError> {
        match &self.0.tls {
            Some(tls) => Ok(tls.config(is_stranger, offers_two)),
            None => tls::shared_config(offers_two),
        }
    }

    pub(crate) fn has_certificate(&self) -> bool {
        self.0.tls.as_ref().is_some_and(|tls| tls.has_certificate)
    }
}

/// What `localhost` is. IPv4 first: more servers listen there.
const THIS_MACHINE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl RouteBuilder {
    /// Time allowed for name, proxy and socket, and the same again for TLS; [`CONNECT_TIMEOUT`] where nothing is said.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        (self.times.connect, self.times.tls) = (timeout, timeout);
        self
    }

    /// How long each part of an exchange may take.
    pub fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Authorities to trust beside the machine's own, as PEM text.
    pub fn root_certificates(mut self, pem: &str) -> Self {
        self.roots = Some(pem.to_owned());
        self
    }

    /// Trusts nobody but the authorities of [`Self::root_certificates`].
    pub fn only_own_roots(mut self, is_alone: bool) -> Self {
        self.is_alone = is_alone;
        self
    }

    /// Trusts and shows what `other` does, and shares its configuration of TLS.
    pub fn trust_of(mut self, other: &Route) -> Self {
        self.tls.clone_from(&other.0.tls);
        self
    }

    /// Looks names up as `other` does.
    pub fn resolver_of(mut self, other: &Route) -> Self {
        self.resolver.clone_from(&other.0.resolver);
        self
    }

    /// When HTTP/2 is spoken; [`Http2::Auto`] where nothing is said.
    pub fn http2(mut self, http2: Http2) -> Self {
        self.http2 = http2;
        self
    }

    /// Redirects are to be followed by those who can.
    pub fn redirects(mut self, is_followed: bool) -> Self {
        self.redirects = is_followed;
        self
    }

    /// Goes to these without the proxy.
    pub fn bypass(mut self, bypass: Bypass) -> Self {
        self.bypass = bypass;
        self
    }

    /// The certificate to show where a server asks for one: the chain (leaf first) and its private key, as PEM text.
    pub fn client_certificate(mut self, chain_pem: &str, key_pem: Secret) -> Self {
        self.identity = Some((chain_pem.to_owned(), key_pem));
        self
    }

    /// Goes through this proxy.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(Arc::new(proxy));
        self
    }

    /// Looks names up with this instead of the system's resolver.
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// The route.
    ///
    /// # Errors
    /// [`OutboundError::BadRoute`] when certificates or key cannot be used.
    pub fn build(self) -> Result<Route, OutboundError> {
        let identity = self.identity.as_ref().map(|(chain, key)| (chain.as_str(), key));
        let tls = if self.roots.is_some() || identity.is_some() {
            Some(Arc::new(Tls::build(self.roots.as_deref(), self.is_alone, identity)?))
        } else {
            self.tls
        };
        Ok(Route(Arc::new(Inner {
            rule: self.rule,
            times: self.times,
            tls,
            proxy: self.proxy,
            bypass: self.bypass,
            http2: self.http2,
            redirects: self.redirects,
            resolver: self.resolver,
        })))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("rule", &self.0.rule)
            .field("times", &self.0.times)
            .field("http2", &self.0.http2)
            .field("own_tls", &self.0.tls.is_some())
            .field("client_certificate", &self.has_certificate())
            .field("proxy", &self.0.proxy)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RouteBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteBuilder").field("rule", &self.rule).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CONNECT_TIMEOUT, Route};
    use crate::EgressRule;

    /// Any certificate will do to make a route that has a configuration of its own.
    fn own() -> Route {
        let found = rustls_native_certs::load_native_certs().certs;
        let der = found.first().expect("this machine trusts somebody");
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        Route::builder(EgressRule::default()).root_certificates(&pem).build().unwrap()
    }

    #[test]
    fn tls_is_set_up_once_and_not_for_each_dial_or_clone() {
        let plain = || Route::new(EgressRule::default(), CONNECT_TIMEOUT).tls(false, true).unwrap();
        assert!(Arc::ptr_eq(&plain(), &plain()), "routes with nothing of their own share one");
        let (one, other) = (own(), own());
        assert!(Arc::ptr_eq(&one.tls(false, true).unwrap(), &one.clone().tls(false, true).unwrap()));
        assert!(
            Arc::ptr_eq(&one.tls(true, true).unwrap(), &one.tls(false, true).unwrap()),
            "no certificate, no difference"
        );
        assert!(!Arc::ptr_eq(&one.tls(false, true).unwrap(), &other.tls(false, true).unwrap()));
        assert!(
            !Arc::ptr_eq(&one.tls(false, true).unwrap(), &plain()),
            "what one trusts is not trusted by all"
        );
    }
}
