//! One client at one authorization server: what is asked of its token endpoint, and what its answers mean.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Code, Fault, Secret, Timestamp};
use outbound::{Client, Head, Outgoing, Route, Target};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;

use super::TokenSet;
use super::keeper::Assert;

/// What a signed token that proves a client is called (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read, bytes.
const ANSWER_MAX: usize = 256 * 1024;
/// How much of a provider's words is repeated, characters.
const WORDS_MAX: usize = 300;

/// A client at an authorization server.
#[derive(Debug, Clone)]
pub struct Provider {
    /// What people call it.
    pub name: String,
    /// Where people give their leave; empty where nobody is asked.
    pub authorization_url: String,
    /// Where tokens come from.
    pub token_url: String,
    /// Where codes for other devices come from.
    pub device_url: Option<String>,
    /// The client's name there.
    pub client_id: String,
    /// Its password.
    pub client_secret: Option<Secret>,
    /// How it proves itself.
    pub client: ClientProof,
    /// What it proves itself with instead, where it has a key: a token that it signs (RFC 7523 §2.2).
    pub client_assertion: Option<Signer>,
    /// What leave is asked for, joined as the provider wants it.
    pub scope: String,
    /// Further parameters where leave is asked for.
    pub authorization_params: Vec<(String, String)>,
    /// Further parameters where tokens come from.
    pub token_params: Vec<(String, String)>,
    /// Whether PKCE is used.
    pub is_pkce: bool,
    /// How answers are read.
    pub response: ResponsePaths,
    /// How long a token lasts where the answer does not say, seconds.
    pub expires_in_s: Option<u64>,
    /// How long before its end it is renewed, seconds.
    pub refresh_before_s: u64,
    /// The token endpoint takes JSON, not forms.
    pub is_json: bool,
    /// The authorization server that answers have to be from, and whether they have to say so (RFC 9207).
    pub issuer: Option<(String, bool)>,
    /// How it is reached.
    pub route: Route,
}

/// Signs a token, a fresh one each time.
#[derive(Clone)]
pub struct Signer(pub Assert);

/// How a client proves itself (RFC 6749 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientProof {
    /// In the `Authorization` header.
    Basic,
    /// In the body.
    Body,
    /// Not at all: it only names itself.
    None,
}

/// Where the parts of an answer are: member names on the way.
#[derive(Debug, Clone)]
pub struct ResponsePaths {
    /// The token.
    pub access_token: Vec<String>,
    /// What renews it.
    pub refresh_token: Vec<String>,
    /// How long it lasts, seconds.
    pub expires_in: Vec<String>,
    /// Members that are kept as settings.
    pub keep: Vec<String>,
}

/// What is asked for.
#[derive(Debug)]
pub enum Ask<'a> {
    /// A token for a code that a browser brought.
    Code {
        /// The code.
        code: &'a Secret,
        /// The verifier, where PKCE is used.
        verifier: Option<&'a Secret>,
        /// The address that it was brought to.
        redirect_uri: &'a str,
    },
    /// Another token for what renews it.
    Refresh(&'a Secret),
    /// A token for the client itself.
    Client,
    /// A token for a device code, if leave was given by now.
    Device(&'a Secret),
    /// A token for one that was signed here (RFC 7523).
    Assertion(&'a Secret),
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The provider said no, for good: its error code and words.
    Final {
        /// `invalid_grant` and the like.
        error: String,
        /// In words.
        words: String,
    },
    /// Nobody has given leave yet; ask again, more slowly where it says so.
    Pending {
        /// Ask more slowly.
        is_slower: bool,
    },
    /// Not now: the way there, or the provider's own trouble.
    Transient(Fault),
}

/// A code for another device (RFC 8628 §3.2).
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// What is asked with.
    pub device_code: Secret,
    /// What the person types in.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, if there is one.
    pub verification_uri_complete: Option<String>,
    /// How long it is good, seconds.
    pub expires_in_s: u64,
    /// How long to wait between two questions, seconds.
    pub interval_s: u64,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer(****)")
    }
}

// === impl Provider ===

impl Provider {
    /// Where a browser is sent for leave.
    #[must_use]
    pub fn authorization_link(&self, redirect_uri: &str, state: &str, challenge: Option<&str>) -> String {
        let mut params = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", redirect_uri),
            ("state", state),
        ];
        if !self.scope.is_empty() {
            params.push(("scope", &self.scope));
        }
        if let Some(challenge) = challenge.filter(|_| self.is_pkce) {
            params.push(("code_challenge", challenge));
            params.push(("code_challenge_method", "S256"));
        }
        params.extend(self.authorization_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let separator = if self.authorization_url.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.authorization_url, form(&params))
    }

    /// Whether an answer is from the server that was asked (RFC 9207): `said` is its `iss`, `asked` the server that
    /// leave was asked of. Compared as they are written.
    ///
    /// # Errors
    /// When it is from another one, or does not say though this server always does.
    pub fn check_issuer(&self, said: Option<&str>, asked: Option<&str>) -> Result<(), Fault> {
        let Some((issuer, always_tells)) = &self.issuer else { return Ok(()) };
        let is_same = said.map_or(!always_tells, |said| said == issuer) && asked == Some(issuer.as_str());
        if is_same {
            return Ok(());
        }
        Err(Fault::new(
            Code::UPSTREAM_REFUSED,
            "the answer is not from the authorization server that was asked",
        )
        .with_hint("somebody may be mixing up servers; open the link again, and look where it leads"))
    }

    /// Asks the token endpoint. `now` is what the answer's times count from.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn ask(&self, ask: Ask<'_>, now: Timestamp) -> Result<TokenSet, Refusal> {
        let mut params: Vec<(&str, &str)> = match &ask {
            Ask::Code { code, verifier, redirect_uri } => {
                let mut params = vec![
                    ("grant_type", "authorization_code"),
                    ("code", code.expose()),
                    ("redirect_uri", redirect_uri),
                ];
                params.extend(verifier.map(|verifier| ("code_verifier", verifier.expose())));
                params
            }
            Ask::Refresh(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())],
            Ask::Client => vec![("grant_type", "client_credentials")],
            Ask::Device(code) => vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("device_code", code.expose()),
            ],
            Ask::Assertion(token) => vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                ("assertion", token.expose()),
            ],
        };
        if matches!(ask, Ask::Client | Ask::Assertion(_)) && !self.scope.is_empty() {
            params.push(("scope", &self.scope));
        }
        params.extend(self.token_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let (status, answer) = self.post(&self.token_url, params).await.map_err(Refusal::Transient)?;
        self.read(status, &answer, now)
    }

    /// Asks for a code for another device.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn device_code(&self) -> Result<DeviceCode, Refusal> {
        let url = self.device_url.as_deref().unwrap_or_default();
        let mut params = Vec::new();
        if !self.scope.is_empty() {
            params.push(("scope", self.scope.as_str()));
        }
        let (status, answer) = self.post(url, params).await.map_err(Refusal::Transient)?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| answer.get(name).and_then(Value::as_u64);
        // Google calls it `verification_url`.
        let uri = text("verification_uri").or_else(|| text("verification_url"));
        match (text("device_code"), text("user_code"), uri) {
            (Some(code), Some(user_code), Some(verification_uri)) if status < 300 => Ok(DeviceCode {
                device_code: Secret::new(code),
                user_code,
                verification_uri,
                verification_uri_complete: text("verification_uri_complete"),
                expires_in_s: number("expires_in").unwrap_or(600).min(3_600),
                interval_s: number("interval").unwrap_or(5).clamp(1, 60),
            }),
            _ => Err(self.refusal(status, &answer)),
        }
    }

    /// Sends a form, with the client's proof; the answer as a JSON value, whichever form it has.
    async fn post(&self, url: &str, mut params: Vec<(&str, &str)>) -> Result<(u16, Value), Fault> {
        let mut head = Head::new();
        let secret = self.client_secret.as_ref().map(Secret::expose);
        let assertion = self.client_assertion.as_ref().map(|signer| (signer.0)()).transpose()?;
        match (self.client, secret) {
            _ if assertion.is_some() => {
                params.push(("client_id", &self.client_id));
                params.push(("client_assertion_type", ASSERTION_TYPE));
                params.push(("client_assertion", assertion.as_ref().map_or("", Secret::expose)));
            }
            (ClientProof::Basic, Some(secret)) => {
                // RFC 6749 §2.3.1: both are form-encoded first.
                let pair = format!("{}:{}", encoded(&self.client_id), encoded(secret));
                head.push("authorization", &format!("Basic {}", STANDARD.encode(pair)))?;
            }
            (ClientProof::Body, Some(secret)) => {
                params.push(("client_id", &self.client_id));
                params.push(("client_secret", secret));
            }
            _ => params.push(("client_id", &self.client_id)),
        }
        let kind = if self.is_json { "application/json" } else { "application/x-www-form-urlencoded" };
        head.push("content-type", kind)?;
        head.push("accept", "application/json")?;
        head.push("user-agent", concat!("trunkline/", env!("CARGO_PKG_VERSION")))?;
        let target = Target::parse(url, &self.route)?;
        let body = if self.is_json {
            let members = params.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
            Secret::new(Value::Object(members.collect()).to_string())
        } else {
            Secret::new(form(&params))
        };
        let outgoing = Outgoing {
            method: "POST",
            head: &head,
            body: &[body.expose().as_bytes()],
            // A code or a refresh token may be good for one use only.
            is_replayable: false,
            deadline: Instant::now() + TIMEOUT,
        };
        let response = Client::new().send(&target, outgoing).await?;
        let status = response.status;
        let reading = tokio::time::timeout(TIMEOUT, response.body.collect(ANSWER_MAX)).await;
        let bytes = reading.map_err(|_| {
            Fault::new(Code::TIMEOUT, format!("{} did not finish its answer in time", self.name))
        })??;
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| from_form(&bytes));
        Ok((status, value))
    }

    fn read(&self, status: u16, answer: &Value, now: Timestamp) -> Result<TokenSet, Refusal> {
        let at = |path: &[String]| path.iter().try_fold(answer, |value, step| value.get(step));
        let access = at(&self.response.access_token).and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(access) = access.filter(|_| status < 300) else { return Err(self.refusal(status, answer)) };
        let lasts = at(&self.response.expires_in).and_then(|value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
        let lasts = lasts.or_else(|| self.expires_in_s.map(|s| s as f64)).filter(|s| *s > 0.0 && *s < 1e11);
        let refresh =
            at(&self.response.refresh_token).and_then(Value::as_str).filter(|text| !text.is_empty());
        let keep = |name: &String| Some((name.clone(), answer.get(name)?.as_str()?.to_owned()));
        #[allow(clippy::cast_possible_truncation, reason = "it was bounded above")]
        let until = |s: f64| now.plus_ms((s * 1000.0) as i64);
        Ok(TokenSet {
            access: Secret::new(access.to_owned()),
            refresh: refresh.map(|text| Secret::new(text.to_owned())),
            issued_at: now,
            expires_at: lasts.map(until),
            scope: answer.get("scope").and_then(Value::as_str).map(str::to_owned),
            kept: self.response.keep.iter().filter_map(keep).collect::<BTreeMap<_, _>>(),
            wanted: None,
            renewing_since: None,
            dead: None,
        })
    }

    fn refusal(&self, status: u16, answer: &Value) -> Refusal {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let error = text("error").unwrap_or_default();
        match error {
            "authorization_pending" => return Refusal::Pending { is_slower: false },
            "slow_down" => return Refusal::Pending { is_slower: true },
            _ => {}
        }
        let words = text("error_description").or_else(|| text("message")).unwrap_or_default();
        let words: String = words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        let is_transient =
            status >= 500 || status == 429 || matches!(error, "temporarily_unavailable" | "server_error");
        if is_transient || error.is_empty() && status < 400 {
            let what = format!("{} gave no token: status {status} {error} {words}", self.name);
            return Refusal::Transient(Fault::new(Code::UNREACHABLE, what.trim_end().to_owned()));
        }
        let error: String =
            if error.is_empty() { format!("status {status}") } else { error.chars().take(64).collect() };
        Refusal::Final { error, words }
    }
}

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn form(params: &[(&str, &str)]) -> String {
    params
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// An answer that is a form, as some providers still write it.
fn from_form(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let plain = |text: &str| {
        let mut out = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let digits = [bytes.next().unwrap_or(b'x'), bytes.next().unwrap_or(b'x')];
                    let hex =
                        std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    out.push(hex.unwrap_or(b'?'));
                }
                other => out.push(other),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    Value::Object(pairs.map(|(name, value)| (plain(name), plain(value).into())).collect())
}

// === impl ResponsePaths ===

impl Default for ResponsePaths {
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            access_token: one("access_token"),
            refresh_token: one("refresh_token"),
            expires_in: one("expires_in"),
            keep: Vec::new(),
        }
    }
}
