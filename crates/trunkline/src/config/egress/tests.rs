//! What `egress` may say, and what is told where it is wrong.

use std::path::Path;
use std::time::Duration;

use outbound::EgressRule;

use crate::config::entry::Shape;
use crate::config::{Config, parse};

struct Pair {
    chain: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    Pair { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn read(folder: &Path, text: &str) -> Config {
    let env = |name: &str| match name {
        "PASSWORD" => Some("s3cret".to_owned()),
        "HTTPS_PROXY" => Some("http://me:s3%63ret@proxy.example:3128".to_owned()),
        "NO_PROXY" => Some("localhost, .corp".to_owned()),
        _ => None,
    };
    parse(Some(&folder.join("trunkline.yaml")), text, &env)
}

fn told(config: &Config) -> Vec<String> {
    config.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_key_is_read_and_nothing_secret_shows() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair();
    std::fs::write(folder.path().join("ca.pem"), &pair.chain).unwrap();
    std::fs::write(folder.path().join("key.pem"), &pair.key).unwrap();
    let config = read(
        folder.path(),
        "egress:\n  ca: ca.pem\n  system_ca: false\n  proxy: https://proxy.example:3128\n  proxy_auth: { username: me, password: \"${PASSWORD}\" }\n  no_proxy: [.corp, 10.0.0.0/8]\n  dns: [10.0.0.53, \"[::1]:5353\"]\n  timeouts: { connect: 2, tls: 3, first_byte: 4, idle: 5, total: 6.5 }\n  redirects: true\n  http2: never\nintegrations:\n  a: { url: https://a.example/mcp, egress: { cert: ca.pem, key: key.pem, timeouts: { idle: 50 }, proxy: none, http2: auto, response_bytes: 2048 } }\n  b: { url: https://b.example/mcp }\n",
    );
    assert_eq!(told(&config), Vec::<String>::new());
    let own = config.entries[0].shape.egress().unwrap();
    let (hubs, rule) = (&config.egress, EgressRule::default());
    let route = own.build(hubs, rule, None).unwrap();
    let times = route.times();
    assert_eq!((times.connect, times.idle), (Duration::from_secs(2), Some(Duration::from_secs(50))));
    assert_eq!(times.total, Some(Duration::from_millis(6500)));
    let shown = format!("{route:?} {config:?}");
    assert!(shown.contains("http2: Auto") && shown.contains("proxy: None"), "what it says goes first");
    let plain = config.entries[1].shape.egress().unwrap().build(hubs, rule, None).unwrap();
    let plain = format!("{plain:?}");
    assert!(plain.contains("Proxy(proxy.example:3128)") && plain.contains("http2: Never"), "{plain}");
    assert!(!shown.contains("s3cret") && !shown.contains("BEGIN PRIVATE"));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (pair(), pair());
    for (name, text) in
        [("one.pem", &*one.chain), ("one.key", &*one.key), ("other.key", &*other.key), ("no.pem", "hello")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    for (text, wanted) in [
        ("egress: { ca: gone.pem }", ":1:15: egress.ca: "),
        ("egress: { ca: gone.pem }", "cannot be read: No such file"),
        ("egress: { ca: no.pem }", "egress.ca: no.pem: there is no certificate in it"),
        ("egress: { system_ca: false }", "egress.ca: missing beside `system_ca: false`"),
        ("egress: { proxy: \"socks5://x\" }", "`socks5://x` is no proxy: only http:// and https://"),
        ("egress: { proxy: \"http://u:p@x\" }", "its credentials are given apart"),
        ("egress: { proxy_auth: { username: a, password: \"${PASSWORD}\" } }", "there is no `proxy`"),
        ("egress: { proxy: \"http://x\", proxy_auth: { username: a } }", "needs `username` and `password`"),
        ("egress: { no_proxy: [\"http://x\"] }", "egress.no_proxy: `http://x` is no host"),
        ("egress: { dns: ns.example }", "egress.dns: `ns.example` is not the address of a name server"),
        ("egress: { timeouts: { idle: 0 } }", "egress.timeouts.idle: 0 is outside of 0.001 to"),
        ("egress: { http2: yes }", "allowed: auto, never, always"),
        ("egress: { private: true }", "egress.private: unknown key"),
        ("egress: { cert: one.pem }", "egress.cert: unknown key"),
    ] {
        let config = read(folder.path(), text);
        assert!(config.is_fatal(), "{text}");
        assert!(told(&config).iter().any(|line| line.contains(wanted)), "{text}: {:#?}", told(&config));
    }
    for (said, wanted) in [
        ("cert: one.pem", "integrations.a.egress.key: missing beside `cert`"),
        ("cert: one.pem, key: gone.key", "egress.key: "),
        ("cert: one.pem, key: other.key", "the private key does not belong to the certificate"),
        ("cert: no.pem, key: one.key", "egress.cert: no.pem: there is no certificate in it"),
    ] {
        let config = read(
            folder.path(),
            &format!("integrations:\n  a: {{ url: \"https://a.example\", egress: {{ {said} }} }}\n"),
        );
        assert!(!config.is_fatal() && config.has_errors(), "{said}: one entry stops no other");
        assert!(told(&config).iter().any(|line| line.contains(wanted)), "{said}: {:#?}", told(&config));
        assert!(matches!(config.entries[0].shape, Shape::Broken(_)));
    }
}

#[test]
fn the_environments_proxy_counts_where_the_file_says_so_and_only_there() {
    let folder = tempfile::tempdir().unwrap();
    let route = |text: &str| {
        let config = read(folder.path(), text);
        assert_eq!(told(&config), Vec::<String>::new());
        let route = config.egress.build(&Default::default(), EgressRule::default(), None).unwrap();
        format!("{route:?} {config:?}")
    };
    assert!(route("egress: { http2: auto }").contains("proxy: None"));
    let shown = route("egress: { proxy: environment }");
    assert!(shown.contains("Proxy(proxy.example:3128)") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_file_with_other_certificates_makes_another_entry() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "egress: { ca: ca.pem }\nintegrations:\n  a: { url: https://a.example, egress: { ca: ca.pem } }\n";
    std::fs::write(folder.path().join("ca.pem"), pair().chain).unwrap();
    let first = read(folder.path(), text);
    let again = read(folder.path(), text);
    std::fs::write(folder.path().join("ca.pem"), pair().chain).unwrap();
    let other = read(folder.path(), text);
    assert!(first.entries[0].is_same_as(&again.entries[0]));
    assert!(!first.entries[0].is_same_as(&other.entries[0]));
    assert_eq!(first.egress.said().expose(), again.egress.said().expose());
    assert_ne!(first.egress.said().expose(), other.egress.said().expose());
}

#[test]
fn connections_of_the_api_choose_times_and_no_files_or_proxies() {
    let stored = |egress: serde_json::Value| {
        let config = serde_json::json!({ "url": "https://a.example/mcp", "egress": egress });
        crate::config::entry::of_stored("a".parse().unwrap(), &config, &Default::default(), false).shape
    };
    let shape = stored(serde_json::json!({ "timeouts": { "idle": 5 }, "http2": "never", "redirects": true }));
    let route = shape.egress().unwrap().build(&Default::default(), EgressRule::default(), None).unwrap();
    assert_eq!(route.times().idle, Some(Duration::from_secs(5)));
    for key in ["ca", "cert", "key", "proxy", "no_proxy", "dns", "system_ca"] {
        let Shape::Broken(why) = stored(serde_json::json!({ key: "/etc/passwd" })) else { panic!("{key}") };
        assert!(why.contains(&format!("connection_config.egress.{key}: unknown key")), "{why}");
    }
}
