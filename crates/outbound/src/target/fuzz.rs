//! Fuzz targets of URLs, header lines and addresses: nothing leaves the origin, the line, or the guard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ::fuzz::{parts, target};

use super::{CONNECT_TIMEOUT, Target};
use crate::egress::reach_of;
use crate::{EgressRule, Head, OutboundError, Reach, Route};

/// Of what has a scheme of letters, a host is told that stands alone or beside a port; else nothing.
fn told_no_secret(url: &str, error: &OutboundError) {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_host = scheme.chars().all(|c| c.is_ascii_alphabetic())
        && host.contains("s3cr3t")
        && !authority.contains('@')
        && port.chars().all(|c| c.is_ascii_digit());
    assert!(is_host || !error.to_string().contains("s3cr3t"), "{error}");
}

target!(
    /// A target is one origin and one path that fits a request line; a reference from a server stays in the
    /// origin; neither errors nor `Debug` repeat what may be secret. Parts: the URL, the reference.
    urls,
    |input: &[u8]| {
        let parts: Vec<_> = parts(input).into_iter().map(String::from_utf8_lossy).collect();
        let target = match Target::parse(&parts[0], &Route::new(EgressRule::default(), CONNECT_TIMEOUT)) {
            Ok(target) => target,
            Err(error) => return told_no_secret(&parts[0], &error),
        };
        let is_line = |path: &str| path.starts_with('/') && path.bytes().all(|b| b > b' ' && b != 0x7f && b != b'#');
        assert!(is_line(&target.path), "{:?}", target.path);
        let (origin, authority) = (&target.origin, target.authority());
        assert!(!origin.host.is_empty() && authority.bytes().all(|b| b.is_ascii_graphic() && !b"@/?#\\".contains(&b)), "{authority}");
        assert!(authority.contains(&origin.host));
        // What goes out as `Host` is read by the next one as it was read here.
        let again = crate::host::read_authority(authority).expect("what was read once");
        assert_eq!((&again.0, again.1.unwrap_or(origin.port)), (&origin.place, origin.port));
        assert!(!format!("{target:?}").contains("s3cr3t") || authority.contains("s3cr3t"));
        let Some(reference) = parts.get(1) else { return };
        match target.join(reference) {
            Ok(joined) => {
                assert!(std::sync::Arc::ptr_eq(&joined.origin, origin));
                assert!(is_line(&joined.path) && joined.path.is_ascii(), "{:?}", joined.path);
            }
            Err(error) => told_no_secret(reference, &error),
        }
    }
);

target!(
    /// What is put in as one header is one line, and frames nothing. Parts: name, value.
    header_lines,
    |input: &[u8]| {
        let parts: Vec<_> = parts(input).into_iter().map(String::from_utf8_lossy).collect();
        let (name, value) = (&*parts[0], parts.get(1).map_or("", |value| value));
        let mut head = Head::new();
        if head.push(name, value).is_err() {
            assert!(head.bytes().is_empty());
            return;
        }
        let line = head.bytes().strip_suffix(b"\r\n").expect("a whole line");
        assert_eq!(line, format!("{name}: {value}").as_bytes());
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        let framing = ["host", "content-length", "transfer-encoding", "connection"];
        assert!(!framing.contains(&&*name.to_ascii_lowercase()) && !name.contains([':', ' ']));
    }
);

/// How far a rule that allows nothing private lets an address go.
fn is_public(address: IpAddr) -> bool {
    matches!(reach_of(address), Reach::Public)
}

target!(
    /// No IPv6 spelling of an IPv4 address reaches further than the address itself.
    addresses,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        if let Ok(address) = text.trim().parse::<IpAddr>() {
            let is_local = match address {
                IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
                IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local(),
            };
            assert!(!is_local || !is_public(address), "{address}");
        }
        let mut octets = [0; 4];
        for (to, from) in octets.iter_mut().zip(input.iter().rev()) {
            *to = *from;
        }
        let v4 = Ipv4Addr::from(octets);
        let [high, low] = [u16::from_be_bytes([octets[0], octets[1]]), u16::from_be_bytes([octets[2], octets[3]])];
        for disguised in [
            v4.to_ipv6_mapped(),
            v4.to_ipv6_compatible(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x2606, 0x4700, 0, 1, 0x200, 0x5efe, high, low),
        ] {
            assert!(!is_public(disguised.into()) || is_public(v4.into()), "{disguised} reaches further than {v4}");
        }
    }
);
