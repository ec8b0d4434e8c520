//! `identity::Origins`: which Host and Origin a request may name, against rebinding.

use std::net::IpAddr;

use fuzz::{parts, target};
use identity::Origins;

/// The host in an authority, spelled like a list would: lower case, no port, no brackets, no last dot.
fn host_of(authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let name = match lower.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default().to_owned(),
        None => lower.split(':').next().unwrap_or_default().to_owned(),
    };
    name.strip_suffix('.').map_or(name.clone(), str::to_owned)
}

fn is_ours(name: &str) -> bool {
    ["localhost", "hub.example.com", "box.lan", "10.0.0.5"].contains(&name)
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

target!(
    /// What passes names a host of ours, whole, with nothing before, behind or between.
    /// Parts: the target's authority, Host, Origin; one that is empty is not sent.
    origins,
    |input: &[u8]| {
        let parts: Vec<_> = parts(input).into_iter().map(String::from_utf8_lossy).collect();
        let sent = |at: usize| parts.get(at).map(|text| &**text).filter(|text| !text.is_empty());
        let (named, host, origin) = (sent(0), sent(1), sent(2));
        let ours = Origins::new("10.0.0.5:4780", "https://hub.example.com", &["box.lan".to_owned()], &[]);
        let check = |hosts: &[&str], origins: &[&str]| {
            ours.check(named, hosts.iter().copied(), origins.iter().copied())
        };
        let hosts: Vec<_> = host.into_iter().collect();
        let origins: Vec<_> = origin.into_iter().collect();
        match check(&hosts, &origins) {
            Ok(()) => {
                assert!(named.is_some() || host.is_some());
                for authority in [named, host].into_iter().flatten() {
                    assert!(is_ours(&host_of(authority)), "{authority:?}");
                    assert!(!authority.contains(['/', '@', '?', '#', '\\', '%', ' ', ',']), "{authority:?}");
                }
                if let Some(origin) = origin {
                    let (scheme, rest) = origin.split_once("://").expect("an origin has a scheme");
                    assert!(["http", "https"].contains(&&*scheme.to_ascii_lowercase()));
                    let authority = rest.split('/').next().unwrap_or_default();
                    assert!(is_ours(&host_of(authority)) && !authority.contains('@'), "{origin:?}");
                }
                if let Some(host) = host {
                    assert!(check(&[host, host], &origins).is_err(), "Host twice");
                }
                if let Some(origin) = origin {
                    assert!(check(&hosts, &[origin, origin]).is_err(), "Origin twice");
                }
            }
            Err(fault) => assert_eq!(fault.code, model::Code::FOREIGN_ORIGIN),
        }
    }
);
