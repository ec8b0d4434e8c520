//! The pages of `/oauth`: one frame for all of them, without scripts, in nobody's frame.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use model::Fault;

/// Nothing inline, nothing from elsewhere, nobody's frame.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Text as HTML has it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Why something did not work.
pub(super) fn sorry(fault: &Fault) -> Response {
    let (status, title) = fault.code.describe();
    let body = format!(
        "<p role=\"alert\">{}</p><p>{}</p><p class=\"note\">{} {}</p>",
        escaped(&fault.detail),
        escaped(&fault.hint),
        fault.code,
        escaped(title)
    );
    page(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), "This did not work", &body)
}

/// A page with this title and body; both are HTML.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · Trunkline</title><link rel=\"stylesheet\" href=\"/api/v1/docs/page.css\"></head>\
         <body><main class=\"card\"><h1>{title}</h1>{body}</main></body></html>"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, html).into_response()
}
