//! Reading `egress`: every key with what is wrong with it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::Secret;
use outbound::{Bypass, EgressRule, Http2, OutboundError, Proxy, Route};

use super::{Egress, PROXY_RULE, Proxied, SaidTimes};
use crate::config::fields::{Fields, Reading};
use crate::config::tree::{Mark, Value};

/// The longest file of certificates.
const PEM_MAX: u64 = 4 << 20;
/// Name servers of one route.
const SERVERS_MAX: usize = 8;

/// Who says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Hub,
    Entry,
    /// A connection that was made through the API: files, proxies and name servers of this machine are not its to
    /// choose.
    Stored,
}

/// Reads the hub's `egress`.
pub(crate) fn read_hub(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Egress {
    read(top, Whose::Hub, reading)
}

/// Reads that of an entry.
pub(crate) fn read_entry(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Egress {
    let whose = if reading.is_stored { Whose::Stored } else { Whose::Entry };
    read(fields, whose, reading)
}

fn read(outer: &mut Fields<'_>, whose: Whose, reading: &mut Reading<'_>) -> Egress {
    let Some(mut fields) = outer.map("egress", reading) else { return Egress::default() };
    let before = reading.problems.len();
    let mut egress = Egress { times: times(&mut fields, reading), ..Egress::default() };
    egress.redirects = fields.flag("redirects", reading);
    let words = [("auto", Http2::Auto), ("never", Http2::Never), ("always", Http2::Always)];
    egress.http2 = fields.choice("http2", &words, reading);
    if whose != Whose::Hub {
        egress.private = fields.flag("private", reading);
        let bytes = fields.count("response_bytes", 1024, 1 << 30, reading);
        egress.response_bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    }
    if whose == Whose::Entry {
        egress.identity = identity(&mut fields, reading);
    }
    if whose != Whose::Stored {
        egress.ca = authorities(&mut fields, reading);
        egress.system_ca = fields.flag("system_ca", reading);
        if egress.system_ca == Some(false) && egress.ca.is_none() && whose == Whose::Hub {
            let hint = "name the PEM files of those that are trusted instead".to_owned();
            reading.error(fields.at, &fields.key("ca"), "missing beside `system_ca: false`", Some(hint));
        }
        proxy(&mut fields, &mut egress, reading);
        egress.servers = servers(&mut fields, reading);
    }
    let at = fields.at;
    let path = fields.key("");
    fields.finish(reading);
    // Certificates that do not fit each other are told at once, not at the first call.
    if !reading.has_errors_since(before)
        && let Err(error) = egress.build(&Egress::default(), EgressRule::default(), None)
    {
        let fault = model::Fault::from(error);
        reading.error(
            at,
            path.trim_end_matches('.'),
            fault.detail,
            Some("correct the files it names".to_owned()),
        );
    }
    egress
}

fn times(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> SaidTimes {
    let Some(mut map) = fields.map("timeouts", reading) else { return SaidTimes::default() };
    let mut seconds = |name, max| {
        let found = map.number(name, 0.001, max, reading)?;
        Some(Duration::from_secs_f64(found))
    };
    let times = SaidTimes {
        connect: seconds("connect", 300.0),
        tls: seconds("tls", 300.0),
        first_byte: seconds("first_byte", 86_400.0),
        idle: seconds("idle", 86_400.0),
        total: seconds("total", 86_400.0),
    };
    map.finish(reading);
    times
}

/// One text, or a list of them.
fn one_or_more(
    fields: &mut Fields<'_>,
    name: &'static str,
    reading: &mut Reading<'_>,
) -> Option<Vec<(Mark, String)>> {
    let node = fields.get(name, reading)?;
    if matches!(node.value, Value::List(_)) {
        let texts = fields.texts(name, reading)?;
        return Some(texts.into_iter().map(|said| (said.at, said.into_value())).collect());
    }
    let said = fields.text(name, reading)?;
    Some(vec![(said.at, said.into_value())])
}

fn authorities(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Arc<str>> {
    let key = fields.key("ca");
    let mut all = String::new();
    for (at, path) in one_or_more(fields, "ca", reading)? {
        let Some(text) = pem(at, &key, &path, reading) else { continue };
        let trusting = Route::builder(EgressRule::default()).root_certificates(&text).only_own_roots(true);
        if let Err(error) = trusting.build() {
            let hint = "name a PEM file with the certificates of authorities".to_owned();
            reading.error(at, &key, format!("{path}: {}", why(error)), Some(hint));
            continue;
        }
        all.push_str(&text);
        all.push('\n');
    }
    (!all.is_empty()).then(|| all.into())
}

fn identity(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<(Arc<str>, Secret)> {
    let (cert_key, key_key) = (fields.key("cert"), fields.key("key"));
    let (cert, key) = (fields.text("cert", reading), fields.text("key", reading));
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (Some(cert), None) => {
            let hint = "name the PEM file of the private key".to_owned();
            reading.error(cert.at, &key_key, "missing beside `cert`", Some(hint));
            return None;
        }
        (None, Some(key)) => {
            let hint = "name the PEM file of the client certificate".to_owned();
            reading.error(key.at, &cert_key, "missing beside `key`", Some(hint));
            return None;
        }
        (None, None) => return None,
    };
    let chain = pem(cert.at, &cert_key, cert.value(), reading);
    let private = pem(key.at, &key_key, key.value(), reading).map(Secret::new);
    let (chain, private) = (chain?, private?);
    let shown = Route::builder(EgressRule::default()).client_certificate(&chain, private.clone());
    if let Err(error) = shown.build() {
        let is_key = matches!(&error, OutboundError::BadRoute { what: "private key", .. });
        let (at, name, path) =
            if is_key { (key.at, &key_key, key.value()) } else { (cert.at, &cert_key, cert.value()) };
        let hint = "name PEM files of a certificate and of the private key that belongs to it".to_owned();
        reading.error(at, name, format!("{path}: {}", why(error)), Some(hint));
        return None;
    }
    Some((chain.into(), private))
}

/// Reads a file; relative paths begin at the folder of the configuration.
fn pem(at: Mark, key: &str, path: &str, reading: &mut Reading<'_>) -> Option<String> {
    let whole = reading.folder().join(path);
    match short_text(&whole) {
        Ok(text) => Some(text),
        Err(error) => {
            let hint = "name a readable PEM file; relative paths begin at this file's folder".to_owned();
            reading.error(at, key, format!("{} cannot be read: {error}", whole.display()), Some(hint));
            None
        }
    }
}

fn short_text(path: &Path) -> std::io::Result<String> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() || found.len() > PEM_MAX {
        return Err(std::io::Error::other(format!("no file, or longer than {PEM_MAX} bytes")));
    }
    std::fs::read_to_string(path)
}

fn why(error: OutboundError) -> String {
    match error {
        OutboundError::BadRoute { why, .. } => why,
        other => other.to_string(),
    }
}

fn proxy(fields: &mut Fields<'_>, egress: &mut Egress, reading: &mut Reading<'_>) {
    let key = fields.key("proxy");
    let auth = fields.map("proxy_auth", reading).map(|mut map| {
        let pair =
            (map.text("username", reading).map(|said| said.into_value()), map.secret("password", reading));
        let at = map.at;
        map.finish(reading);
        (at, pair)
    });
    let auth = auth.filter(|(_, pair)| !matches!(pair, (None, None)));
    let listed = one_or_more(fields, "no_proxy", reading);
    if let Some(said) = fields.text("proxy", reading) {
        match said.value() {
            "none" => egress.proxy = Some(None),
            "environment" => from_environment(egress, said.at, &key, reading),
            url => {
                if let Err(error) = Proxy::parse(url, PROXY_RULE) {
                    // With a user in it there may be a password too.
                    let shown = if url.contains('@') { "http://..@.." } else { said.written() };
                    let what = format!("`{shown}` is no proxy: {}", why(error));
                    let hint = "write http://host:port or https://host:port, with its credentials in `proxy_auth`; \
                                or `environment`, or `none`";
                    reading.error(said.at, &key, what, Some(hint.to_owned()));
                    return;
                }
                egress.proxy = Some(Some(Proxied { url: url.to_owned(), auth: None }));
            }
        }
    }
    match (auth, &mut egress.proxy) {
        (Some((_, (Some(user), Some(password)))), Some(Some(proxied))) => {
            proxied.auth = Some((user, password));
        }
        (Some((at, (None, _) | (_, None))), _) => {
            let hint = "say both, the password as \"${PROXY_PASSWORD}\"".to_owned();
            reading.error(at, &fields.key("proxy_auth"), "needs `username` and `password`", Some(hint));
        }
        (Some((at, _)), _) => {
            let hint = "name the proxy beside it".to_owned();
            reading.error(at, &fields.key("proxy_auth"), "there is no `proxy` that it is for", Some(hint));
        }
        (None, _) => {}
    }
    if let Some(listed) = listed {
        let mut all = Vec::new();
        for (at, one) in listed {
            if Bypass::default().add(&one) {
                all.push(one);
            } else {
                let hint =
                    "write a name, `.example.com`, an address, or a network such as 10.0.0.0/8".to_owned();
                reading.error(at, &fields.key("no_proxy"), format!("`{one}` is no host"), Some(hint));
            }
        }
        egress.no_proxy = Some(all);
    }
}

/// `HTTPS_PROXY` and its like, which count only where `proxy: environment` says so.
fn from_environment(egress: &mut Egress, at: Mark, key: &str, reading: &mut Reading<'_>) {
    let found = |names: &[&str], reading: &Reading<'_>| {
        names.iter().find_map(|name| reading.env(name).filter(|value| !value.is_empty()))
    };
    egress.proxy = Some(None);
    if let Some(url) = found(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"], reading) {
        let (bare, auth) = split_user(&url);
        // It may hold a password: nothing of it is repeated.
        if Proxy::parse(&bare, PROXY_RULE).is_err() {
            let hint = "set HTTPS_PROXY to http://host:port or https://host:port".to_owned();
            reading.error(at, key, "what the environment names is no such proxy", Some(hint));
            return;
        }
        egress.proxy = Some(Some(Proxied { url: bare, auth }));
    }
    if let Some(list) = found(&["NO_PROXY", "no_proxy"], reading) {
        let list = list.split(',').map(str::trim).filter(|one| Bypass::default().add(one));
        egress.no_proxy = Some(list.map(str::to_owned).collect());
    }
}

/// A URL without its user, and the user.
fn split_user(url: &str) -> (String, Option<(String, Secret)>) {
    let Some((scheme, rest)) = url.split_once("://") else { return (format!("http://{url}"), None) };
    let Some((user, host)) = rest.rsplit_once('@') else { return (url.to_owned(), None) };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    (format!("{scheme}://{host}"), Some((plain(user), Secret::new(plain(password)))))
}

fn servers(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Vec<SocketAddr>> {
    let key = fields.key("dns");
    let said = one_or_more(fields, "dns", reading)?;
    let mut all = Vec::new();
    for (at, one) in said {
        let found = one.parse::<SocketAddr>().ok().or_else(|| {
            let bare = one.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53))
        });
        match found {
            Some(server) if all.len() < SERVERS_MAX => all.push(server),
            Some(_) => {
                let hint = "name fewer".to_owned();
                reading.error(at, &key, format!("more than {SERVERS_MAX} name servers"), Some(hint));
            }
            None => {
                let hint = "write an IP address, with a port where it is not 53".to_owned();
                reading.error(at, &key, format!("`{one}` is not the address of a name server"), Some(hint));
            }
        }
    }
    Some(all)
}

impl Reading<'_> {
    /// The folder that relative paths begin at.
    fn folder(&self) -> PathBuf {
        self.file().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
    }
}
