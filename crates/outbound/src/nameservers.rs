//! Names from name servers that an operator chose, in the place of the system's resolver.
//!
//! What they say is judged like anything else: see [`Resolver`].

use std::io;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::OutboundError;
use crate::resolver::{Lookup, Resolver};

/// Name servers of one route, asked over UDP, and over TCP for what does not fit.
pub struct NameServers(TokioResolver);

impl NameServers {
    /// These servers, in this order of preference. Neither `/etc/hosts` nor search domains count.
    ///
    /// # Errors
    /// [`OutboundError::BadRoute`] when the library cannot work with them.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, OutboundError> {
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.to_vec())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        options.edns0 = false;
        let built = builder.build();
        built
            .map(Self)
            .map_err(|error| OutboundError::BadRoute { what: "name servers", why: error.to_string() })
    }
}

impl Resolver for NameServers {
    fn look_up<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        Box::pin(async move {
            // Whole as it stands: no domain is appended.
            let whole = format!("{}.", name.trim_end_matches('.'));
            let found = self.0.lookup_ip(whole).await.map_err(|error| io::Error::other(error.to_string()))?;
            let mut found: Vec<IpAddr> = found.iter().collect();
            // As the system's resolver does on most machines: IPv4 is the one that always works.
            found.sort_by_key(IpAddr::is_ipv6);
            Ok(found)
        })
    }
}
