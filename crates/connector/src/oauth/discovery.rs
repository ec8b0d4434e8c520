//! Finding out how a protected resource is signed in to: its metadata (RFC 9728), its authorization server's
//! (RFC 8414, OpenID Connect Discovery), and registering a client there (RFC 7591). MCP asks for this order; see
//! modelcontextprotocol.io/specification, "Authorization".

use std::time::Duration;

use model::{Code, Fault, Secret};
use outbound::{Client, Head, Outgoing, Route, Target};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::provider::{ClientProof, Provider, ResponsePaths};

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The largest document that is read, bytes.
const DOCUMENT_MAX: usize = 256 * 1024;
/// The place of a registered client among a connection's credentials.
pub const CLIENT_FIELD: &str = "oauth.client";

/// What a server says when it refuses: the members of `WWW-Authenticate: Bearer ...` that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the resource's metadata is.
    pub resource_metadata: Option<String>,
    /// What leave it wants.
    pub scope: Option<String>,
    /// `insufficient_scope`, `invalid_token`.
    pub error: Option<String>,
}

/// How a resource is signed in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What tokens are asked for: RFC 8707's `resource`.
    pub resource: String,
    /// The authorization server.
    pub issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    device_endpoint: Option<String>,
    scope: String,
    takes_client_documents: bool,
    tells_issuer: bool,
    auth_methods: Vec<String>,
    is_for_machines: bool,
}

/// A client at an authorization server, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Registered {
    /// What tokens are asked for.
    pub resource: String,
    /// The authorization server that it is a client of; a client is good at no other.
    pub issuer: String,
    /// What leave is asked for.
    pub scope: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_endpoint: Option<String>,
    client_id: String,
    client_secret: Option<String>,
    auth_method: String,
    /// Its answers name it (RFC 9207), and one that does not is refused.
    tells_issuer: bool,
    /// The address that answers come to; another one needs another registration.
    redirect_uri: String,
}

/// What a hub is known by where clients have names of their own.
#[derive(Debug, Clone)]
pub struct Identity {
    /// A client that the vendor's people made.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// The address of this hub's client document, where it is one that others can read.
    pub document: Option<String>,
    /// The address that answers come to.
    pub redirect_uri: String,
}

// === impl Challenge ===

impl Challenge {
    /// Reads a `WWW-Authenticate` header. What is no Bearer challenge is an empty one.
    #[must_use]
    pub fn read(header: &str) -> Self {
        let mut out = Self::default();
        let Some(at) = header.to_ascii_lowercase().find("bearer") else { return out };
        let mut rest = header.get(at + 6..).unwrap_or_default();
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => after.split_once(',').unwrap_or((after, "")),
            };
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.as_str() {
                "resource_metadata" => out.resource_metadata = value,
                "scope" => out.scope = value,
                "error" => out.error = value,
                _ => {}
            }
            rest = after;
        }
        out
    }
}

/// Finds out how `url` is signed in to. `challenge` is what it said when it refused.
///
/// # Errors
/// When it cannot be found out, or what is said does not fit together.
pub async fn discover(url: &str, challenge: &Challenge, route: &Route) -> Result<Found, Fault> {
    let (origin, path) = split(url);
    let resource = match &challenge.resource_metadata {
        Some(place) => document(place, route).await?,
        None => {
            let places = [
                format!("{origin}/.well-known/oauth-protected-resource{path}"),
                format!("{origin}/.well-known/oauth-protected-resource"),
            ];
            first_of(&places, route).await?
        }
    };
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (named, issuer) = match &resource {
        Some(metadata) => {
            let named = text(metadata, "resource").unwrap_or_else(|| url.to_owned());
            if !covers(&named, url) {
                let what = format!("the server's metadata is about another resource ({})", shown(&named));
                return Err(Fault::new(Code::BAD_ANSWER, what)
                    .with_hint("the connection's URL has to be the server's own"));
            }
            let servers = metadata.get("authorization_servers").and_then(Value::as_array);
            let issuer = servers.and_then(|all| all.first()).and_then(Value::as_str).map(str::to_owned);
            (named, issuer.unwrap_or_else(|| origin.clone()))
        }
        // Servers of 2025-03-26 are their own authorization servers.
        None => (url.trim_end_matches('/').to_owned(), origin.clone()),
    };
    let (issuer_origin, issuer_path) = split(&issuer);
    let issuer_path = issuer_path.trim_end_matches('/');
    let mut places = Vec::new();
    if issuer_path.is_empty() {
        places.push(format!("{issuer_origin}/.well-known/oauth-authorization-server"));
        places.push(format!("{issuer_origin}/.well-known/openid-configuration"));
    } else {
        places.push(format!("{issuer_origin}/.well-known/oauth-authorization-server{issuer_path}"));
        places.push(format!("{issuer_origin}/.well-known/openid-configuration{issuer_path}"));
        places.push(format!("{issuer_origin}{issuer_path}/.well-known/openid-configuration"));
    }
    let server = first_of(&places, route).await?;
    let server = match server {
        Some(server) => {
            let said = text(&server, "issuer").unwrap_or_default();
            // Of a server that was guessed, and not named, nothing is expected.
            if resource.is_some() && said != issuer {
                let what = format!(
                    "its authorization server calls itself {}, and is said to be {}",
                    shown(&said),
                    shown(&issuer)
                );
                return Err(Fault::new(Code::BAD_ANSWER, what));
            }
            server
        }
        None if resource.is_none() => json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "registration_endpoint": format!("{origin}/register"),
        }),
        None => {
            let what = format!("the authorization server {} shows no metadata", shown(&issuer));
            return Err(Fault::new(Code::BAD_ANSWER, what));
        }
    };
    let list = |value: &Value, name: &str| -> Vec<String> {
        let items = value.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let endpoint = |name: &str| {
        text(&server, name).ok_or_else(|| {
            Fault::new(
                Code::BAD_ANSWER,
                format!("the authorization server {} names no {name}", shown(&issuer)),
            )
        })
    };
    let grants = list(&server, "grant_types_supported");
    let has_grant = |name: &str| grants.iter().any(|grant| grant == name);
    let yes = |name: &str| server.get(name).and_then(Value::as_bool).unwrap_or(false);
    let wanted = challenge.scope.clone().or_else(|| {
        resource
            .as_ref()
            .map(|metadata| list(metadata, "scopes_supported").join(" "))
            .filter(|all| !all.is_empty())
    });
    let mut scope = wanted.unwrap_or_default();
    if list(&server, "scopes_supported").iter().any(|one| one == "offline_access") {
        scope = union(&scope, "offline_access");
    }
    Ok(Found {
        resource: named,
        authorization_endpoint: endpoint("authorization_endpoint").or_else(|fault| {
            // A server for machines has none.
            if has_grant("client_credentials") { Ok(String::new()) } else { Err(fault) }
        })?,
        token_endpoint: endpoint("token_endpoint")?,
        registration_endpoint: text(&server, "registration_endpoint"),
        device_endpoint: text(&server, "device_authorization_endpoint"),
        scope,
        takes_client_documents: yes("client_id_metadata_document_supported"),
        tells_issuer: yes("authorization_response_iss_parameter_supported"),
        auth_methods: list(&server, "token_endpoint_auth_methods_supported"),
        is_for_machines: has_grant("client_credentials") && !has_grant("authorization_code"),
        issuer,
    })
}

impl Found {
    /// Nobody can give leave there: clients sign in as themselves.
    #[must_use]
    pub fn is_for_machines(&self) -> bool {
        self.is_for_machines
    }

    /// Makes this hub a client there: one that was made before, one that is its own document, or one that is
    /// registered now.
    ///
    /// # Errors
    /// When it takes no clients that it does not know.
    pub async fn register(&self, identity: &Identity, route: &Route) -> Result<Registered, Fault> {
        let kept = |client_id: String, client_secret: Option<String>, auth_method: String| Registered {
            resource: self.resource.clone(),
            issuer: self.issuer.clone(),
            scope: self.scope.clone(),
            authorization_endpoint: self.authorization_endpoint.clone(),
            token_endpoint: self.token_endpoint.clone(),
            device_endpoint: self.device_endpoint.clone(),
            client_id,
            client_secret,
            auth_method,
            tells_issuer: self.tells_issuer,
            redirect_uri: identity.redirect_uri.clone(),
        };
        if let Some(client_id) = &identity.client_id {
            let secret = identity.client_secret.as_ref().map(|secret| secret.expose().to_owned());
            let method = self.method(secret.is_some());
            return Ok(kept(client_id.clone(), secret, method));
        }
        if let Some(document) = identity.document.as_ref().filter(|_| self.takes_client_documents) {
            return Ok(kept(document.clone(), None, "none".to_owned()));
        }
        let Some(endpoint) = &self.registration_endpoint else {
            let what = format!("{} registers no clients by itself", shown(&self.issuer));
            return Err(Fault::new(Code::MISCONFIGURED, what).with_hint(
                "make a client there and store auth.credentials.client_id, and client_secret where it has one",
            ));
        };
        let method = self.method(true);
        let mut wish = client_document(&identity.redirect_uri);
        if let Some(members) = wish.as_object_mut() {
            members.insert("application_type".to_owned(), "web".into());
            members.insert("token_endpoint_auth_method".to_owned(), method.as_str().into());
            if !self.scope.is_empty() {
                members.insert("scope".to_owned(), self.scope.as_str().into());
            }
        }
        let (status, answer) = exchange("POST", endpoint, Some(&wish), route).await?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        match text("client_id") {
            Some(client_id) if status < 300 => {
                let secret = text("client_secret");
                let granted = text("token_endpoint_auth_method").unwrap_or(method);
                let granted = if secret.is_none() { "none".to_owned() } else { granted };
                Ok(kept(client_id, secret, granted))
            }
            _ => {
                let error: String = text("error").unwrap_or_default().chars().take(64).collect();
                let what =
                    format!("{} does not register this hub: status {status} {error}", shown(&self.issuer));
                Err(Fault::new(Code::UPSTREAM_REFUSED, what.trim_end().to_owned())
                    .with_hint("make a client there and store auth.credentials.client_id"))
            }
        }
    }

    /// How a client proves itself there.
    fn method(&self, has_secret: bool) -> String {
        let known = ["client_secret_basic", "client_secret_post"];
        let offered = |method: &&&str| {
            self.auth_methods.is_empty() || self.auth_methods.iter().any(|one| one == **method)
        };
        match known.iter().find(offered) {
            Some(method) if has_secret => (*method).to_owned(),
            _ => "none".to_owned(),
        }
    }
}

/// What a hub says of itself as a client: registered, or at an address of its own.
#[must_use]
pub fn client_document(redirect_uri: &str) -> Value {
    json!({
        "client_name": "Trunkline",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

// === impl Registered ===

impl Registered {
    /// Whether it is still the client to ask with.
    #[must_use]
    pub fn is_good_for(&self, found: &Found, identity: &Identity) -> bool {
        self.issuer == found.issuer
            && self.resource == found.resource
            && self.redirect_uri == identity.redirect_uri
            && identity.client_id.as_ref().is_none_or(|id| *id == self.client_id)
    }

    /// The same, asking for the leave that is wanted now too.
    #[must_use]
    pub fn wanting(mut self, scope: &str) -> Self {
        self.scope = union(&self.scope, scope);
        self
    }

    /// As the one secret that it is stored as.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        Secret::new(serde_json::to_string(self).unwrap_or_default())
    }

    /// The other way round.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> Option<Self> {
        serde_json::from_str(secret.expose()).ok()
    }

    /// As a client that tokens are asked with; `name` is what people call the server.
    #[must_use]
    pub fn provider(&self, name: &str, route: Route) -> Provider {
        let resource = vec![("resource".to_owned(), self.resource.clone())];
        Provider {
            name: name.to_owned(),
            authorization_url: self.authorization_endpoint.clone(),
            token_url: self.token_endpoint.clone(),
            device_url: self.device_endpoint.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone().map(Secret::new),
            client: match (self.auth_method.as_str(), &self.client_secret) {
                ("client_secret_basic", Some(_)) => ClientProof::Basic,
                ("client_secret_post", Some(_)) => ClientProof::Body,
                _ => ClientProof::None,
            },
            client_assertion: None,
            scope: self.scope.clone(),
            authorization_params: resource.clone(),
            token_params: resource,
            is_pkce: true,
            response: ResponsePaths::default(),
            expires_in_s: None,
            refresh_before_s: 300,
            is_json: false,
            issuer: Some((self.issuer.clone(), self.tells_issuer)),
            route,
        }
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registered({} at {})", self.client_id, self.issuer)
    }
}

/// The words of both, each once.
fn union(one: &str, other: &str) -> String {
    let mut words: Vec<&str> = one.split_whitespace().collect();
    for word in other.split_whitespace() {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Origin and path of a URL, without query.
fn split(url: &str) -> (String, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    (format!("{scheme}://{}", authority.to_ascii_lowercase()), path.trim_end_matches('/').to_owned())
}

/// Whether a resource is this URL, or a part of the same server that it lies in.
fn covers(resource: &str, url: &str) -> bool {
    let (one, inner) = (split(resource), split(url));
    let is_below = inner.1.strip_prefix(&one.1).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    one.0 == inner.0 && is_below
}

/// A URL as it may be shown: no more than its host.
fn shown(url: &str) -> String {
    split(url).0.chars().filter(|c| !c.is_control()).take(200).collect()
}

async fn first_of(places: &[String], route: &Route) -> Result<Option<Value>, Fault> {
    for place in places {
        if let Some(found) = document(place, route).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A JSON document; `None` where there is none.
async fn document(place: &str, route: &Route) -> Result<Option<Value>, Fault> {
    let (status, value) = exchange("GET", place, None, route).await?;
    match status {
        200..=299 if value.is_object() => Ok(Some(value)),
        500.. => {
            Err(Fault::new(Code::UNREACHABLE, format!("{} answered {status} for its metadata", shown(place))))
        }
        _ => Ok(None),
    }
}

async fn exchange(
    method: &str,
    url: &str,
    body: Option<&Value>,
    route: &Route,
) -> Result<(u16, Value), Fault> {
    let target = Target::parse(url, route)?;
    let mut head = Head::new();
    head.push("accept", "application/json")?;
    head.push("mcp-protocol-version", "2025-11-25")?;
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        head.push("content-type", "application/json")?;
    }
    let deadline = Instant::now() + TIMEOUT;
    let outgoing =
        Outgoing { method, head: &head, body: &[body.as_bytes()], is_replayable: method == "GET", deadline };
    let response = Client::new().send(&target, outgoing).await?;
    let status = response.status;
    let read = tokio::time::timeout_at(deadline, response.body.collect(DOCUMENT_MAX)).await;
    let bytes =
        read.map_err(|_| Fault::new(Code::TIMEOUT, format!("{} did not answer in time", shown(url))))??;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

#[cfg(test)]
mod tests {
    use super::{Challenge, covers, split, union};

    #[test]
    fn challenges_are_read_in_any_order_and_spelling() {
        let read = Challenge::read(
            r#"Bearer realm="x", error="insufficient_scope", scope="a b", resource_metadata="https://a/x?y=z""#,
        );
        assert_eq!(read.scope.as_deref(), Some("a b"));
        assert_eq!(read.error.as_deref(), Some("insufficient_scope"));
        assert_eq!(read.resource_metadata.as_deref(), Some("https://a/x?y=z"));
        assert_eq!(Challenge::read("bearer scope=a, error=x").scope.as_deref(), Some("a"));
        for nothing in ["", "Basic realm=\"x\"", "Bearer", "Bearer =", "Bearer scope=\""] {
            assert_eq!(Challenge::read(nothing).resource_metadata, None, "{nothing}");
        }
    }

    #[test]
    fn a_resource_is_the_server_or_what_it_lies_in_and_no_other() {
        assert!(covers("https://a/mcp", "https://a/mcp") && covers("https://A", "https://a/mcp"));
        assert!(covers("https://a/mcp/", "https://a/mcp/x?y=1"));
        for other in
            ["https://b/mcp", "http://a/mcp", "https://a/mc", "https://a/other", "https://a.evil/mcp"]
        {
            assert!(!covers(other, "https://a/mcp"), "{other}");
        }
        assert_eq!(split("https://A:1/b/c/?d#e"), ("https://a:1".to_owned(), "/b/c".to_owned()));
        assert_eq!(union("a b", "b c"), "a b c");
    }
}
