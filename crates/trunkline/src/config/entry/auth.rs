//! `auth:` of an entry: which scheme, and its credentials as references.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector::oauth::Registered;
use model::Secret;
use model::id::UserId;
use store::ConnectionRow;

use crate::config::fields::{Fields, Reading};
use crate::config::said::Said;
use crate::config::tree::Mark;

/// How a connection proves itself.
#[derive(Debug, Clone)]
pub(crate) enum Auth {
    /// Not at all.
    None,
    /// With a header on every request.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
    /// With a token of OAuth 2.
    Delegated(Box<Delegation>),
}

/// What is said about OAuth 2 beforehand; the rest is asked of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delegation {
    /// A client that somebody made at the authorization server.
    pub(crate) client_id: Option<String>,
    /// Its secret.
    pub(crate) client_secret: Option<Secret>,
    /// Leave to ask for beside what the server says, with spaces between.
    pub(crate) scopes: String,
    /// The connection in the store that the tokens are kept with; `None` in the file.
    pub(crate) row: Option<Box<ConnectionRow>>,
    /// Whose own tokens; `None` for those that all users share.
    pub(crate) user: Option<UserId>,
    /// The client that the hub is there.
    pub(crate) registered: Option<Registered>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    None,
    ApiKey,
    Bearer,
    Basic,
    OAuth,
}

const SCHEMES: &[(&str, Scheme)] = &[
    ("none", Scheme::None),
    ("api_key", Scheme::ApiKey),
    ("bearer", Scheme::Bearer),
    ("basic", Scheme::Basic),
    ("oauth2", Scheme::OAuth),
    ("oauth", Scheme::OAuth),
];

/// Reads `auth`. `None` after an error; absent is [`Auth::None`].
pub(super) fn read(entry: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Auth> {
    if entry.get("auth", reading).is_none() {
        return Some(Auth::None);
    }
    let mut fields = entry.map("auth", reading)?;
    let at = fields.at;
    if fields.get("type", reading).is_none() {
        let words: Vec<_> = SCHEMES.iter().map(|(word, _)| *word).collect();
        reading.error(at, &fields.key("type"), "missing", Some(format!("one of: {}", words.join(", "))));
    }
    let scheme = fields.choice("type", SCHEMES, reading);
    let auth = match fields.map("credentials", reading) {
        Some(mut credentials) => {
            let auth = scheme.and_then(|scheme| scheme_of(scheme, at, &mut credentials, reading));
            // Whatever the scheme: keys of another one are told, misspelt ones get a suggestion.
            credentials.finish(reading);
            auth
        }
        None if scheme == Some(Scheme::None) => Some(Auth::None),
        // A server that registers clients by itself needs nothing beforehand.
        None if scheme == Some(Scheme::OAuth) => Some(Auth::Delegated(Box::default())),
        None => {
            if scheme.is_some() {
                reading.error(at, &fields.key("credentials"), "missing", None);
            }
            None
        }
    };
    fields.finish(reading);
    auth
}

fn scheme_of(
    scheme: Scheme,
    at: Mark,
    credentials: &mut Fields<'_>,
    reading: &mut Reading<'_>,
) -> Option<Auth> {
    let before = reading.problems.len();
    let authorization =
        |value: String| Auth::Header { name: "authorization".to_owned(), value: Secret::new(value) };
    let auth = match scheme {
        Scheme::None => Auth::None,
        Scheme::ApiKey => {
            let header = credentials.text("header", reading);
            let key = needed(credentials.secret("key", reading), "key", at, credentials, reading, before)?;
            match header {
                Some(said) => {
                    let name = header_name(&said, &credentials.key("header"), reading)?;
                    Auth::Header { name, value: key }
                }
                None => authorization(format!("Bearer {}", key.expose())),
            }
        }
        Scheme::Bearer => {
            let token =
                needed(credentials.secret("token", reading), "token", at, credentials, reading, before)?;
            authorization(format!("Bearer {}", token.expose()))
        }
        Scheme::Basic => {
            let name = credentials.text("username", reading).map(Said::into_secret);
            let name = needed(name, "username", at, credentials, reading, before);
            let before = reading.problems.len();
            let password = credentials.secret("password", reading);
            let password = needed(password, "password", at, credentials, reading, before);
            // RFC 7617: user-id ":" password, and no colon in the first.
            authorization(format!(
                "Basic {}",
                STANDARD.encode(format!("{}:{}", name?.expose(), password?.expose()))
            ))
        }
        Scheme::OAuth => Auth::Delegated(Box::new(oauth(credentials, reading))),
    };
    if let Auth::Header { value, .. } = &auth
        && http::HeaderValue::from_str(value.expose()).is_err()
    {
        let what = "the value cannot stand in a header (line breaks or control characters)";
        reading.error(at, &credentials.key("*"), what, None);
        return None;
    }
    Some(auth)
}

/// Reads what is said about OAuth.
fn oauth(credentials: &mut Fields<'_>, reading: &mut Reading<'_>) -> Delegation {
    let client_id = credentials.text("client_id", reading).map(Said::into_value);
    let client_secret = credentials.secret("client_secret", reading);
    let scopes = credentials.texts("scopes", reading).unwrap_or_default();
    // The server names these itself; files of other connections have them.
    for name in ["token_url", "authorize_url"] {
        credentials.text(name, reading);
    }
    let scopes: Vec<&str> = scopes.iter().map(Said::value).collect();
    Delegation { client_id, client_secret, scopes: scopes.join(" "), ..Delegation::default() }
}

fn needed(
    value: Option<Secret>,
    name: &str,
    at: Mark,
    credentials: &Fields<'_>,
    reading: &mut Reading<'_>,
    before: usize,
) -> Option<Secret> {
    // A value that is there but cannot be read has been reported already.
    if value.is_none() && !reading.has_errors_since(before) {
        reading.error(at, &credentials.key(name), "missing", None);
    }
    value
}

/// A header's name in lower case.
pub(super) fn header_name(said: &Said<'_>, key: &str, reading: &mut Reading<'_>) -> Option<String> {
    match http::HeaderName::from_bytes(said.value().as_bytes()) {
        Ok(name) => Some(name.as_str().to_owned()),
        Err(_) => {
            reading.error(said.at, key, format!("`{said}` is not a header's name"), None);
            None
        }
    }
}
