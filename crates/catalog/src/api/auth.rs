//! How one proves oneself to an API.

use model::AuthMethod;

use super::{Path, Spot};
use crate::template::Template;

/// One way to prove oneself.
#[derive(Debug)]
pub struct Auth {
    /// The word for it, which connections say.
    pub method: AuthMethod,
    /// What people call it.
    pub title: String,
    /// The secrets that it takes.
    pub fields: Vec<Field>,
    /// How it goes.
    pub scheme: Scheme,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in templates, and behind `auth.credentials.`.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Where to get it.
    pub help: String,
    /// Whether nothing works without it.
    pub is_required: bool,
}

/// How one proves oneself.
#[derive(Debug)]
pub enum Scheme {
    /// Not at all.
    None,
    /// With values in each request.
    Key(Vec<(Spot, Template)>),
    /// RFC 7617.
    Basic {
        /// The name.
        username: Template,
        /// The password.
        password: Template,
    },
    /// By a token that OAuth 2 gives.
    OAuth(Box<OAuth>),
    /// By a token that is signed here.
    Jwt(Box<Assertion>),
    /// By a signature of each request.
    Hmac(Box<Hmac>),
    /// By a signature as Amazon has it.
    SigV4(SigV4),
    /// By a client certificate in the TLS handshake.
    Certificate,
}

/// OAuth 2, as one API has it.
#[derive(Debug)]
pub struct OAuth {
    /// The ways to a token, the usual one first.
    pub grants: Vec<Grant>,
    /// Where people give their leave.
    pub authorization_url: Option<Template>,
    /// Where tokens come from.
    pub token_url: Template,
    /// Where a code for another device comes from.
    pub device_url: Option<Template>,
    /// Where tokens are given back.
    pub revoke_url: Option<Template>,
    /// Scopes that are asked for where nobody says others.
    pub scopes: Vec<String>,
    /// The setting with other scopes, as one text.
    pub scope: Option<Template>,
    /// What stands between them.
    pub scope_separator: String,
    /// Further parameters where people give their leave.
    pub authorization_params: Vec<(String, Template)>,
    /// Further parameters where tokens come from.
    pub token_params: Vec<(String, Template)>,
    /// Whether the token endpoint takes JSON in the place of forms.
    pub is_json: bool,
    /// How the client proves itself.
    pub client: ClientProof,
    /// Whether PKCE is used; only where an API refuses it, it is not.
    pub is_pkce: bool,
    /// How an answer is read.
    pub response: TokenResponse,
    /// How long a token lasts where the answer does not say, seconds; `None` = until it is refused.
    pub expires_in_s: Option<u64>,
    /// How long before its end it is refreshed, seconds.
    pub refresh_before_s: u64,
    /// Where the token goes.
    pub placement: (Spot, Template),
}

/// The ways to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// By somebody's leave in a browser (RFC 6749 §4.1).
    AuthorizationCode,
    /// As the client itself (RFC 6749 §4.4).
    ClientCredentials,
    /// By somebody's leave on another device (RFC 8628).
    DeviceCode,
}

/// How a client proves itself where tokens come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientProof {
    /// In the `Authorization` header.
    Basic,
    /// In the body.
    Body,
    /// Not at all: it only names itself.
    None,
}

/// Where the parts of a token answer are.
#[derive(Debug)]
pub struct TokenResponse {
    /// The token.
    pub access_token: Path,
    /// What refreshes it.
    pub refresh_token: Path,
    /// How long it lasts, seconds.
    pub expires_in: Path,
    /// Members of the answer that become settings: `instance_url`.
    pub keep: Vec<String>,
}

/// A token that is signed here: used itself, or traded for another (RFC 7523).
#[derive(Debug)]
pub struct Assertion {
    /// How it is signed.
    pub algorithm: JwtAlgorithm,
    /// Members of its header beside `alg` and `typ`.
    pub header: Vec<(String, Template)>,
    /// Its claims beside `iat` and `exp`.
    pub claims: Vec<(String, Template)>,
    /// The secret that signs: a PEM key, or the shared secret of HS256.
    pub key: Template,
    /// How long it lasts, seconds.
    pub expires_in_s: u64,
    /// Where it is traded; it is used itself where there is none.
    pub token_url: Option<Template>,
    /// Where the token goes.
    pub placement: (Spot, Template),
}

/// How a token is signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// RSA PKCS #1 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// HMAC with SHA-256.
    Hs256,
    /// Ed25519.
    EdDsa,
}

/// A signature of each request with a shared secret.
#[derive(Debug)]
pub struct Hmac {
    /// `sha256`, `sha512` or `sha1`.
    pub algorithm: HashName,
    /// What is signed: a template of `{sign...}`.
    pub over: Template,
    /// The shared secret.
    pub key: Template,
    /// Whether the secret is base64 of the key.
    pub is_key_base64: bool,
    /// Whether the signature is written in base64; otherwise in hex.
    pub is_base64: bool,
    /// Where it goes, with `{sign.signature}` for itself and the others beside it.
    pub placements: Vec<(Spot, Template)>,
}

/// A hash by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashName {
    /// SHA-1, for APIs that have nothing better.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// AWS Signature Version 4.
#[derive(Debug)]
pub struct SigV4 {
    /// The service's name in the scope.
    pub service: Template,
    /// The region's.
    pub region: Template,
}

// === impl Scheme ===

impl Scheme {
    /// Every template that has to be filled before it works. Which of OAuth's ways is gone depends on what is.
    #[must_use]
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::None | Self::Certificate => Vec::new(),
            Self::Key(all) => all.iter().map(|(_, template)| template).collect(),
            Self::Basic { username, password } => vec![username, password],
            Self::OAuth(oauth) => {
                vec![&oauth.token_url, &oauth.placement.1]
            }
            Self::Jwt(jwt) => {
                let named = jwt.header.iter().chain(&jwt.claims).map(|(_, template)| template);
                named.chain(&jwt.token_url).chain([&jwt.key, &jwt.placement.1]).collect()
            }
            Self::Hmac(hmac) => {
                let places = hmac.placements.iter().map(|(_, template)| template);
                places.chain([&hmac.over, &hmac.key]).collect()
            }
            Self::SigV4(SigV4 { service, region }) => vec![service, region],
        }
    }
}

// === impl Field ===

impl Field {
    /// The place of the secret among a connection's credentials.
    #[must_use]
    pub fn place(&self) -> String {
        format!("auth.credentials.{}", self.name)
    }
}
