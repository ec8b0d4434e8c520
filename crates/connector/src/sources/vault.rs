//! Vault and `OpenBao`: KV version 2 over HTTP, as developer.hashicorp.com/vault/api-docs has it (`secret/kv/kv-v2`,
//! `auth/token`, `auth/approle`).

use std::time::Duration;

use model::Secret;
use outbound::Route;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::exchange::{send, words};
use super::{Failure, Got};

/// Gives the text of a reference as it is now: files may be replaced while the hub runs.
pub type Resolve = Box<dyn Fn(&Secret) -> Result<Secret, String> + Send + Sync>;

/// Where a Vault is and how one signs in.
pub struct VaultSettings {
    /// `https://vault.example.com:8200`, without a slash at the end.
    pub address: String,
    /// The namespace, where the server has them.
    pub namespace: Option<String>,
    /// The engine of paths without `/data/`.
    pub mount: String,
    /// How one signs in.
    pub sign_in: SignIn,
    /// Replaces the references in what is signed in with.
    pub resolve: Resolve,
    /// How it is reached.
    pub route: Route,
}

/// How one signs in. The texts are references, looked up at each sign-in.
pub enum SignIn {
    /// With a token that somebody made.
    Token(Secret),
    /// As an application.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Who.
        role_id: Secret,
        /// Proof.
        secret_id: Secret,
    },
}

/// See the head of the file.
pub struct Vault {
    settings: VaultSettings,
    session: Mutex<Option<Session>>,
}

/// A token in force.
#[derive(Clone)]
struct Session {
    token: Secret,
    /// When it is time to renew it; `None` for one that does not end.
    renew_at: Option<Instant>,
    is_renewable: bool,
}

// === impl Vault ===

impl Vault {
    /// A client that has not signed in yet.
    #[must_use]
    pub fn new(settings: VaultSettings) -> Self {
        Self { settings, session: Mutex::new(None) }
    }

    /// The path as the HTTP API has it: engine, `data`, name.
    pub(super) fn whole_path(&self, path: &str) -> String {
        match path.contains("/data/") {
            true => path.to_owned(),
            false => format!("{}/data/{path}", self.settings.mount),
        }
    }

    /// What a secret holds.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn read(&self, path: &str, version: Option<u64>) -> Result<Got, Failure> {
        let full = self.whole_path(path);
        let query = version.map(|version| format!("?version={version}")).unwrap_or_default();
        let place = format!("{}{query}", encoded(&full));
        let session = self.session(None).await?;
        let (mut status, mut answer) = self.send("GET", &place, Some(&session.token), None).await?;
        if status == 403 {
            // A token that is over and one that may not are told apart by another token only.
            let next = self.session(Some(&session.token)).await?;
            if !credential::same(next.token.expose().as_bytes(), session.token.expose().as_bytes()) {
                (status, answer) = self.send("GET", &place, Some(&next.token), None).await?;
            }
        }
        fields_of(status, &answer, &full)
    }

    /// The token in force, renewed or signed in for when it is time; another one than `spent`, if there can be one.
    async fn session(&self, spent: Option<&Secret>) -> Result<Session, Failure> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref() {
            let is_spent = spent.is_some_and(|spent| {
                credential::same(spent.expose().as_bytes(), session.token.expose().as_bytes())
            });
            let is_due = session.renew_at.is_some_and(|at| at <= Instant::now());
            if !is_spent && !is_due {
                return Ok(session.clone());
            }
            if !is_spent && session.is_renewable {
                let renewed =
                    self.send("POST", "auth/token/renew-self", Some(&session.token), Some(json!({})));
                if let Ok((200, answer)) = renewed.await
                    && let Some(session) = session_of(&answer)
                {
                    *held = Some(session.clone());
                    return Ok(session);
                }
            }
        }
        let session = self.sign_in().await?;
        *held = Some(session.clone());
        Ok(session)
    }

    async fn sign_in(&self) -> Result<Session, Failure> {
        let resolved = |text: &Secret| {
            (self.settings.resolve)(text).map_err(|why| Failure {
                outcome: "sign_in",
                why: format!("what it is signed in with cannot be had: {why}"),
                hint: "check `secrets.vault`".to_owned(),
            })
        };
        match &self.settings.sign_in {
            SignIn::Token(token) => {
                let token = resolved(token)?;
                let (status, answer) = self.send("GET", "auth/token/lookup-self", Some(&token), None).await?;
                if status == 403 {
                    return Err(Failure {
                        outcome: "denied",
                        why: format!("Vault does not take the token (403{})", said(&answer)),
                        hint: "it is over or was revoked: give another one in `secrets.vault.token`"
                            .to_owned(),
                    });
                }
                if status != 200 {
                    return Err(trouble(status, &answer, "auth/token/lookup-self"));
                }
                let data = answer.get("data").unwrap_or(&Value::Null);
                let ttl = data.get("ttl").and_then(Value::as_u64).unwrap_or(0);
                let is_renewable = data.get("renewable").and_then(Value::as_bool).unwrap_or(false);
                Ok(Session { token, renew_at: renew_at(ttl), is_renewable })
            }
            SignIn::AppRole { mount, role_id, secret_id } => {
                let (role_id, secret_id) = (resolved(role_id)?, resolved(secret_id)?);
                let place = format!("auth/{mount}/login");
                let body = json!({ "role_id": role_id.expose(), "secret_id": secret_id.expose() });
                let (status, answer) = self.send("POST", &place, None, Some(body)).await?;
                match (status, session_of(&answer)) {
                    (200, Some(session)) => Ok(session),
                    (400 | 403 | 404, _) => Err(Failure {
                        outcome: "denied",
                        why: format!("Vault does not take the AppRole ({status}{})", said(&answer)),
                        hint:
                            "check `secrets.vault.approle`: role_id, secret_id (it may be used up) and mount"
                                .to_owned(),
                    }),
                    _ => Err(trouble(status, &answer, &place)),
                }
            }
        }
    }

    async fn send(
        &self,
        method: &str,
        place: &str,
        token: Option<&Secret>,
        body: Option<Value>,
    ) -> Result<(u16, Value), Failure> {
        let mut headers = vec![("x-vault-request", "true"), ("accept", "application/json")];
        headers.extend(token.map(|token| ("x-vault-token", token.expose())));
        headers.extend(self.settings.namespace.as_deref().map(|name| ("x-vault-namespace", name)));
        headers.extend(body.is_some().then_some(("content-type", "application/json")));
        let body = body.map(|body| Secret::new(body.to_string()));
        let url = format!("{}/v1/{place}", self.settings.address);
        send(method, &url, &self.settings.route, &headers, body.as_ref()).await
    }
}

/// What `auth` of a sign-in or a renewal says.
fn session_of(answer: &Value) -> Option<Session> {
    let auth = answer.get("auth")?;
    let token = auth.get("client_token").and_then(Value::as_str).filter(|token| !token.is_empty())?;
    Some(Session {
        token: Secret::new(token),
        renew_at: renew_at(auth.get("lease_duration").and_then(Value::as_u64).unwrap_or(0)),
        is_renewable: auth.get("renewable").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// Two thirds of the time that a token lasts, as Vault's own agent does it; 0 is for ever.
fn renew_at(lasts_s: u64) -> Option<Instant> {
    (lasts_s > 0).then(|| Instant::now() + Duration::from_millis(lasts_s.min(1 << 32) * 2_000 / 3))
}

fn fields_of(status: u16, answer: &Value, path: &str) -> Result<Got, Failure> {
    let data = answer.get("data").unwrap_or(&Value::Null);
    let Some(inner) = data.get("data") else {
        return Err(if status == 200 {
            Failure {
                outcome: "not_kv2",
                why: format!("`{path}` is no KV version 2 secret"),
                hint: "`vault secrets list -detailed` tells the version; `vault kv enable-versioning MOUNT` raises it"
                    .to_owned(),
            }
        } else {
            trouble(status, answer, path)
        });
    };
    match inner.as_object() {
        Some(fields) if status == 200 => {
            let fields = fields.iter().map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), Secret::new(text))
            });
            let version = data.pointer("/metadata/version").and_then(Value::as_u64);
            Ok(Got { fields: fields.collect(), version: version.map(|version| version.to_string()) })
        }
        // 404 with metadata: that version has been deleted or destroyed.
        _ => Err(Failure {
            outcome: "deleted",
            why: format!("that version of `{path}` has been deleted"),
            hint: "`vault kv undelete` brings a deleted one back; or write a new one".to_owned(),
        }),
    }
}

fn trouble(status: u16, answer: &Value, path: &str) -> Failure {
    let said = said(answer);
    let (outcome, why, hint) = match status {
        403 => (
            "denied",
            format!("permission denied on `{path}` (403{said})"),
            format!("give the policy of this token `path \"{path}\" {{ capabilities = [\"read\"] }}`"),
        ),
        404 => (
            "not_found",
            format!("there is nothing at `{path}` (404{said})"),
            "check mount and path: `vault kv get` takes them without `data`, the reference with it"
                .to_owned(),
        ),
        429 => {
            ("throttled", "Vault asks for fewer requests (429)".to_owned(), "raise `secrets.ttl`".to_owned())
        }
        503 => (
            "sealed",
            format!("Vault is sealed or in maintenance (503{said})"),
            "unseal it: `vault operator unseal`".to_owned(),
        ),
        501 => ("sealed", "Vault is not initialized (501)".to_owned(), "`vault operator init`".to_owned()),
        _ => (
            "failed",
            format!("Vault answered {status}{said}"),
            "look into Vault's log; check `secrets.vault.address`".to_owned(),
        ),
    };
    Failure { outcome, why, hint }
}

/// The words of `errors`, with what comes before them.
fn said(answer: &Value) -> String {
    let errors = answer.get("errors").and_then(Value::as_array);
    let first = errors.and_then(|errors| errors.iter().find_map(Value::as_str));
    first.map(|text| format!(": {}", words(text))).unwrap_or_default()
}

/// The path with everything encoded that has a meaning in URLs.
fn encoded(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(path, KEPT).to_string()
}
