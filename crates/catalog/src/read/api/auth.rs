//! `auth`: the ways to prove oneself to an API.

use model::AuthMethod;

use super::super::fields::{Fields, Reading};
use super::Names;
use super::paging::parse_spot;
use crate::api::{
    Assertion, Auth, ClientProof, Field, Grant, HashName, Hmac, JwtAlgorithm, OAuth, Path, Scheme, SigV4,
    Spot, TokenResponse,
};
use crate::template::{Scope, Template};
use crate::yaml::{Node, Value};

const SCOPES: &[Scope] = &[Scope::Config, Scope::Secret];
const SIGNED: &[Scope] = &[Scope::Config, Scope::Secret, Scope::Sign];
/// What `{sign.NAME}` may be.
const SIGN_NAMES: &[&str] = &["method", "path", "query", "body", "time", "time_ms", "nonce", "signature"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    ApiKey,
    Bearer,
    Basic,
    OAuth2,
    Jwt,
    Hmac,
    AwsSigV4,
    Certificate,
}

const KINDS: &[(&str, Kind)] = &[
    ("none", Kind::None),
    ("api_key", Kind::ApiKey),
    ("bearer", Kind::Bearer),
    ("basic", Kind::Basic),
    ("oauth2", Kind::OAuth2),
    ("jwt", Kind::Jwt),
    ("hmac", Kind::Hmac),
    ("aws_sigv4", Kind::AwsSigV4),
    ("certificate", Kind::Certificate),
];
const GRANTS: &[(&str, Grant)] = &[
    ("authorization_code", Grant::AuthorizationCode),
    ("client_credentials", Grant::ClientCredentials),
    ("device_code", Grant::DeviceCode),
];

pub(super) fn read(top: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Vec<Auth> {
    let mut out: Vec<Auth> = Vec::new();
    let nodes = top.list("auth", reading);
    if nodes.is_empty() {
        let line = top.line("auth");
        reading.error(
            line,
            "auth",
            "missing",
            "at least one way, for example `- type: bearer`, or `- type: none`",
        );
    }
    for node in nodes {
        let Some(auth) = one(node, names, reading) else { continue };
        if out.iter().any(|other| other.method == auth.method) {
            let what = format!("there are two ways whose word for connections is `{}`", auth.method);
            reading.error(node.at.line, "auth.type", what, "");
        }
        out.push(auth);
    }
    out
}

fn one(node: &Node, outer: &Names, reading: &mut Reading) -> Option<Auth> {
    let mut fields = Fields::open(node, "auth.", reading)?;
    if fields.node("type").is_none() {
        let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
        reading.error(node.at.line, "auth.type", "missing", format!("one of: {}", words.join(", ")));
    }
    let kind = fields.choice("type", KINDS, reading)?;
    let title = fields.text("title", 256, reading);
    let secrets = secrets(kind, &mut fields, reading);
    let names = outer.with_secrets(secrets.iter().map(|field| field.name.clone()).collect());
    let scheme = scheme(kind, &mut fields, &names, reading);
    fields.finish(reading);
    if let Some(scheme) = &scheme {
        check_secrets(node.at.line, kind, scheme, &secrets, reading);
    }
    outer.take(names);
    let (method, usual) = match kind {
        Kind::None => (AuthMethod::None, "No sign-in"),
        Kind::ApiKey | Kind::Bearer => (AuthMethod::ApiKey, "API key"),
        Kind::Hmac => (AuthMethod::ApiKey, "Signed requests"),
        Kind::AwsSigV4 => (AuthMethod::ApiKey, "AWS access key"),
        Kind::Basic => (AuthMethod::Basic, "User name and password"),
        Kind::OAuth2 => (AuthMethod::Oauth, "OAuth 2"),
        Kind::Jwt => (AuthMethod::Jwt, "Signed token"),
        Kind::Certificate => (AuthMethod::Certificate, "Client certificate"),
    };
    Some(Auth { method, title: title.unwrap_or_else(|| usual.to_owned()), fields: secrets, scheme: scheme? })
}

/// The secrets: those that the kind always has, told in other words or added to by `fields`.
fn secrets(kind: Kind, fields: &mut Fields<'_>, reading: &mut Reading) -> Vec<Field> {
    let usual: &[(&str, &str, bool)] = match kind {
        Kind::None => &[],
        Kind::ApiKey => &[("key", "API key", true)],
        Kind::Bearer => &[("token", "Access token", true)],
        Kind::Basic => &[("username", "User name", true), ("password", "Password", true)],
        Kind::OAuth2 => &[("client_id", "Client ID", true), ("client_secret", "Client secret", false)],
        Kind::Jwt => &[("key", "Signing key", true)],
        Kind::Hmac => &[("secret", "Shared secret", true)],
        Kind::AwsSigV4 => &[
            ("access_key_id", "Access key ID", true),
            ("secret_access_key", "Secret access key", true),
            ("session_token", "Session token", false),
        ],
        Kind::Certificate => {
            &[("certificate", "Certificate (PEM)", true), ("private_key", "Private key (PEM)", true)]
        }
    };
    let mut out: Vec<Field> = usual
        .iter()
        .map(|(name, title, is_required)| Field {
            name: (*name).to_owned(),
            title: (*title).to_owned(),
            help: String::new(),
            is_required: *is_required,
        })
        .collect();
    for (word, node) in fields.members("fields", reading) {
        let is_fit = !word.text.is_empty()
            && word.text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_fit {
            reading.error(
                word.at.line,
                "auth.fields",
                format!("`{}` is no name: a-z, 0-9 and `_`", word.text),
                "",
            );
            continue;
        }
        // `username: null`: this API's way has no such secret.
        if matches!(node.value, Value::Null) {
            out.retain(|field| field.name != word.text);
            continue;
        }
        let Some(mut said) = Fields::open(node, "auth.fields.", reading) else { continue };
        let title = said.required_text("title", 256, reading).unwrap_or_default();
        let help = said.text("help", 4_096, reading).unwrap_or_default();
        let is_required = said.flag("required", reading);
        said.finish(reading);
        match out.iter_mut().find(|field| field.name == word.text) {
            Some(field) => {
                (field.title, field.help) = (title, help);
                field.is_required = is_required.unwrap_or(field.is_required);
            }
            None => out.push(Field {
                name: word.text.clone(),
                title,
                help,
                is_required: is_required.unwrap_or(true),
            }),
        }
    }
    out
}

/// A secret that nothing uses would be asked for in vain.
fn check_secrets(line: u32, kind: Kind, scheme: &Scheme, secrets: &[Field], reading: &mut Reading) {
    if matches!(kind, Kind::OAuth2 | Kind::AwsSigV4 | Kind::Certificate) {
        return;
    }
    let templates = scheme.templates();
    let uses = |name: &str| {
        let mut holes = templates.iter().flat_map(|template| template.holes());
        holes.any(|hole| hole.scope == Scope::Secret && hole.name == name)
    };
    for field in secrets.iter().filter(|field| !uses(&field.name)) {
        let key = format!("auth.fields.{}", field.name);
        reading.error(
            line,
            &key,
            "is used by no template",
            format!("use `{{secret.{0}}}`, or say `{0}: null`", field.name),
        );
    }
    let signs =
        templates.iter().flat_map(|template| template.holes()).filter(|hole| hole.scope == Scope::Sign);
    for hole in signs.filter(|hole| !SIGN_NAMES.contains(&hole.name.as_str())) {
        reading.unknown(line, "auth", &hole.name, SIGN_NAMES);
    }
}

fn scheme(kind: Kind, fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<Scheme> {
    Some(match kind {
        Kind::None => Scheme::None,
        Kind::Certificate => Scheme::Certificate,
        Kind::ApiKey | Kind::Bearer => {
            let name = if kind == Kind::ApiKey { "Bearer {secret.key}" } else { "Bearer {secret.token}" };
            Scheme::Key(placements(fields, name, SCOPES, names, reading))
        }
        Kind::Basic => Scheme::Basic {
            username: or(names.one(fields, "username", SCOPES, reading), "{secret.username}")?,
            password: or(names.one(fields, "password", SCOPES, reading), "{secret.password}")?,
        },
        Kind::OAuth2 => Scheme::OAuth(Box::new(oauth(fields, names, reading)?)),
        Kind::Jwt => Scheme::Jwt(Box::new(assertion(fields, names, reading)?)),
        Kind::Hmac => Scheme::Hmac(Box::new(hmac(fields, names, reading)?)),
        Kind::AwsSigV4 => Scheme::SigV4(SigV4 {
            service: names.required(fields, "service", &[Scope::Config], reading)?,
            region: names.required(fields, "region", &[Scope::Config], reading)?,
        }),
    })
}

fn or(said: Option<Template>, usual: &str) -> Option<Template> {
    said.or_else(|| Template::parse_in(usual, SIGNED).ok())
}

/// `put: { header.x-api-key: "{secret.key}" }`; the `Authorization` header with `usual` where it is absent.
fn placements(
    fields: &mut Fields<'_>,
    usual: &str,
    scopes: &[Scope],
    names: &Names,
    reading: &mut Reading,
) -> Vec<(Spot, Template)> {
    let mut out = Vec::new();
    for (word, node) in fields.members("put", reading) {
        let key = format!("auth.put.{}", word.text);
        names.check_text(&word.text, word.at.line, &key, reading);
        match parse_spot(&word.text).filter(|spot| !matches!(spot, Spot::Body(_))) {
            Some(spot) => {
                out.extend(names.template(node, &key, scopes, reading).map(|template| (spot, template)))
            }
            None => reading.unknown(word.at.line, &key, &word.text, &["header.NAME", "query.NAME"]),
        }
    }
    if out.is_empty() {
        out.extend(
            Template::parse_in(usual, scopes).ok().map(|one| (Spot::Header("authorization".to_owned()), one)),
        );
    }
    out
}

fn placement(fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<(Spot, Template)> {
    // The token is no stored secret, and has its name in templates all the same.
    let with_token = names.with_secrets(vec!["access_token".to_owned()]);
    placements(fields, "Bearer {secret.access_token}", SCOPES, &with_token, reading).into_iter().next()
}

fn oauth(fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<OAuth> {
    let mut grants = Vec::new();
    for (line, word) in fields.texts("grants", reading) {
        match GRANTS.iter().find(|(known, _)| *known == word) {
            Some((_, grant)) => grants.push(*grant),
            None => {
                let known: Vec<&str> = GRANTS.iter().map(|(word, _)| *word).collect();
                reading.unknown(line, "auth.grants", &word, &known);
            }
        }
    }
    if grants.is_empty() {
        grants.push(Grant::AuthorizationCode);
    }
    let url = &[Scope::Config];
    let authorization_url = names.one(fields, "authorization_url", url, reading);
    let token_url = names.required(fields, "token_url", url, reading);
    let device_url = names.one(fields, "device_url", url, reading);
    let revoke_url = names.one(fields, "revoke_url", url, reading);
    for (grant, there, key) in [
        (Grant::AuthorizationCode, authorization_url.is_some(), "auth.authorization_url"),
        (Grant::DeviceCode, device_url.is_some(), "auth.device_url"),
    ] {
        if grants.contains(&grant) && !there {
            reading.error(fields.at, key, "missing", "one of `grants` needs it");
        }
    }
    let scopes = fields.texts("scopes", reading).into_iter().map(|(_, scope)| scope).collect();
    let scope_separator = fields.node("scope_separator").and_then(|node| node.value.as_text());
    let scope_separator = scope_separator.unwrap_or(" ").to_owned();
    let scope = names.one(fields, "scope", &[Scope::Config], reading);
    let authorization_params = names.map(fields, "authorization_params", SCOPES, reading);
    let token_params = names.map(fields, "token_params", SCOPES, reading);
    let proofs = [("basic", ClientProof::Basic), ("body", ClientProof::Body), ("none", ClientProof::None)];
    let client = fields.choice("client", &proofs, reading).unwrap_or(ClientProof::Body);
    let is_json =
        fields.choice("token_encoding", &[("form", false), ("json", true)], reading).unwrap_or(false);
    let is_pkce = fields.flag("pkce", reading).unwrap_or(true);
    let response = response(fields, reading);
    let expires_in_s = fields.count("expires_in", 1, 3_155_760_000, reading);
    let refresh_before_s = fields.count("refresh_before", 0, 86_400, reading).unwrap_or(300);
    let placement = placement(fields, names, reading);
    Some(OAuth {
        grants,
        authorization_url,
        token_url: token_url?,
        device_url,
        revoke_url,
        scopes,
        scope,
        scope_separator,
        authorization_params,
        token_params,
        is_json,
        client,
        is_pkce,
        response,
        expires_in_s,
        refresh_before_s,
        placement: placement?,
    })
}

fn response(fields: &mut Fields<'_>, reading: &mut Reading) -> TokenResponse {
    let Some(mut said) = fields.map("response", "auth.response.", reading) else {
        return TokenResponse::default();
    };
    let mut path = |name, usual: &str, reading: &mut Reading| {
        Path::parse(&said.text(name, 128, reading).unwrap_or_else(|| usual.to_owned()))
    };
    let access_token = path("access_token", "access_token", reading);
    let refresh_token = path("refresh_token", "refresh_token", reading);
    let expires_in = path("expires_in", "expires_in", reading);
    let keep = said.texts("keep", reading).into_iter().map(|(_, name)| name).collect();
    said.finish(reading);
    TokenResponse { access_token, refresh_token, expires_in, keep }
}

fn assertion(fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<Assertion> {
    let words = [
        ("RS256", JwtAlgorithm::Rs256),
        ("ES256", JwtAlgorithm::Es256),
        ("HS256", JwtAlgorithm::Hs256),
        ("EdDSA", JwtAlgorithm::EdDsa),
    ];
    let algorithm = fields.choice("algorithm", &words, reading).unwrap_or(JwtAlgorithm::Rs256);
    let header = names.map(fields, "header", SCOPES, reading);
    let claims = names.map(fields, "claims", SCOPES, reading);
    let key = or(names.one(fields, "key", SCOPES, reading), "{secret.key}");
    let expires_in_s = fields.count("expires_in", 1, 86_400, reading).unwrap_or(300);
    let token_url = names.one(fields, "token_url", &[Scope::Config], reading);
    let placement = placement(fields, names, reading);
    Some(Assertion { algorithm, header, claims, key: key?, expires_in_s, token_url, placement: placement? })
}

fn hmac(fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<Hmac> {
    let hashes = [("sha1", HashName::Sha1), ("sha256", HashName::Sha256), ("sha512", HashName::Sha512)];
    let algorithm = fields.choice("algorithm", &hashes, reading).unwrap_or(HashName::Sha256);
    let over = names.required(fields, "over", SIGNED, reading);
    let key = or(names.one(fields, "key", SCOPES, reading), "{secret.secret}");
    let writing = [("hex", false), ("base64", true)];
    let is_key_base64 =
        fields.choice("key_encoding", &[("raw", false), ("base64", true)], reading).unwrap_or(false);
    let is_base64 = fields.choice("signature_encoding", &writing, reading).unwrap_or(false);
    let placements = placements(fields, "{sign.signature}", SIGNED, names, reading);
    Some(Hmac { algorithm, over: over?, key: key?, is_key_base64, is_base64, placements })
}

// === impl TokenResponse ===

impl Default for TokenResponse {
    fn default() -> Self {
        Self {
            access_token: Path::parse("access_token"),
            refresh_token: Path::parse("refresh_token"),
            expires_in: Path::parse("expires_in"),
            keep: Vec::new(),
        }
    }
}
