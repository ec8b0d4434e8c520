//! The table of hostile hosts: every spelling and every kind of address, with what becomes of it where private
//! addresses are allowed and where they are not, written as a literal and as what a name resolves to.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use outbound::{EgressRule, OutboundError, Route, Target, dial_tcp};

use crate::dns::Says;
use crate::site::{get, listener};

/// Never reached, whatever is allowed: addresses.
const NEVER: &str = "
0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255
169.254.0.0 169.254.0.1 169.254.0.23 169.254.1.1 169.254.169.123 169.254.169.253 169.254.169.254 169.254.170.2
169.254.170.23 169.254.255.255 100.100.100.200 168.63.129.16
192.0.0.0 192.0.0.1 192.0.0.8 192.0.0.170 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.1 192.0.2.255
198.51.100.0 198.51.100.7 198.51.100.255 203.0.113.0 203.0.113.9 203.0.113.255
192.88.99.0 192.88.99.1 192.88.99.255 192.31.196.1 192.52.193.1 192.175.48.1
224.0.0.0 224.0.0.1 224.0.0.251 232.1.1.1 239.255.255.250 239.255.255.255
240.0.0.0 240.0.0.1 250.1.1.1 255.255.255.254 255.255.255.255
[::] [0:0:0:0:0:0:0:0] [::2] [fe80::] [fe80::1] [fe80::a00:1] [febf::1] [fec0::1] [feff::1]
[ff00::] [ff01::1] [ff02::1] [ff02::fb] [ff05::2] [ff0e::1] [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]
[fd00:ec2::254] [fd00:ec2::23] [fd00:ec2::123] [fd00:ec2::253] [fd00:0ec2:0::0254] [fd20:ce::254] [fd00:42::42]
[64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b::10.0.0.1] [64:ff9b::192.168.0.1] [64:ff9b::172.16.0.1]
[64:ff9b::100.64.0.1] [64:ff9b::169.254.169.254] [64:ff9b::a9fe:a9fe] [64:ff9b::0.0.0.0] [64:ff9b::224.0.0.1]
[64:ff9b::168.63.129.16] [64:ff9b:1::1] [64:ff9b:1::127.0.0.1] [64:ff9b:1:ffff::8.8.8.8] [64:ff9b:2::1]
[::ffff:169.254.169.254] [::ffff:a9fe:a9fe] [::ffff:0.0.0.0] [::ffff:0:0] [::ffff:224.0.0.1]
[::ffff:255.255.255.255] [::ffff:100.100.100.200] [::ffff:168.63.129.16] [::ffff:192.0.2.1]
[::169.254.169.254] [::a9fe:a9fe] [::224.0.0.1] [::ffff:0:127.0.0.1] [::ffff:0:10.0.0.1] [::ffff:0:8.8.8.8]
[2002:a9fe:a9fe::] [2002:a9fe:a9fe::1] [2002:0:0::] [2002:e000:1::] [2002:ffff:ffff::] [2002:6464:64c8::1]
[2002:a83f:8110::1] [2001::] [2001::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001:0:ffff::]
[2001:1::1] [2001:2::1] [2001:3::1] [2001:4:112::1] [2001:10::1] [2001:20::1] [2001:30::1] [2001:1ff::1]
[2001:db8::1] [2001:db8:ffff::1] [3fff::1] [3fff:fff::1] [100::1] [100:0:0:1::1] [2620:4f:8000::1] [5f00::1]
[4000::1] [1::1] [200::1] [400::1] [8000::1] [c000::1] [e000::1] [f000::1] [fa00::1] [fb00::1] [fe00::1] [fe7f::1]
[2606:4700::5efe:169.254.169.254] [2606:4700::200:5efe:169.254.169.254] [2606:4700::5efe:0.0.0.0]
[2606:4700:0:0:300:5efe:a9fe:a9fe] [fe80::5efe:8.8.8.8] [fe80::200:5efe:10.0.0.1] [fd00::5efe:169.254.169.254]
";

/// The same, in spellings that have to be read first.
const NEVER_SPELT: &str = "
0 00 0x0 0x 0. 0.0 0.0.0 000.000.000.000 2852039166 2852039166. 0xa9fea9fe 0XA9FEA9FE 025177524776
0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 169.16689662 169.0xfea9fe 169.254.0xa9fe 169.254.169.254.
0xa9.254.0251.254 4294967295 0xffffffff 037777777777 255.255.65535 1684301000 0x646464c8 100.100.25800 0xe0000001
2822734096 0xa83f8110
";

/// Reached only where private addresses are allowed: addresses.
const PRIVATE: &str = "
127.0.0.0 127.0.0.1 127.0.0.2 127.0.1.1 127.1.2.3 127.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255
172.16.0.0 172.16.0.1 172.17.0.1 172.31.255.255 192.168.0.0 192.168.0.1 192.168.1.254 192.168.255.255
100.64.0.0 100.64.0.1 100.127.255.255 198.18.0.0 198.18.0.1 198.19.255.255
[::1] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [::0.0.0.1]
[fc00::1] [fd00::1] [fd12:3456:789a::1] [fdff:ffff::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:7F00:0001]
[0:0:0:0:0:ffff:127.0.0.1] [::ffff:10.0.0.1] [::ffff:192.168.1.1] [::ffff:172.16.0.1] [::ffff:100.64.0.1]
[::127.0.0.1] [::7f00:1] [::10.0.0.1] [::192.168.0.1] [2002:7f00:1::] [2002:7f00:1::1] [2002:a00:1::]
[2002:c0a8:101::1] [2002:ac10:1::1] [2002:6440:1::1] [2606:4700::5efe:127.0.0.1] [2606:4700::5efe:10.0.0.1]
[2606:4700::200:5efe:192.168.1.1] [2606:4700::100:5efe:10.0.0.1] [2a00:1450:4001:800:0:5efe:a00:1]
[fd00::5efe:8.8.8.8] [2002:808:808::5efe:10.0.0.1]
";

/// The same, in spellings that have to be read first; and `localhost`, which no resolver is asked for.
const PRIVATE_SPELT: &str = "
127.1 127.0.1 127.1. 127.0.0.1. 0x7f000001 0X7F000001 0x7f.1 0x7F.1 0x7f.0.0.1 0x7f.0x0.0x0.0x1 2130706433
2130706433. 017700000001 0177.1 0177.0.0.1 0177.0.0.01 0177.0000.0000.0001 00000177.1 127.0x1 127.0.01 127.0.0x1
127.0.0.0x1 127.0.0.0x 0x000000000000007f000001 0x0000007f.1 127.65535 127.16777215
10.1 10.0.1 0xa000001 012.1 167772161 192.168.257 192.11010305 0xc0a80101 3232235777 0300.0250.1.1
172.1048577 0xac100001 2886729729 100.4194305 0x64400001 1681915905
localhost LOCALHOST LocalHost localhost. a.localhost a.b.localhost x.LOCALHOST. 1.localhost metadata.localhost
";

/// Neither an address nor a name. One row a line, with Rust's escapes spelt out by the array.
const UNREADABLE: &[&str] = &[
    // Numbers that are no address.
    "256.0.0.1",
    "1.2.3.4.5",
    "127.0.0.1.1",
    "127.0.0.256",
    "127.0.0.0400",
    "08.0.0.1",
    "127.0.0.09",
    "0x7g.1",
    "127..1",
    ".127.0.0.1",
    "127.0.0.1..",
    "4294967296",
    "0x1ffffffff",
    "99999999999",
    "040000000000",
    "127.0.65536",
    "127.16777216",
    "1.256.1",
    "foo.127",
    "foo.0x7f",
    "foo.127.0.0.1",
    "localhost.0x",
    "2130706433.0",
    "0x7f..1",
    "1.2.3.4.5.6.7.8",
    "127.0.0.1.0x0",
    "18446744073709551617",
    "0x10000000000000001",
    "+127.0.0.1",
    // Encodings that somebody else would undo.
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "127.0.0.1%00",
    "127.0.0.1%2f",
    "localhost%00",
    "%6cocalhost",
    "127.0.0.1%20",
    // Letters and digits that somebody else would fold.
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "①②⑦.0.0.1",
    "ⓛocalhost",
    "ｌocalhost",
    "l\u{ad}ocalhost",
    "127.0.0.1\u{200b}",
    "ex\u{430}mple.com",
    "bücher.example",
    "٣٢٤.0.0.1",
    "\u{202e}localhost",
    "loca\u{301}lhost",
    // IPv6 that is none, and zones.
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[::1%1]",
    "[127.0.0.1]",
    "[::ffff:127.1]",
    "[::ffff:0x7f.0.0.1]",
    "[::ffff:0177.0.0.1]",
    "[1:2:3]",
    "[:::1]",
    "[::1::]",
    "[::10000]",
    "[v1.127]",
    "[::1",
    "::1]",
    "[]",
    "[[::1]]",
    "[::1]x",
    "[ ::1]",
    "::1",
    "fe80::1",
    "[localhost]",
    // Where one reader sees a user, another a host.
    "user@127.0.0.1",
    "user:pw@127.0.0.1",
    "127.0.0.1@example.com",
    "example.com@127.0.0.1",
    "@127.0.0.1",
    "127.0.0.1\\@example.com",
    "example.com\\.127.0.0.1",
    "a\\b",
    "127.0.0.1:80:81",
    // White space, control characters, and what no name has.
    " 127.0.0.1",
    "127.0.0.1 ",
    "\t127.0.0.1",
    "127.0.0.1\n",
    "127.0.0.1\r",
    "exa\nmple.com",
    "a b",
    "a\tb",
    "a\0b",
    "\u{7f}a",
    "*",
    "a*b",
    "$",
    "a,b",
    "a;b",
    "(a)",
    "a'b",
    "a\"b",
    "<a>",
    "a^b",
    "a|b",
    "`a`",
    "{a}",
    "a=b",
    "!",
    // Dots in the wrong places.
    ".",
    "..",
    "...",
    ".localhost",
    "localhost..",
    "a..localhost",
    "example.com..",
    "a..b",
    ".example.com",
];

/// Controls: what a guard that refuses everything would get wrong.
const PUBLIC: &str = "
1.0.0.0 1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255
192.169.0.0 100.63.255.255 100.128.0.0 169.253.255.255 169.255.0.0 198.17.255.255 198.20.0.0 223.255.255.255
0x08080808 134744072 010.8.8.8 8.8.2056 8.8.8.8.
[2606:4700::1111] [2001:200::1] [2001:4860:4860::8888] [2400::1] [64:ff9b::8.8.8.8] [2002:808:808::]
[::ffff:8.8.8.8] [::8.8.8.8] [2606:4700::5efe:8.8.8.8] [3fff:1000::1]
";

fn rows(text: &'static str) -> Vec<&'static str> {
    text.split_whitespace().collect()
}

fn route(private_allowed: bool, says: &Arc<Says>) -> Route {
    let rule = EgressRule { private_allowed };
    let resolver = Arc::clone(says) as Arc<dyn outbound::Resolver>;
    Route::builder(rule).connect_timeout(Duration::from_secs(2)).resolver(resolver).build().unwrap()
}

/// Refused by the reader of hosts or by the guard: before a resolver or a socket has come into it.
fn is_refused(error: &OutboundError) -> bool {
    matches!(error, OutboundError::BadUrl { .. } | OutboundError::Refused { .. })
}

#[tokio::test]
async fn no_hostile_row_gets_a_socket_and_only_the_private_ones_do_where_that_is_allowed() {
    let listener = listener("127.0.0.1:0").await;
    let says = Arc::new(Says::new(&["127.0.0.1"]));
    let (closed, open) = (route(false, &says), route(true, &says));
    let mut count = 0;
    let never = [rows(NEVER), rows(NEVER_SPELT), UNREADABLE.to_vec()].concat();
    let private = [rows(PRIVATE), rows(PRIVATE_SPELT)].concat();
    for (row, is_private) in never.iter().map(|r| (r, false)).chain(private.iter().map(|r| (r, true))) {
        count += 1;
        let authority = format!("{row}:{}", listener.port);
        // Over HTTP and as a raw dial, with nothing private allowed.
        let error = get(&format!("http://{authority}/s3cr3t"), &closed).await.expect_err(row);
        assert!(is_refused(&error), "{row:?}: {error}");
        assert!(!error.to_string().contains("s3cr3t"), "{error}");
        let error = dial_tcp(&authority, &closed).await.expect_err(row);
        assert!(is_refused(&error), "{row:?}: {error}");
        // With it allowed: asked only, so that no test calls on somebody's neighbours.
        match open.resolve(row, 80).await {
            Ok(found) => assert!(is_private, "{row:?} leads to {found:?}"),
            Err(error) => {
                assert!(!is_private && is_refused(&error), "{row:?}: {error}");
                assert!(get(&format!("http://{authority}/"), &open).await.is_err(), "{row:?}");
                assert!(dial_tcp(&authority, &open).await.is_err(), "{row:?}");
            }
        }
    }
    assert!(count >= 250, "{count} rows");
    assert_eq!(listener.seen(), 0, "no row has reached the listener");
    assert_eq!(says.asked(), 0, "no row has reached a resolver");
    // The listener is real: where it is allowed, it is reached.
    assert!(dial_tcp(&format!("127.1:{}", listener.port), &open).await.is_ok());
    listener.wait_for(1).await;
}

#[tokio::test]
async fn what_a_name_resolves_to_is_judged_like_what_is_written() {
    let listener = listener("127.0.0.1:0").await;
    for (list, is_private) in [(NEVER, false), (PRIVATE, true)] {
        for row in rows(list) {
            let address = row.trim_matches(['[', ']']);
            let says = Arc::new(Says::new(&[address]));
            let (closed, open) = (route(false, &says), route(true, &says));
            let authority = format!("harmless.example:{}", listener.port);
            let error = get(&format!("http://{authority}/"), &closed).await.expect_err(row);
            assert!(matches!(error, OutboundError::Refused { .. }), "{row}: {error}");
            let error = dial_tcp(&authority, &closed).await.expect_err(row);
            assert!(matches!(error, OutboundError::Refused { .. }), "{row}: {error}");
            assert_eq!(open.resolve("harmless.example", 80).await.is_ok(), is_private, "{row}");
            assert_eq!(says.asked(), 3, "{row}: each dial asks once");
        }
    }
    assert_eq!(listener.seen(), 0);
}

#[tokio::test]
async fn public_hosts_pass_however_they_are_written() {
    let says = Arc::new(Says::new(&["1.1.1.1"]));
    let closed = route(false, &says);
    for row in rows(PUBLIC) {
        let found = closed.resolve(row, 80).await.unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!(found.len(), 1, "{row}");
    }
    assert_eq!(says.asked(), 0);
    for name in [
        "a_b.example",
        "_dns.example",
        "xn--bcher-kva.example",
        "example.com.",
        "localhost.example",
        "1.example",
    ] {
        let found = closed.resolve(name, 80).await.unwrap();
        assert_eq!(found, ["1.1.1.1:80".parse().unwrap()], "{name}");
    }
    assert_eq!(says.asked(), 6);
}

#[tokio::test]
async fn of_the_addresses_of_a_name_only_those_that_pass_are_left() {
    let says = Arc::new(Says::new(&["127.0.0.1", "1.1.1.1", "10.0.0.1", "fe80::1", "2606:4700::1111"]));
    let left = |found: Vec<std::net::SocketAddr>| found.iter().map(|at| at.ip()).collect::<Vec<IpAddr>>();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let closed = route(false, &says).resolve("mixed.example", 80).await.unwrap();
    assert_eq!(left(closed), [ip("1.1.1.1"), ip("2606:4700::1111")]);
    let open = route(true, &says).resolve("mixed.example", 80).await.unwrap();
    assert_eq!(left(open), [ip("127.0.0.1"), ip("1.1.1.1"), ip("10.0.0.1"), ip("2606:4700::1111")]);
}

#[tokio::test]
async fn parts_of_a_url_that_look_like_a_host_are_not_taken_for_one() {
    let says = Arc::new(Says::new(&["1.1.1.1"]));
    let closed = route(false, &says);
    for url in [
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1?@example.com/",
        "http://127.0.0.1/@example.com",
        "HTTP://127.0.0.1/",
        "http://localhost?.example.com",
    ] {
        let error = get(url, &closed).await.expect_err(url);
        assert!(matches!(error, OutboundError::Refused { .. }), "{url}: {error}");
    }
    for url in [
        "http:///127.0.0.1/",
        "http:127.0.0.1",
        "http:/127.0.0.1",
        "//127.0.0.1/",
        "http:\\\\127.0.0.1/",
        " http://127.0.0.1/",
        "http://example.com:80@127.0.0.1/",
        "http://example.com:/@x:1:2/",
        "file://127.0.0.1/",
        "gopher://127.0.0.1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:+80/",
        "http://127.0.0.1:8 0/",
        "http://a/b c",
        "http://a/b\r\nx: y",
        "http://a/\u{e9}",
    ] {
        let is_read = Target::parse(url, &closed).is_ok();
        // A colon without a port is the default port, and the rest of that row is path.
        assert_eq!(is_read, url.starts_with("http://example.com:/"), "{url:?}");
    }
    let error = dial_tcp("user:s3cr3t@127.0.0.1:80", &closed).await.unwrap_err();
    assert!(
        matches!(error, OutboundError::BadUrl { .. }) && !error.to_string().contains("s3cr3t"),
        "{error}"
    );
    assert_eq!(says.asked(), 0);
}
