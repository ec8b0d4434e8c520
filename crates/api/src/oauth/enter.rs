//! The page on which a user enters a key or password of their own for a connection.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Redirect, Response};
use connector::NewCredential;
use http::{HeaderMap, StatusCode};
use model::{Code, Fault, Secret};
use store::ConnectionRow;

use super::page::{escaped, page, sorry};
use crate::app::App;
use crate::{CredentialField, OwnWay};

/// The page. `whom` is HTML.
pub(super) fn form(row: &ConnectionRow, whom: &str, fields: &[CredentialField], state: &str) -> Response {
    let mut body = format!(
        "<p>The connection <strong>{key}</strong> of this hub needs a credential of your own for <strong>{name}</strong>. {whom}</p>\
         <form method=\"post\" action=\"/oauth/enter\"><input type=\"hidden\" name=\"state\" value=\"{state}\">",
        key = escaped(row.key.as_str()),
        name = escaped(&row.name),
        state = escaped(state),
    );
    for field in fields {
        let (name, title, help) = (escaped(&field.field), escaped(&field.title), escaped(&field.help));
        let required = if field.required { " required" } else { "" };
        body.push_str(&format!(
            "<p><label>{title}<br><input type=\"password\" name=\"{name}\" autocomplete=\"off\"{required}></label></p>"
        ));
        if !help.is_empty() {
            body.push_str(&format!("<p class=\"note\">{help}</p>"));
        }
    }
    body.push_str("<p><button type=\"submit\">Store it for me</button></p></form><p class=\"note\">It is sealed, and never shown again.</p>");
    page(StatusCode::OK, "Your own credential", &body)
}

/// Store what a user entered on the page before
#[utoipa::path(post, path = "/oauth/enter", operation_id = "enterCredential", tag = "oauth",
    request_body(content = Object, content_type = "application/x-www-form-urlencoded",
        description = "`state` as the page holds it, and a value for each field that it names."),
    responses(
        (status = SEE_OTHER, description = "To the last page"),
        (status = "4XX", description = "Why not", body = String, content_type = "text/html"),
        (status = "5XX", description = "Why not", body = String, content_type = "text/html")))]
pub(crate) async fn enter(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    sent: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let stored = match sent {
        Ok(Form(values)) => store(&app, &headers, values).await,
        Err(error) => Err(Fault::new(Code::BAD_MESSAGE, error.body_text()).with_hint("open the link again")),
    };
    match stored {
        Ok(name) => Redirect::to(&super::done_at(&app, &name)).into_response(),
        Err(fault) => sorry(&fault),
    }
}

async fn store(
    app: &Arc<App>,
    headers: &HeaderMap,
    mut values: HashMap<String, String>,
) -> Result<String, Fault> {
    let travelling = super::back(app, headers, &values.remove("state").unwrap_or_default()).await?;
    let row = super::row_of(app, &travelling.ticket).await?;
    let stale = || Fault::new(Code::STALE_STATE, "the link is for no user").with_hint("ask for a new one");
    let user = travelling.ticket.own.as_ref().ok_or_else(stale)?.user;
    let Some(OwnWay::Entered(fields)) = app.parts.directory.own_way(&row)? else {
        let what = "since the link was made, the connection has changed in how it proves itself";
        return Err(Fault::new(Code::STALE_STATE, what).with_hint("ask for a new one"));
    };
    let mut given = Vec::new();
    for field in &fields {
        let value = values.remove(&field.field).filter(|value| !value.trim().is_empty());
        match value {
            Some(value) => given.push((field.field.clone(), Secret::new(value.trim().to_owned()))),
            None if field.required => {
                return Err(Fault::new(Code::BAD_ARGUMENTS, format!("{} is empty", field.title))
                    .with_hint("go back and fill it in"));
            }
            None => {}
        }
    }
    for (field, value) in given {
        let new = NewCredential { field, user: Some(user), value, expires_at: None, overlap_ms: 0 };
        app.parts.credentials.put(&row, new).await?;
    }
    super::told(app, &row, &travelling.ticket, "a user stored a credential of their own").await?;
    super::use_it(app, &travelling.ticket).await?;
    Ok(row.key.to_string())
}
