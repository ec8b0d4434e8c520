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
use crate::{EgressRule, OutboundError, Proxy};

/// A way out. Cheap to clone: clones share their TLS configuration. `Debug` shows no secrets.
#[derive(Clone)]
pub struct Route(Arc<Inner>);

struct Inner {
    rule: EgressRule,
    connect_timeout: Duration,
    /// `None`: the configuration that the whole program shares.
    tls: Option<Tls>,
    proxy: Option<Proxy>,
    /// `None`: the system's.
    resolver: Option<Arc<dyn Resolver>>,
}

/// Collects what a [`Route`] is made of.
#[derive(Default)]
#[must_use = "nothing happens before `build`"]
pub struct RouteBuilder {
    rule: EgressRule,
    connect_timeout: Option<Duration>,
    roots: Option<String>,
    identity: Option<(String, Secret)>,
    proxy: Option<Proxy>,
    resolver: Option<Arc<dyn Resolver>>,
}

impl Route {
    /// A route with nothing but a rule and a time: the machine's trust, no client certificate, no proxy.
    #[must_use]
    pub fn new(rule: EgressRule, connect_timeout: Duration) -> Self {
        Self(Arc::new(Inner { rule, connect_timeout, tls: None, proxy: None, resolver: None }))
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

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.0.connect_timeout
    }

    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.0.proxy.as_ref()
    }

    /// The TLS configuration; for an origin that a redirect led to, without the client certificate.
    pub(crate) fn tls(&self, is_stranger: bool) -> Result<Arc<rustls::ClientConfig>, OutboundError> {
        match &self.0.tls {
            Some(tls) => Ok(tls.config(is_stranger)),
            None => tls::shared_config(),
        }
    }

    pub(crate) fn has_certificate(&self) -> bool {
        self.0.tls.as_ref().is_some_and(|tls| tls.has_certificate)
    }
}

/// What `localhost` is. IPv4 first: more servers listen there.
const THIS_MACHINE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

impl RouteBuilder {
    /// Time allowed for name, proxy, socket and TLS together; [`CONNECT_TIMEOUT`] where nothing is said.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Authorities to trust beside the machine's own, as PEM text.
    pub fn root_certificates(mut self, pem: &str) -> Self {
        self.roots = Some(pem.to_owned());
        self
    }

    /// The certificate to show where a server asks for one: the chain (leaf first) and its private key, as PEM text.
    pub fn client_certificate(mut self, chain_pem: &str, key_pem: Secret) -> Self {
        self.identity = Some((chain_pem.to_owned(), key_pem));
        self
    }

    /// Goes through this proxy.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Looks names up with this instead of the system's resolver. For tests; nothing configures it.
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
            Some(Tls::build(self.roots.as_deref(), identity)?)
        } else {
            None
        };
        Ok(Route(Arc::new(Inner {
            rule: self.rule,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            tls,
            proxy: self.proxy,
            resolver: self.resolver,
        })))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("rule", &self.0.rule)
            .field("connect_timeout", &self.0.connect_timeout)
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
        let plain = || Route::new(EgressRule::default(), CONNECT_TIMEOUT).tls(false).unwrap();
        assert!(Arc::ptr_eq(&plain(), &plain()), "routes with nothing of their own share one");
        let (one, other) = (own(), own());
        assert!(Arc::ptr_eq(&one.tls(false).unwrap(), &one.clone().tls(false).unwrap()));
        assert!(
            Arc::ptr_eq(&one.tls(true).unwrap(), &one.tls(false).unwrap()),
            "no certificate, no difference"
        );
        assert!(!Arc::ptr_eq(&one.tls(false).unwrap(), &other.tls(false).unwrap()));
        assert!(!Arc::ptr_eq(&one.tls(false).unwrap(), &plain()), "what one trusts is not trusted by all");
    }
}
