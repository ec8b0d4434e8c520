//! Proving oneself: what a manifest says about it is put into a request, last of all, so that what is signed is
//! what goes out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catalog::api::{Api, Assertion, HashName, Hmac, JwtAlgorithm, Scheme, Spot};
use catalog::template::{Hole, Scope, Template};
use connector::oauth::Tokens;
use credential::sign::{self, Hash, Signature};
use model::{AuthMethod, Clock, Code, Entropy, Fault, Secret};
use serde_json::{Map, Value, json};

use crate::build::Draft;
use crate::flat::text;
use crate::sigv4;

/// How long a token with which a client proves itself is good, seconds: as long as it takes to be read.
const CLIENT_TOKEN_S: i64 = 60;

/// How long before its end a signed token is made anew, seconds.
const JWT_MARGIN_S: i64 = 30;

/// One connection's way to prove itself.
pub struct Authorizer {
    entry: Arc<catalog::Entry>,
    method: AuthMethod,
    config: Map<String, Value>,
    /// By name: `key`, `client_id`.
    secrets: BTreeMap<String, Secret>,
    /// Where tokens come from, for those that are given.
    tokens: Option<Arc<dyn Tokens>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// The token that was signed last, and until when it is used, seconds since 1970.
    signed: Mutex<Option<(Secret, i64)>>,
}

impl Authorizer {
    /// The way of a connection with `entry`. `tokens` gives those of OAuth 2, and trades signed ones.
    #[must_use]
    pub fn new(
        entry: Arc<catalog::Entry>,
        method: AuthMethod,
        config: Map<String, Value>,
        secrets: BTreeMap<String, Secret>,
        tokens: Option<Arc<dyn Tokens>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { entry, method, config, secrets, tokens, clock, entropy, signed: Mutex::new(None) }
    }

    fn scheme(&self) -> Result<(&Api, &Scheme), Fault> {
        let api = self.entry.api.as_ref().ok_or_else(|| Fault::new(Code::BUG, "the entry is no HTTP API"))?;
        let auth = api.auth_of(self.method).ok_or_else(|| {
            let known: Vec<&str> = api.auth.iter().map(|auth| auth.method.as_str()).collect();
            let what = format!("`{}` does not sign in by `{}`", self.entry.slug, self.method);
            Fault::new(Code::MISCONFIGURED, what).with_hint(format!("one of: {}", known.join(", ")))
        })?;
        Ok((api, &auth.scheme))
    }

    /// Whether another token can be had for one that was refused.
    pub(crate) fn can_renew(&self) -> bool {
        self.tokens.is_some()
    }

    /// Signs a request. The token that it was given, where there is one, to tell which one was refused.
    ///
    /// # Errors
    /// A secret that is missing or of no use; a token that cannot be had.
    pub(crate) async fn apply(&self, draft: &mut Draft) -> Result<Option<Secret>, Fault> {
        let (_, scheme) = self.scheme()?;
        match scheme {
            Scheme::None | Scheme::Certificate => Ok(None),
            Scheme::Key(placements) => {
                for (spot, template) in placements {
                    let value = self.fill(template, &|_| None)?;
                    draft.put(&*self.named(spot)?, value.into());
                }
                Ok(None)
            }
            Scheme::Basic { username, password } => {
                let (name, password) = (self.fill(username, &|_| None)?, self.fill(password, &|_| None)?);
                let value = STANDARD.encode(format!("{name}:{password}"));
                draft.put_header("authorization", format!("Basic {value}"));
                Ok(None)
            }
            Scheme::OAuth(oauth) => {
                let token = self.tokens()?.current().await?;
                self.place(&oauth.placement, &token, draft)?;
                Ok(Some(token))
            }
            Scheme::Jwt(assertion) => {
                let token = match &self.tokens {
                    Some(tokens) if assertion.token_url.is_some() => tokens.current().await?,
                    _ => self.signed_token(assertion)?,
                };
                self.place(&assertion.placement, &token, draft)?;
                Ok(Some(token))
            }
            Scheme::Hmac(hmac) => self.hmac(hmac, draft).map(|()| None),
            Scheme::SigV4(aws) => {
                let service = self.fill(&aws.service, &|_| None)?;
                let region = self.fill(&aws.region, &|_| None)?;
                let keys = sigv4::Keys {
                    access_key_id: self.secret("access_key_id")?,
                    secret_access_key: self.secret("secret_access_key")?,
                    session_token: self.secrets.get("session_token"),
                };
                sigv4::sign(draft, &keys, &service, &region, self.clock.now());
                Ok(None)
            }
        }
    }

    /// Another token in the place of one that was refused.
    ///
    /// # Errors
    /// When none can be had.
    pub(crate) async fn renew(&self, spent: &Secret) -> Result<(), Fault> {
        self.tokens()?.renew(spent).await.map(|_| ())
    }

    fn tokens(&self) -> Result<&Arc<dyn Tokens>, Fault> {
        self.tokens.as_ref().ok_or_else(|| {
            Fault::new(Code::MISCONFIGURED, "nobody has given leave for this connection yet")
                .with_hint("authorise it: `trunkline connection connect`, or its page")
        })
    }

    /// A spot with its name filled in.
    fn named<'s>(&self, spot: &'s Spot) -> Result<Cow<'s, Spot>, Fault> {
        match spot {
            Spot::Header(name) if name.contains('{') => {
                let template = Template::parse(name).map_err(|what| Fault::new(Code::BUG, what))?;
                Ok(Cow::Owned(Spot::Header(self.fill(&template, &|_| None)?.to_ascii_lowercase())))
            }
            other => Ok(Cow::Borrowed(other)),
        }
    }

    fn place(
        &self,
        (spot, template): &(Spot, Template),
        token: &Secret,
        draft: &mut Draft,
    ) -> Result<(), Fault> {
        let named = |hole: &Hole| (hole.name == "access_token").then(|| token.expose().to_owned());
        let value = self.fill(template, &named)?;
        draft.put(spot, value.into());
        Ok(())
    }

    /// The token that this connection signs for itself: the last one as long as it lasts.
    fn signed_token(&self, assertion: &Assertion) -> Result<Secret, Fault> {
        let now = self.clock.now().0.div_euclid(1000);
        let mut last = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = &*last
            && now < *until
        {
            return Ok(token.clone());
        }
        let token = self.assertion(assertion, now)?;
        let lasts = i64::try_from(assertion.expires_in_s).unwrap_or(i64::MAX);
        *last = Some((token.clone(), now + lasts - JWT_MARGIN_S.min(lasts / 2)));
        Ok(token)
    }

    /// Signs a token that is valid from `now`, seconds since 1970.
    fn assertion(&self, assertion: &Assertion, now: i64) -> Result<Secret, Fault> {
        let fill = |template: &Template| self.fill(template, &|_| None);
        sign_assertion(assertion, now, &*self.entropy, fill)
    }

    fn hmac(&self, hmac: &Hmac, draft: &mut Draft) -> Result<(), Fault> {
        let (body, _) = draft.body_bytes();
        let now = self.clock.now().0;
        let mut nonce = [0; 16];
        self.entropy.fill(&mut nonce);
        let nonce = model::hex(&nonce);
        let query = draft.query_text();
        let signs = |name: &str| {
            Some(match name {
                "method" => draft.method.clone(),
                "path" => draft.path.clone(),
                "query" => query.clone(),
                "body" => String::from_utf8_lossy(&body).into_owned(),
                "time" => now.div_euclid(1000).to_string(),
                "time_ms" => now.to_string(),
                "nonce" => nonce.clone(),
                _ => return None,
            })
        };
        let over = self.fill(&hmac.over, &|hole| signs(&hole.name))?;
        let key = self.fill(&hmac.key, &|_| None)?;
        let key = if hmac.is_key_base64 {
            let hint = "store the secret again as the vendor shows it";
            STANDARD.decode(key.trim()).map_err(|_| {
                Fault::new(Code::MISCONFIGURED, "its shared secret is not base64").with_hint(hint)
            })?
        } else {
            key.into_bytes()
        };
        let hash = match hmac.algorithm {
            HashName::Sha1 => Hash::Sha1,
            HashName::Sha256 => Hash::Sha256,
            HashName::Sha512 => Hash::Sha512,
        };
        let bytes = sign::keyed_hash(hash, &key, over.as_bytes());
        let signature = if hmac.is_base64 { STANDARD.encode(bytes) } else { model::hex(&bytes) };
        let mut placed = Vec::with_capacity(hmac.placements.len());
        for (spot, template) in &hmac.placements {
            let value = self.fill(template, &|hole| match hole.name.as_str() {
                "signature" => Some(signature.clone()),
                other => signs(other),
            })?;
            placed.push((spot.clone(), value));
        }
        for (spot, value) in placed {
            draft.put(&spot, value.into());
        }
        Ok(())
    }

    fn secret(&self, name: &str) -> Result<&Secret, Fault> {
        self.secrets.get(name).ok_or_else(|| missing(name))
    }

    fn fill(&self, template: &Template, other: &dyn Fn(&Hole) -> Option<String>) -> Result<String, Fault> {
        fill(template, &self.config, &self.secrets, other)
    }
}

/// Signs a token as a manifest says; `fill` fills its templates. Valid from `now`, seconds since 1970.
///
/// # Errors
/// A key that is of no use, and what `fill` says.
pub(crate) fn sign_assertion(
    assertion: &Assertion,
    now: i64,
    entropy: &dyn Entropy,
    fill: impl Fn(&Template) -> Result<String, Fault>,
) -> Result<Secret, Fault> {
    let signature = match assertion.algorithm {
        JwtAlgorithm::Rs256 => Signature::Rs256,
        JwtAlgorithm::Es256 => Signature::Es256,
        JwtAlgorithm::Hs256 => Signature::Hs256,
        JwtAlgorithm::EdDsa => Signature::EdDsa,
    };
    let mut header = json!({ "alg": signature.word(), "typ": "JWT" });
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let lasts = i64::try_from(assertion.expires_in_s).unwrap_or(i64::MAX);
    let mut claims = json!({ "iat": now, "exp": now.saturating_add(lasts), "jti": model::hex(&nonce) });
    for (into, templates) in [(&mut header, &assertion.header), (&mut claims, &assertion.claims)] {
        for (name, template) in templates {
            if let Some(members) = into.as_object_mut() {
                members.insert(name.clone(), fill(template)?.into());
            }
        }
    }
    let key = Secret::new(fill(&assertion.key)?);
    let (header, claims) = (header.to_string(), claims.to_string());
    sign::json_web_token(signature, &key, header.as_bytes(), claims.as_bytes()).map_err(unsigned)
}

/// Signs the token with which a client proves itself at `audience` (RFC 7523 §3), by its key's own algorithm.
///
/// # Errors
/// The key is none that signs.
pub(crate) fn sign_client(
    client_id: &str,
    audience: &str,
    key: &Secret,
    key_id: Option<&Secret>,
    now: i64,
    entropy: &dyn Entropy,
) -> Result<Secret, Fault> {
    let signature = sign::signature_of(key).map_err(unsigned)?;
    let mut header = json!({ "alg": signature.word(), "typ": "JWT" });
    if let (Some(id), Some(members)) = (key_id, header.as_object_mut()) {
        members.insert("kid".to_owned(), id.expose().into());
    }
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let claims = json!({ "iss": client_id, "sub": client_id, "aud": audience, "jti": model::hex(&nonce),
        "iat": now, "exp": now.saturating_add(CLIENT_TOKEN_S) });
    let (header, claims) = (header.to_string(), claims.to_string());
    sign::json_web_token(signature, key, header.as_bytes(), claims.as_bytes()).map_err(unsigned)
}

fn unsigned(error: sign::SignError) -> Fault {
    Fault::new(Code::MISCONFIGURED, format!("its token cannot be signed: {error}"))
        .with_hint("store the private key again, with its BEGIN and END lines")
}

/// Fills a template with settings and secrets; `other` knows what is neither.
///
/// # Errors
/// The secret or setting that is missing.
pub(crate) fn fill(
    template: &Template,
    config: &Map<String, Value>,
    secrets: &BTreeMap<String, Secret>,
    other: &dyn Fn(&Hole) -> Option<String>,
) -> Result<String, Fault> {
    let filled = template.fill(|hole| {
        let known = match hole.scope {
            Scope::Config => config.get(&hole.name).and_then(text),
            Scope::Secret => secrets.get(&hole.name).map(|secret| secret.expose().to_owned()),
            Scope::Input | Scope::Sign => None,
        };
        known.or_else(|| other(hole)).map(Some).ok_or_else(|| missing(&hole.name))
    })?;
    Ok(filled.unwrap_or_default())
}

fn missing(name: &str) -> Fault {
    Fault::new(Code::MISCONFIGURED, format!("needs the credential `auth.credentials.{name}`"))
        .with_hint("store it: `trunkline connection rotate`")
}

/// What a connection lacks before it can be used, in words with a remedy; `None` for nothing.
#[must_use]
pub fn lacking(settings: &crate::Settings) -> Option<String> {
    let api = settings.entry.api.as_ref()?;
    let Some(auth) = api.auth_of(settings.method) else {
        let known: Vec<&str> = api.auth.iter().map(|auth| auth.method.as_str()).collect();
        let (name, method) = (&settings.entry.slug, settings.method);
        return Some(format!("`{name}` does not sign in by `{method}`; choose one of: {}", known.join(", ")));
    };
    let secret =
        auth.fields.iter().find(|field| field.is_required && !settings.secrets.contains_key(&field.name));
    if let Some(field) = secret {
        return Some(format!("needs auth.credentials.{} ({})", field.name, field.title));
    }
    let mut templates = auth.scheme.templates();
    if settings.endpoint.is_none() {
        templates.push(&api.base_url);
    }
    let lacks = |hole: &&Hole| {
        hole.scope == Scope::Config && settings.config.get(&hole.name).is_none_or(Value::is_null)
    };
    let hole = templates.into_iter().flat_map(Template::holes).find(lacks)?;
    Some(format!("needs the setting `{}`", hole.name))
}
