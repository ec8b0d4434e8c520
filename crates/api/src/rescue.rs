//! The one place where a [`Fault`] becomes an HTTP answer: `application/problem+json` (RFC 9457).
//!
//! Members: `type` (`/errors/TL-nnnn`, which is served), `title`, `status`, `detail`, `code`, `blame`
//! (`caller`, `upstream`, `operator`, `bug`), `retry` (`never`, `safe`, `after_ms:1000`,
//! `outcome_unknown`: the words of the MCP door), `hint` (may be empty), `link` (a page on which the caller can
//! mend it, or null), `call_id` (null when nothing was called). `retry: after_ms` also sets `Retry-After`, in whole seconds.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use model::id::CallId;
use model::{Blame, Code, Fault, Retry};

use crate::idempotency::{DidNothing, did_nothing};

/// A fault on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    fault: Fault,
    status: StatusCode,
    call_id: Option<CallId>,
    challenge: Option<&'static str>,
}

/// What went wrong, whose fault it is and what to do (RFC 9457).
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct View<'a> {
    /// Path of the page about the error.
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[schema(value_type = String, pattern = "^TL-[0-9]{4}$")]
    code: Code,
    #[schema(inline, value_type = crate::openapi::schema::Blame)]
    blame: Blame,
    #[schema(pattern = "^(never|safe|after_ms:[0-9]+|outcome_unknown)$")]
    retry: String,
    /// What to do; may be empty.
    hint: &'a str,
    /// Where the caller can do it in a browser, where there is such a page. It is for this caller alone.
    #[schema(required = true)]
    link: Option<&'a str>,
    /// The call it happened in, if there was one.
    #[schema(required = true, value_type = Option<String>)]
    call_id: Option<CallId>,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Fault::new(code, detail).into()
    }

    /// The request is not what the route asks for.
    pub(crate) fn bad_message(detail: impl Into<String>, hint: &str) -> Self {
        Fault::new(Code::BAD_MESSAGE, detail).with_hint(hint).into()
    }

    /// Nothing is served at this address.
    pub(crate) fn no_page(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Fault::new(Code::NOT_FOUND, format!("nothing is served at `{path}`"))
            .with_hint("GET /openapi.json lists what is")
            .into()
    }

    /// A status other than the one its code usually has: 405 and 415 have no code of their own.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The call that it happened in.
    pub(crate) fn with_call(mut self, id: CallId) -> Self {
        self.call_id = Some(id);
        self
    }

    /// How to sign in (RFC 6750 §3).
    pub(crate) fn with_challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    pub(crate) const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// As a member of another answer.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self.view()).unwrap_or_default()
    }

    fn view(&self) -> View<'_> {
        View {
            r#type: format!("/errors/{}", self.fault.code),
            title: self.fault.code.describe().1,
            status: self.status.as_u16(),
            detail: &self.fault.detail,
            code: self.fault.code,
            blame: self.fault.blame,
            retry: self.fault.retry.to_string(),
            hint: &self.fault.hint,
            link: self.fault.link.as_ref().map(|link| link.url.as_str()),
            call_id: self.call_id,
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let status =
            StatusCode::from_u16(fault.code.describe().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { fault, status, call_id: None, challenge: None }
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Self {
        error.fault().into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.fault.blame == Blame::Bug {
            tracing::error!(code = %self.fault.code, call_id = ?self.call_id, "{}", self.fault.detail);
        }
        let body = serde_json::to_vec(&self.view()).unwrap_or_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Retry::AfterMs(ms) = self.fault.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        let mut response = (self.status, headers, body).into_response();
        if did_nothing(&self.fault) {
            response.extensions_mut().insert(DidNothing);
        }
        response
    }
}
