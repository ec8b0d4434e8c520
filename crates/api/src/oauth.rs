//! Leave in a browser: the link that somebody opens, the page before the vendor's, and the page after it; and a form
//! in its place where what is asked for is not leave but a key.
//!
//! Nobody signs in on these pages. The link holds a sealed ticket ([`ticket`]) that a key with `manage` gets, or, where
//! everybody uses their own credentials, whoever was refused for want of one. The page names what is about to be
//! given to whom and sets a cookie; the answer counts only in the browser that has it, so that nobody can be led to
//! give somebody else their account (RFC 6749 §10.12).

mod enter;
mod page;
mod ticket;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use connector::oauth::{Ask, DeviceCode, Pkce, Refusal, client_document};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::id::ConnectionId;
use model::{Access, Caller, Code, ConnectionStatus, Fault, Owner, Secret, Timestamp, hex};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use store::{ConnectionRow, EventType, Scope};
use utoipa::ToSchema;

use crate::app::App;
use crate::connections::create::log_entry;
use crate::connections::{lifecycle, stored};
use crate::extract::{Segments, Sent, Signed};
use crate::rescue::Problem;
use crate::{Leave, OwnWay};
use page::{escaped, page, sorry};
use ticket::{STATE_MS, Ticket, Travelling};

pub(crate) use enter::{__path_enter, enter};
pub use ticket::Links;

const COOKIE_NAME: &str = "trunkline_leave";

/// How leave is to be asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = AuthorizationRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskBody {
    /// In a browser that comes back to this hub (the usual way), or with a code on another device.
    #[serde(default)]
    #[schema(inline)]
    grant: Way,
}

#[derive(Deserialize, Serialize, ToSchema, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    #[default]
    AuthorizationCode,
    DeviceCode,
}

/// Where somebody gives leave.
#[derive(Serialize, ToSchema)]
#[schema(as = Authorization)]
pub(crate) struct AuthorizationView {
    #[schema(inline)]
    grant: Way,
    /// What to open in a browser.
    url: String,
    /// What to type in there; null where the link holds it all.
    #[schema(required = true)]
    user_code: Option<String>,
    /// Until when it is good; milliseconds since 1970, UTC.
    #[schema(value_type = i64)]
    expires_at: Timestamp,
}

/// Ask for somebody's leave
///
/// For connections with OAuth. Gives a link to open in a browser: it names the connection and leads to the
/// vendor; when leave is given there, the connection is tested and connected. With `device_code`, the hub asks
/// the vendor until leave is given with the code on another device. Where everybody uses their own credentials,
/// the leave is the caller's own; a key or password is entered on the page.
#[utoipa::path(post, path = "/api/v1/connections/{connection}/authorize", operation_id = "authorizeConnection",
    tag = "connections", params(("connection" = String, Path, description = "Its key or id.")),
    request_body = AskBody,
    responses((status = OK, description = "Where leave is given", body = AuthorizationView)))]
pub(crate) async fn authorize(
    State(app): State<Arc<App>>,
    Signed(caller): Signed,
    Segments(named): Segments<String>,
    Sent(body): Sent<AskBody>,
) -> Result<Json<AuthorizationView>, Problem> {
    let row = stored(&app, &caller, &named).await?;
    let ticket = app.links.ticket(&row, &caller, row.is_per_user);
    let in_browser = |ticket: &Ticket| -> Result<_, Fault> {
        let url = app.links.url_of(ticket)?;
        Ok(Json(AuthorizationView { grant: body.grant, url, user_code: None, expires_at: ticket.until }))
    };
    if let Some(OwnWay::Entered(_)) = app.parts.directory.own_way(&row)? {
        if body.grant == Way::AuthorizationCode {
            return Ok(in_browser(&ticket)?);
        }
        let what = "grant: this connection takes a credential that is entered, not leave";
        return Err(Fault::new(Code::BAD_ARGUMENTS, what)
            .with_hint("leave it out: there is one page")
            .into());
    }
    let leave = app.parts.directory.leave(&row, app.links.public(), true, caller.owner.user).await?;
    match body.grant {
        Way::AuthorizationCode if leave.has_browser => Ok(in_browser(&ticket)?),
        Way::DeviceCode if leave.has_device => {
            let code =
                leave.keeper.provider().device_code().await.map_err(|why| refused(&leave.name, why))?;
            let expires_at =
                app.parts.clock.now().plus_ms(i64::try_from(code.expires_in_s * 1000).unwrap_or(0));
            let url = code.verification_uri_complete.clone().unwrap_or_else(|| code.verification_uri.clone());
            let user_code = Some(code.user_code.clone());
            tokio::spawn(await_device(Arc::clone(&app), leave, code, ticket));
            Ok(Json(AuthorizationView { grant: body.grant, url, user_code, expires_at }))
        }
        Way::AuthorizationCode | Way::DeviceCode => {
            let what = format!("grant: {} does not give leave in this way", leave.name);
            Err(Fault::new(Code::BAD_ARGUMENTS, what).with_hint("try the other one").into())
        }
    }
}

/// The page before the vendor's
#[utoipa::path(get, path = "/oauth/start", operation_id = "startAuthorization", tag = "oauth",
    params(("ticket" = String, Query, description = "From `authorizeConnection`.")),
    responses(
        (status = OK, description = "The page", body = String, content_type = "text/html"),
        (status = "4XX", description = "Why not", body = String, content_type = "text/html"),
        (status = "5XX", description = "Why not", body = String, content_type = "text/html")))]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let ticket = query.get("ticket").map(String::as_str).unwrap_or_default();
    match begin(&app, ticket).await {
        Ok(response) => response,
        Err(fault) => sorry(&fault),
    }
}

async fn begin(app: &App, ticket: &str) -> Result<Response, Fault> {
    let ticket = app.links.open_ticket(ticket)?;
    let row = row_of(app, &ticket).await?;
    let pkce = Pkce::new(&*app.parts.entropy);
    let mut nonce = [0; 32];
    app.parts.entropy.fill(&mut nonce);
    let cookie = hex(&nonce);
    let until = app.parts.clock.now().plus_ms(STATE_MS);
    let mut travelling = Travelling {
        ticket: Ticket { until, ..ticket },
        verifier: pkce.verifier.expose().to_owned(),
        issuer: None,
        digest: hex(&Sha256::digest(cookie.as_bytes())),
    };
    let whom = whom(app, &travelling.ticket).await?;
    if let Some(OwnWay::Entered(fields)) = app.parts.directory.own_way(&row)? {
        let state = app.links.seal_state(&travelling)?;
        return Ok(with_cookie(app, enter::form(&row, &whom, &fields, &state), &cookie));
    }
    let leave = leave_of(app, &row, &travelling.ticket).await?;
    travelling.issuer = leave.keeper.provider().issuer.as_ref().map(|(issuer, _)| issuer.clone());
    let state = app.links.seal_state(&travelling)?;
    let link = leave.keeper.provider().authorization_link(&redirect_uri(app), &state, Some(&pkce.challenge));
    if !(link.starts_with("https://") || link.starts_with("http://")) {
        return Err(Fault::new(Code::MISCONFIGURED, "its authorisation URL is no http:// or https:// URL"));
    }
    let body = format!(
        "<p>The connection <strong>{key}</strong> of this hub asks for your leave at <strong>{name}</strong>. {whom}</p>\
         <p><a class=\"button\" rel=\"noreferrer\" href=\"{link}\">Go on to {name}</a></p>\
         <p class=\"note\">It leads to <code>{host}</code>.</p>",
        key = escaped(row.key.as_str()),
        name = escaped(&leave.name),
        link = escaped(&link),
        host = escaped(link.split('/').nth(2).unwrap_or_default()),
    );
    Ok(with_cookie(app, page(StatusCode::OK, "Give leave", &body), &cookie))
}

fn with_cookie(app: &App, mut response: Response, cookie: &str) -> Response {
    let secure = if app.links.public().starts_with("https://") { "; Secure" } else { "" };
    let line = format!(
        "{COOKIE_NAME}={cookie}; Path=/oauth; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        STATE_MS / 1000
    );
    if let Ok(value) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// For whom it is, as HTML: who opens a link may not be the one that it was made for, and is to notice.
async fn whom(app: &App, ticket: &Ticket) -> Result<String, Fault> {
    let Some(own) = &ticket.own else {
        return Ok(
            "Whoever may use the connection acts there in the name of the account that you sign in with.</p>\
                   <p>Go on only if you, or somebody whom you trust, made this connection."
                .to_owned(),
        );
    };
    own.check_unused(&rows_of(app, ticket).await?)?;
    let key = match own.api_key {
        Some(id) => app.parts.identity.find_key(ticket.workspace, id).await.map_err(|error| error.fault())?,
        None => None,
    };
    let asked = key.map_or_else(
        || "the operator of this hub, at its machine,".to_owned(),
        |key| format!("the API key <strong>{}</strong> ({}…)", escaped(&key.name), escaped(&key.prefix)),
    );
    Ok(format!(
        "It was {asked} that asked, and whatever user <code>{user}</code> of this hub runs acts there with your account from then on; nobody else's does.</p>\
         <p>Go on only if that is you. If somebody sent you this link, they would be acting in your name.",
        user = own.user,
    ))
}

async fn leave_of(app: &App, row: &ConnectionRow, ticket: &Ticket) -> Result<Leave, Fault> {
    // What was made for one user is never stored as what all share, whatever the connection says by now.
    if ticket.own.is_some() != row.is_per_user {
        let what = "since the link was made, the connection has changed in whose credentials it uses";
        return Err(Fault::new(Code::STALE_STATE, what).with_hint("ask for a new one"));
    }
    let user = ticket.own.as_ref().map_or(row.owner.user, |own| own.user);
    app.parts.directory.leave(row, app.links.public(), false, user).await
}

async fn rows_of(app: &App, ticket: &Ticket) -> Result<Vec<store::CredentialRow>, Fault> {
    app.parts.credentials.rows(&row_of(app, ticket).await?).await
}

/// The page after the vendor's
#[utoipa::path(get, path = "/oauth/callback", operation_id = "finishAuthorization", tag = "oauth",
    params(
        ("state" = Option<String>, Query, description = "As it was sent."),
        ("code" = Option<String>, Query, description = "Where leave was given."),
        ("error" = Option<String>, Query, description = "Where it was not."),
    ),
    responses(
        (status = SEE_OTHER, description = "To the last page"),
        (status = "4XX", description = "Why not", body = String, content_type = "text/html"),
        (status = "5XX", description = "Why not", body = String, content_type = "text/html")))]
pub(crate) async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    match finish(&app, &headers, &query).await {
        Ok(name) => {
            // The address holds a code that was used: it is not left in the browser's history.
            let done = done_at(&app, &name);
            Redirect::to(&done).into_response()
        }
        Err(fault) => sorry(&fault),
    }
}

fn done_at(app: &App, name: &str) -> String {
    format!("{}/oauth/done?name={}", app.links.public(), urlencoded(name))
}

/// What this hub is as a client
///
/// For authorization servers that take an address as a client's name (Client ID Metadata Document).
#[utoipa::path(get, path = "/oauth/client.json", operation_id = "showClient", tag = "oauth",
    responses((status = OK, description = "The document", body = Object)))]
pub(crate) async fn client(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    let mut document = client_document(&redirect_uri(&app));
    if let Some(members) = document.as_object_mut() {
        members.insert("client_id".to_owned(), format!("{}/oauth/client.json", app.links.public()).into());
        members.insert("client_uri".to_owned(), app.links.public().into());
    }
    Json(document)
}

/// The last page
#[utoipa::path(get, path = "/oauth/done", operation_id = "showAuthorized", tag = "oauth",
    params(("name" = Option<String>, Query, description = "The connection.")),
    responses((status = OK, description = "The page", body = String, content_type = "text/html")))]
pub(crate) async fn done(Query(query): Query<HashMap<String, String>>) -> Response {
    let name: String = query.get("name").map(String::as_str).unwrap_or_default().chars().take(64).collect();
    let body =
        format!("<p><strong>{}</strong> has its leave. You can close this window.</p>", escaped(&name));
    page(StatusCode::OK, "Done", &body)
}

/// What came back, if it came back in the browser that it went out from, and was not used by another meanwhile.
async fn back(app: &App, headers: &HeaderMap, state: &str) -> Result<Travelling, Fault> {
    let travelling = app.links.open_state(state)?;
    let cookie =
        headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    let mut values = cookie.filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    // What is compared are digests of random values: how far they agree helps nobody.
    let is_same = |value: &str| hex(&Sha256::digest(value.as_bytes())) == travelling.digest;
    if !values.any(is_same) {
        return Err(Fault::new(Code::STALE_STATE, "this is not the browser in which leave was asked for")
            .with_hint("open the link again, and finish in the same browser; it has to keep cookies"));
    }
    if let Some(own) = &travelling.ticket.own {
        own.check_unused(&rows_of(app, &travelling.ticket).await?)?;
    }
    Ok(travelling)
}

async fn finish(
    app: &Arc<App>,
    headers: &HeaderMap,
    query: &HashMap<String, String>,
) -> Result<String, Fault> {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let travelling = back(app, headers, text("state")).await?;
    let row = row_of(app, &travelling.ticket).await?;
    let leave = leave_of(app, &row, &travelling.ticket).await?;
    if !text("error").is_empty() {
        // An answer in somebody else's name says nothing about this one.
        leave
            .keeper
            .provider()
            .check_issuer(query.get("iss").map(String::as_str), travelling.issuer.as_deref())?;
        let words: String = text("error_description").chars().filter(|c| !c.is_control()).take(300).collect();
        let error: String = text("error").chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(Fault::new(Code::LEAVE_NEEDED, format!("{} gave no leave: {error} {words}", leave.name))
            .with_hint("open the link again to try once more"));
    }
    let provider = leave.keeper.provider();
    provider.check_issuer(query.get("iss").map(String::as_str), travelling.issuer.as_deref())?;
    let code = Secret::new(text("code").to_owned());
    let verifier = Secret::new(travelling.verifier);
    let verifier = provider.is_pkce.then_some(&verifier);
    let redirect_uri = redirect_uri(app);
    let ask = Ask::Code { code: &code, verifier, redirect_uri: &redirect_uri };
    let set = provider.ask(ask, app.parts.clock.now()).await.map_err(|why| refused(&leave.name, why))?;
    leave.keeper.put(set).await?;
    told(app, &row, &travelling.ticket, "leave was given").await?;
    use_it(app, &travelling.ticket).await?;
    Ok(row.key.to_string())
}

/// Says in the connection's log that somebody gave what a link was for.
async fn told(app: &App, row: &ConnectionRow, ticket: &Ticket, what: &str) -> Result<(), Fault> {
    let metadata = json!({ "by": ticket.principal, "user": ticket.own.as_ref().map(|own| own.user) });
    let entry = log_entry(app, row, EventType::ConfigUpdated, what, &metadata);
    let entry = entry.map_err(|problem| problem.fault().clone())?;
    app.parts.store.apply(vec![entry]).await.map_err(|error| error.fault())
}

/// Tests a connection that has just got its leave, and connects it.
async fn use_it(app: &Arc<App>, ticket: &Ticket) -> Result<(), Fault> {
    // What runs is to have the new token, whatever the test says.
    app.parts.directory.settle().await;
    let row = row_of(app, ticket).await?;
    let user = ticket.own.as_ref().map_or(row.owner.user, |own| own.user);
    let caller = Caller {
        owner: Owner { user, ..row.owner },
        api_key: ticket.own.as_ref().and_then(|own| own.api_key),
        principal: ticket.principal.as_str().into(),
        access: Arc::new(Access { manage: ticket.is_manager, ..Access::everything() }),
    };
    if ticket.own.is_some() && row.connected_at.is_some() && row.status != ConnectionStatus::Disconnected {
        // In use by others: what one user's account cannot do says nothing about theirs.
        let tried = app.parts.directory.try_out(&row, &caller).await;
        return tried.map(drop).map_err(|fault| {
            Fault::new(Code::UPSTREAM_REFUSED, format!("it is stored, and the test failed: {}", fault.detail))
                .with_hint(fault.hint)
        });
    }
    let tested = lifecycle::run(app, &caller, row, true).await;
    match tested.map(|view| view.trouble()) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => {
            Err(Fault::new(Code::UPSTREAM_REFUSED, format!("leave was given, and the test failed: {why}")))
        }
        Err(_) => Err(Fault::new(
            Code::CONFLICT,
            "leave was given; the connection is being tested by somebody else",
        )),
    }
}

/// Asks the vendor until somebody has given leave on another device, or the code has run out.
async fn await_device(app: Arc<App>, leave: Leave, code: DeviceCode, ticket: Ticket) {
    let until = tokio::time::Instant::now() + Duration::from_secs(code.expires_in_s);
    let mut wait = code.interval_s;
    while tokio::time::Instant::now() < until && !app.parts.directory.is_draining() {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        match leave.keeper.provider().ask(Ask::Device(&code.device_code), app.parts.clock.now()).await {
            Ok(set) => {
                let done = async {
                    leave.keeper.put(set).await?;
                    told(&app, &row_of(&app, &ticket).await?, &ticket, "leave was given on another device")
                        .await?;
                    use_it(&app, &ticket).await
                };
                let done = done.await;
                if let Err(fault) = done {
                    tracing::warn!(connection = %ticket.connection, "leave was given on another device: {fault}");
                }
                return;
            }
            Err(Refusal::Pending { is_slower }) => wait += if is_slower { 5 } else { 0 },
            Err(Refusal::Transient(fault)) => tracing::debug!("asked for a device's token: {fault}"),
            Err(Refusal::Final { error, words }) => {
                tracing::warn!(connection = %ticket.connection, "no leave on another device: {error} {words}");
                return;
            }
        }
    }
}

fn refused(name: &str, why: Refusal) -> Fault {
    match why {
        Refusal::Final { error, words } => {
            Fault::new(Code::UPSTREAM_REFUSED, format!("{name} gives no token: {error} {words}"))
                .with_hint("check the client's id, secret and redirect address at the vendor")
        }
        Refusal::Pending { .. } => Fault::new(Code::BAD_ANSWER, format!("{name} asks to wait")),
        Refusal::Transient(fault) => fault,
    }
}

async fn row_of(app: &App, ticket: &Ticket) -> Result<ConnectionRow, Fault> {
    let gone = || Fault::new(Code::NOT_FOUND, "the connection is not there any more");
    let id: ConnectionId = ticket.connection.parse().map_err(|_| gone())?;
    let found = app.parts.store.find_connection(Scope::from(ticket.workspace), id).await;
    found.map_err(|error| error.fault())?.ok_or_else(gone)
}

fn redirect_uri(app: &App) -> String {
    format!("{}/oauth/callback", app.links.public())
}

fn urlencoded(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b == b'-' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
