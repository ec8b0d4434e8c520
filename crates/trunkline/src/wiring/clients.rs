//! From which address a request comes, and the log of those that were refused at the door.
//!
//! Behind a reverse proxy every connection comes from the proxy, which says in a header for whom it speaks.
//! Anybody can write such a header, so it counts only as far as it was written by addresses in
//! `trusted_proxies`: each proxy adds the address that it was called from at the right, and reading goes from
//! there to the left until an address that nobody vouches for. What stands further left is hearsay.
//!
//! `Forwarded` is RFC 7239; `X-Forwarded-For` is its older custom. Where both are there and do not say the
//! same, the proxy wrote one and passed the other on, and it is not known which: neither is believed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::http::{HeaderMap, HeaderName, StatusCode, header};
use model::Clock;

use outbound::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many proxies in a row are believed.
const HOPS_MAX: usize = 16;
/// How many refusals are logged in one [`WINDOW_US`].
const LINES_MAX: u64 = 60;
const WINDOW_US: u64 = 60_000_000;

/// Tells clients apart.
pub(crate) struct Clients {
    trusted: Vec<Network>,
    clock: Arc<dyn Clock>,
    /// The number of the present window, and below it, in the lower half, how many refusals it has seen.
    window: AtomicU64,
}

impl Clients {
    /// Believes the headers of these proxies.
    pub(crate) fn new(trusted: Vec<Network>, clock: Arc<dyn Clock>) -> Self {
        Self { trusted, clock, window: AtomicU64::new(0) }
    }

    /// The address of whoever sent a request with these headers over a connection from `peer`.
    pub(crate) fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let forwarded = self.walk(peer, headers, &header::FORWARDED, forwarded_for);
        let custom = self.walk(peer, headers, &FORWARDED_FOR, address_of);
        match (forwarded, custom) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(said), _) | (None, Some(said)) => said,
            (None, None) => peer,
        }
    }

    /// Writes down that the door refused a request, at most [`LINES_MAX`] times a minute.
    pub(crate) fn refused(&self, client: IpAddr, status: StatusCode) {
        if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
            return;
        }
        let now = (self.clock.monotonic_us() / WINDOW_US) & u64::from(u32::MAX);
        let next = |window: u64| {
            let seen = if window >> 32 == now { window & u64::from(u32::MAX) } else { 0 };
            (seen <= LINES_MAX).then_some((now << 32) | (seen + 1))
        };
        let Ok(before) = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) else { return };
        let seen = if before >> 32 == now { before & u64::from(u32::MAX) } else { 0 };
        if seen < LINES_MAX {
            tracing::info!(%client, status = status.as_u16(), "a request was refused");
        } else {
            tracing::warn!("more requests are refused this minute; they are not logged");
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Goes from right to left through all lines of one header. `None` when it is not there.
    fn walk(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        name: &HeaderName,
        read: fn(&str) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        let mut lines = headers.get_all(name).into_iter().rev().peekable();
        lines.peek()?;
        let mut client = peer;
        let elements = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        for element in elements.take(HOPS_MAX) {
            // What cannot be read (`unknown`, a made-up name, garbage) is where the trail ends: at whoever said it.
            let Some(said) = read(element.trim_matches([' ', '\t'])) else { break };
            client = said;
            if !self.trusts(said) {
                break;
            }
        }
        Some(client)
    }
}

/// The address in one element of `Forwarded`: `for=192.0.2.60;proto=http`, `for="[2001:db8::1]:4711"`. Commas
/// inside of quotes are not looked for: no address has one.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut said = element.split(';').filter_map(|pair| {
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let value = said.next()?;
    if said.next().is_some() {
        return None;
    }
    match value.strip_prefix('"') {
        Some(rest) => address_of(rest.strip_suffix('"')?),
        None => address_of(value),
    }
}

/// An address with or without a port; IPv6 in brackets or bare.
fn address_of(text: &str) -> Option<IpAddr> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(address) => address.ip(),
            Err(_) => IpAddr::V6(text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
    use model::{ManualClock, Timestamp};
    use proptest::prelude::*;

    use super::{Clients, HOPS_MAX, LINES_MAX};
    use outbound::Network;

    const PROXY: &str = "10.0.0.1";

    fn clients(trusted: &[&str]) -> Clients {
        let trusted = trusted.iter().map(|text| Network::parse(text).unwrap()).collect();
        Clients::new(trusted, Arc::new(ManualClock::at(Timestamp(0))))
    }

    /// Who it was, behind the trusted networks 10.0.0.0/8 and 2001:db8:1::/48.
    fn client(peer: &str, lines: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let clients = clients(&["10.0.0.0/8", "2001:db8:1::/48"]);
        clients.address(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_header_counts_as_far_as_trusted_proxies_wrote_it() {
        const XFF: &str = "x-forwarded-for";
        const FWD: &str = "forwarded";
        for (what, peer, lines, wanted) in [
            ("no header", PROXY, &[][..], PROXY),
            ("a stranger's header", "203.0.113.9", &[(XFF, "198.51.100.1")][..], "203.0.113.9"),
            ("a stranger's other header", "203.0.113.9", &[(FWD, "for=198.51.100.1")], "203.0.113.9"),
            ("one proxy", PROXY, &[(XFF, "198.51.100.1")], "198.51.100.1"),
            ("a client that wrote one itself", PROXY, &[(XFF, "1.1.1.1, 198.51.100.1")], "198.51.100.1"),
            (
                "a client that poses as a proxy",
                PROXY,
                &[(XFF, "1.1.1.1, 10.9.9.9, 198.51.100.1")],
                "198.51.100.1",
            ),
            ("two proxies", PROXY, &[(XFF, "1.1.1.1, 198.51.100.1, 10.0.0.2")], "198.51.100.1"),
            ("two lines", PROXY, &[(XFF, "1.1.1.1"), (XFF, "198.51.100.1")], "198.51.100.1"),
            ("only our own", PROXY, &[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            ("no address", PROXY, &[(XFF, "198.51.100.1, unknown")], PROXY),
            ("no address further left", PROXY, &[(XFF, "1.1.1.1, evil, 10.0.0.2")], "10.0.0.2"),
            ("an empty one", PROXY, &[(XFF, "")], PROXY),
            ("a trailing comma", PROXY, &[(XFF, "198.51.100.1,")], PROXY),
            ("bytes that are no text", PROXY, &[(XFF, "é")], PROXY),
            ("a port", PROXY, &[(XFF, "198.51.100.1:4711")], "198.51.100.1"),
            ("IPv6", PROXY, &[(XFF, "2001:db8::1")], "2001:db8::1"),
            ("IPv6 with a port", PROXY, &[(XFF, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("IPv4 within IPv6", "::ffff:10.0.0.1", &[(XFF, "::ffff:198.51.100.1")], "198.51.100.1"),
            ("an IPv6 proxy", "2001:db8:1::1", &[(XFF, "198.51.100.1")], "198.51.100.1"),
            (
                "Forwarded",
                PROXY,
                &[(FWD, "for=1.1.1.1, For=198.51.100.1;proto=https;by=10.0.0.1")],
                "198.51.100.1",
            ),
            ("Forwarded, quoted", PROXY, &[(FWD, "proto=https; for=\"[2001:db8::1]:4711\"")], "2001:db8::1"),
            ("Forwarded, an open quote", PROXY, &[(FWD, "for=\"1.1.1.1, for=198.51.100.1")], "198.51.100.1"),
            ("Forwarded, half a quote", PROXY, &[(FWD, "for=\"198.51.100.1")], PROXY),
            ("Forwarded, for twice", PROXY, &[(FWD, "for=1.1.1.1;for=198.51.100.1")], PROXY),
            ("Forwarded, hidden", PROXY, &[(FWD, "for=_hidden")], PROXY),
            ("Forwarded without for", PROXY, &[(FWD, "proto=https")], PROXY),
            ("both, the same", PROXY, &[(XFF, "198.51.100.1"), (FWD, "for=198.51.100.1")], "198.51.100.1"),
            ("the client's beside the proxy's", PROXY, &[(XFF, "198.51.100.1"), (FWD, "for=1.1.1.1")], PROXY),
            ("and the other way round", PROXY, &[(FWD, "for=198.51.100.1"), (XFF, "1.1.1.1")], PROXY),
            ("a broken one beside the proxy's", PROXY, &[(XFF, "198.51.100.1"), (FWD, "?")], PROXY),
        ] {
            assert_eq!(client(peer, lines), wanted, "{what}");
        }
    }

    #[test]
    fn a_chain_without_end_is_not_walked_to_its_end() {
        let chain = |hops: usize| format!("198.51.100.1{}", ", 10.0.0.2".repeat(hops));
        assert_eq!(client(PROXY, &[("x-forwarded-for", &chain(HOPS_MAX - 1))]), "198.51.100.1");
        assert_eq!(client(PROXY, &[("x-forwarded-for", &chain(HOPS_MAX))]), "10.0.0.2");
    }

    #[test]
    fn nobody_is_trusted_unless_somebody_says_so() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.1"));
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(clients(&[]).address(loopback, &headers), loopback);
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_its_own_address_is_what_counts(
            forged in "[ -~]{0,40}", port in prop::option::of(1_u16..),
        ) {
            let own = port.map_or("198.51.100.1".to_owned(), |port| format!("198.51.100.1:{port}"));
            let line = format!("{forged}, {own}");
            prop_assert_eq!(client(PROXY, &[("x-forwarded-for", &line)]), "198.51.100.1");
            let line = format!("{forged}, for=\"{own}\"");
            prop_assert_eq!(client(PROXY, &[("forwarded", &line)]), "198.51.100.1");
            prop_assert_eq!(client("198.51.100.1", &[("forwarded", &forged)]), "198.51.100.1");
        }
    }

    #[test]
    fn refusals_are_counted_and_the_log_is_not_flooded() {
        let clock = Arc::new(ManualClock::at(Timestamp(0)));
        let clients = Clients::new(Vec::new(), Arc::clone(&clock) as Arc<dyn model::Clock>);
        let seen = || clients.window.load(Ordering::Relaxed) & u64::from(u32::MAX);
        let client: IpAddr = "198.51.100.1".parse().unwrap();
        clients.refused(client, StatusCode::OK);
        clients.refused(client, StatusCode::NOT_FOUND);
        assert_eq!(seen(), 0);
        for _ in 0..1000 {
            clients.refused(client, StatusCode::UNAUTHORIZED);
        }
        // One more than the lines: the one that says that no more follow.
        assert_eq!(seen(), LINES_MAX + 1);
        clock.advance_ms(60_000);
        clients.refused(client, StatusCode::FORBIDDEN);
        assert_eq!(seen(), 1);
    }
}
