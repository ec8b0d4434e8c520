//! The egress guard: which addresses may be reached. Names are resolved here, every address is judged
//! after resolution, and the judged address is the one that is dialled, so that DNS cannot change its
//! mind in between. Sources: the IANA special-purpose address registries (RFC 6890 and successors).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::OutboundError;

/// What one connection may reach beside public addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EgressRule {
    /// Private and loopback addresses are allowed. Link-local, cloud metadata, multicast and reserved
    /// addresses never are.
    pub private_allowed: bool,
}

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anyone's.
    Public,
    /// Loopback, private, shared: ours or the neighbours'.
    Private(&'static str),
    /// Never dialled.
    Never(&'static str),
}

impl EgressRule {
    /// Refuses an address that this rule does not allow.
    ///
    /// # Errors
    /// [`OutboundError::Refused`].
    pub fn check(self, host: &str, address: IpAddr) -> Result<(), OutboundError> {
        let class = match reach_of(address) {
            Reach::Public => return Ok(()),
            Reach::Private(_) if self.private_allowed => return Ok(()),
            Reach::Private(class) | Reach::Never(class) => class,
        };
        Err(OutboundError::Refused { host: host.to_owned(), address: address.to_string(), class })
    }

    /// Those of the addresses found for `host` that may be dialled, in the order they came in. One that may not
    /// does not spoil the others: it is never dialled.
    ///
    /// # Errors
    /// When there is none: why the last one was refused.
    pub(crate) fn judge(
        self,
        host: &str,
        port: u16,
        found: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found.into_iter().take(ADDRESSES_MAX) {
            match self.check(host, address) {
                Ok(()) => allowed.push(SocketAddr::new(address, port)),
                Err(error) => refused = Some(error),
            }
        }
        if allowed.is_empty() {
            return Err(refused.unwrap_or_else(|| OutboundError::Unresolved {
                host: host.to_owned(),
                why: "no address".to_owned(),
            }));
        }
        Ok(allowed)
    }
}

/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Judges an address, looking through IPv6 forms that carry an IPv4 address.
#[must_use]
pub fn reach_of(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_of_v4(v4),
        IpAddr::V6(v6) => stricter(reach_of_v6(v6), reach_of_isatap(v6)),
    }
}

/// The one that allows less; the first of two that allow the same.
const fn stricter(one: Reach, other: Reach) -> Reach {
    match (one, other) {
        (Reach::Never(_), _) | (Reach::Private(_), Reach::Private(_) | Reach::Public) => one,
        (Reach::Public, _) | (Reach::Private(_), Reach::Never(_)) => other,
    }
}

/// ISATAP (RFC 5214 §6.1) carries an IPv4 address in the lower half, below whatever prefix.
fn reach_of_isatap(address: Ipv6Addr) -> Reach {
    match address.segments() {
        // The bits "universal" and "group" of the interface identifier say nothing about where it leads.
        [.., marks, 0x5efe, high, low] if marks & !0x0300 == 0 => embedded(high, low),
        _ => Reach::Public,
    }
}

fn embedded(high: u16, low: u16) -> Reach {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    reach_of_v4(Ipv4Addr::new(a, b, c, d))
}

fn reach_of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [169, 254, 169, 254] | [169, 254, 170, 2] | [100, 100, 100, 200] | [168, 63, 129, 16] => {
            Reach::Never("cloud metadata")
        }
        [0, ..] => Reach::Never("unspecified"),
        [127, ..] => Reach::Private("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private("private"),
        [100, 64..=127, ..] => Reach::Private("carrier-grade NAT"),
        [169, 254, ..] => Reach::Never("link-local"),
        [198, 18..=19, ..] => Reach::Private("benchmarking"),
        // AS112 and AMT (RFC 7534, 7535, 7450): addresses of the network itself, not of somebody's service.
        [192, 31, 196, _] | [192, 52, 193, _] | [192, 175, 48, _] => Reach::Never("reserved"),
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Reach::Never("reserved")
        }
        [224..=239, ..] => Reach::Never("multicast"),
        [240..=255, ..] => Reach::Never("reserved"),
        _ => Reach::Public,
    }
}

fn reach_of_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private("loopback"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Never("unspecified"),
        // Amazon (the whole block: instances, containers, names, time), Google, Scaleway.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42] => {
            Reach::Never("cloud metadata")
        }
        // NAT64 carries public addresses only (RFC 6052 §3.1).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => match embedded(high, low) {
            Reach::Private(_) => Reach::Never("NAT64 of a private address"),
            other => other,
        },
        // IPv4-mapped, IPv4-compatible, 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, ..] => Reach::Never("local NAT64"),
        [0x2001, 0, ..] => Reach::Never("Teredo"),
        // 2001::/23 is for protocols (RFC 2928): benchmarking, ORCHID, AMT and the like; AS112 likewise.
        [0x2001, 1..=0x1ff, ..] | [0x2620, 0x4f, 0x8000, ..] => Reach::Never("reserved"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Never("documentation"),
        [0x100, 0, 0, 0, ..] => Reach::Never("discard"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Reach::Private("private"),
        [first, ..] if first & 0xff80 == 0xfe80 || first & 0xffc0 == 0xfec0 => Reach::Never("link-local"),
        [first, ..] if first & 0xff00 == 0xff00 => Reach::Never("multicast"),
        [first, ..] if first & 0xe000 == 0x2000 => Reach::Public,
        _ => Reach::Never("reserved"),
    }
}

#[cfg(test)]
mod tests {
    use super::{EgressRule, Reach, reach_of};

    #[test]
    fn only_public_addresses_pass_and_disguises_are_looked_through() {
        for public in [
            "1.1.1.1",
            "93.184.216.34",
            "2606:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert_eq!(reach_of(public.parse().unwrap()), Reach::Public, "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
        ] {
            assert!(matches!(reach_of(private.parse().unwrap()), Reach::Private(_)), "{private}");
            assert!(EgressRule::default().check("x", private.parse().unwrap()).is_err());
            assert!(EgressRule { private_allowed: true }.check("x", private.parse().unwrap()).is_ok());
        }
        for never in [
            "169.254.169.254",
            "169.254.1.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "2001:2::1",
            "2001:20::1",
            "2620:4f:8000::1",
            "192.31.196.1",
            "192.52.193.1",
            "192.175.48.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "2001::1",
            "192.0.2.1",
        ] {
            assert!(
                EgressRule { private_allowed: true }.check("x", never.parse().unwrap()).is_err(),
                "{never}"
            );
        }
    }
}
