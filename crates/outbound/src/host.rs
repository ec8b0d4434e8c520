//! How a host is written: one reading of it, before anything is looked up.
//!
//! A resolver, a browser and a proxy do not agree on what `127.1`, `0x7f.1` or `２１３０７０６４３３` is. So whatever
//! looks like a number is read here, by the rules of the WHATWG URL standard, and judged as the address that
//! it is; what is neither an address nor a plain name is refused, and no resolver ever sees it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name, and longest label of one (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// A host, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address, however it was written.
    Address(IpAddr),
    /// `localhost` or a name below it: this machine, whatever a resolver says (RFC 6761 §6.3).
    Local(String),
    /// A name for the resolver, in lower case.
    Name(String),
}

impl Host {
    /// Reads a host as it stands in a URL: IPv6 in brackets.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or("a bracket of the host is missing")?;
            return read_v6(inner);
        }
        if text.is_empty() {
            return Err("it has no host");
        }
        if !text.is_ascii() {
            return Err("the host holds letters or digits beyond ASCII; write its `xn--` form");
        }
        if text.contains('%') {
            return Err("the host is percent-encoded; write it plainly");
        }
        if text.contains(':') {
            return Err("an IPv6 address stands in brackets");
        }
        if text.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !b"-_.".contains(&byte)) {
            return Err("the host holds characters that no host name has");
        }
        // One dot at the end only says that the name is whole.
        let bare = text.strip_suffix('.').unwrap_or(text);
        if ends_in_a_number(bare) {
            return read_v4(bare).map(|v4| Self::Address(v4.into()));
        }
        if bare.len() > NAME_MAX || bare.split('.').any(|label| label.is_empty() || label.len() > LABEL_MAX) {
            return Err("the host has an empty or overlong part");
        }
        let name = text.to_ascii_lowercase();
        let is_local =
            matches!(bare.rsplit('.').next(), Some(last) if last.eq_ignore_ascii_case("localhost"));
        Ok(if is_local { Self::Local(name) } else { Self::Name(name) })
    }
}

/// As in a URL, IPv6 without its brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Local(name) | Self::Name(name) => f.write_str(name),
        }
    }
}

/// `host`, `host:port` or `[v6]:port`, read; the port only where one is written.
pub(crate) fn read_authority(text: &str) -> Result<(Host, Option<u16>), &'static str> {
    if text.contains('@') {
        return Err("credentials belong into `auth`, not into the URL");
    }
    let (host, port) = match text.find(']') {
        Some(end) => {
            let (host, behind) = text.split_at(end + 1);
            match behind.strip_prefix(':') {
                Some(port) => (host, port),
                None if behind.is_empty() => (host, ""),
                None => return Err("something stands between the host and the port"),
            }
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if port.contains(':') {
        return Err("an IPv6 address stands in brackets");
    }
    let host = Host::read(host)?;
    if port.is_empty() {
        return Ok((host, None));
    }
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number @ 1..) if is_plain => Ok((host, Some(number))),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

fn read_v6(inner: &str) -> Result<Host, &'static str> {
    if inner.contains('%') {
        return Err("an address with a zone cannot be called: it means something on one machine only");
    }
    let address: Ipv6Addr = inner.parse().map_err(|_| "what stands in brackets is no IPv6 address")?;
    Ok(Host::Address(address.into()))
}

/// WHATWG URL §3.5, "ends in a number": then it is an IPv4 address or nothing.
fn ends_in_a_number(bare: &str) -> bool {
    let last = bare.rsplit('.').next().unwrap_or_default();
    (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) || hex_digits(last).is_some()
}

fn hex_digits(part: &str) -> Option<&str> {
    let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"))?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)
}

/// WHATWG URL §3.5, the IPv4 parser: up to four parts, decimal, octal (`0..`) or hexadecimal (`0x..`); the
/// last one fills what is left.
fn read_v4(bare: &str) -> Result<Ipv4Addr, &'static str> {
    const BAD: &str = "the host looks like a number and is no IPv4 address";
    let mut address: u64 = 0;
    let mut parts = bare.split('.').peekable();
    let mut count = 0_u32;
    while let Some(part) = parts.next() {
        let number = read_number(part).ok_or(BAD)?;
        if count >= 4 {
            return Err(BAD);
        }
        let is_last = parts.peek().is_none();
        // The last part covers the bytes that no other part has named.
        let bytes_left = 4 - count;
        if is_last {
            if number >= 1 << (8 * bytes_left) {
                return Err(BAD);
            }
            address |= number;
        } else {
            if number > 255 || bytes_left == 1 {
                return Err(BAD);
            }
            address |= number << (8 * (bytes_left - 1));
        }
        count += 1;
    }
    u32::try_from(address).map(Ipv4Addr::from).map_err(|_| BAD)
}

fn read_number(part: &str) -> Option<u64> {
    let (digits, radix) = match hex_digits(part) {
        // `0x` alone is zero.
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if part.len() > 1 && part.starts_with('0') => (part, 8),
        None => (part, 10),
    };
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_plain { u64::from_str_radix(digits, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Host, read_authority};

    #[test]
    fn numbers_are_the_addresses_that_a_browser_takes_them_for() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1.", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7F000001", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("1.2.3", "1.2.0.3"),
            ("0", "0.0.0.0"),
            ("0x", "0.0.0.0"),
            ("0xffffffff", "255.255.255.255"),
            ("[::1]", "::1"),
            ("[0:0::FFFF:7f00:1]", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(Host::read(text), Ok(Host::Address(address.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn what_is_neither_an_address_nor_a_plain_name_is_refused() {
        for text in [
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.256",
            "1.2.65536",
            "1.16777216",
            "4294967296",
            "0x100000000",
            "08",
            "09.1.1.1",
            "1..2",
            ".1",
            "1.2.3.4..",
            "foo.1",
            "foo.0x1",
            "a..b",
            ".a",
            "a..",
            ".",
            "",
            "１２７.1",
            "127。0。0。1",
            "%31",
            "a b",
            "a\tb",
            "a\0b",
            "a/b",
            "a\\b",
            "a*b",
            "a@b",
            "[",
            "[]",
            "[1.2.3.4]",
            "[::1",
            "[::1%lo]",
            "[::1%25lo]",
            "[v1.x]",
            "[::g]",
            "::1",
            "99999999999999999999999",
            "1.2.3.0x",
        ] {
            let read = Host::read(text);
            // `1.2.3.0x` is 1.2.3.0 in a browser as well.
            let is_browsers = text == "1.2.3.0x";
            assert_eq!(read.is_ok(), is_browsers, "{text}: {read:?}");
        }
        assert!(Host::read(&"a".repeat(64)).is_err());
        assert!(Host::read(&"a.".repeat(127)).is_ok() && Host::read(&"a.".repeat(128)).is_err());
    }

    #[test]
    fn names_stay_names_and_localhost_is_known_without_asking() {
        for text in
            ["Example.COM", "a_b.example", "xn--bcher-kva.example", "example.com.", "1.example", "0x1.a", "e"]
        {
            assert_eq!(Host::read(text), Ok(Host::Name(text.to_ascii_lowercase())), "{text}");
        }
        for text in ["localhost", "LocalHost.", "a.b.localhost", "x.localhost."] {
            assert_eq!(Host::read(text), Ok(Host::Local(text.to_ascii_lowercase())), "{text}");
        }
        assert!(matches!(Host::read("localhost.example"), Ok(Host::Name(_))));
        assert!(matches!(Host::read("notlocalhost"), Ok(Host::Name(_))));
    }

    #[test]
    fn ports_are_numbers_or_absent_and_never_guessed() {
        let port = |text| read_authority(text).map(|(_, port)| port);
        assert_eq!(port("a:1"), Ok(Some(1)));
        assert_eq!(port("[::1]:65535"), Ok(Some(65535)));
        assert_eq!((port("a"), port("a:"), port("[::1]")), (Ok(None), Ok(None), Ok(None)));
        for bad in [
            "a:0", "a:65536", "a:+1", "a:1x", "a:-1", "a:1:2", "::1", "::1:80", "[::1]80", "u@a", "u:p@a",
            "a:１",
        ] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
