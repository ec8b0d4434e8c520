//! `/api/v1/docs`: the page on which people read the OpenAPI document and try it. Three static files inside
//! the binary; the page reads the document with the key that is typed into it, so that it shows nobody more
//! than that key may use.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};

/// Nothing from elsewhere, nothing inline, nobody's frame: a foreign script has no way in.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The documentation page
#[utoipa::path(get, path = "/api/v1/docs", operation_id = "showDocs", tag = "operations",
    responses((status = OK, description = "The page", body = String, content_type = "text/html")))]
pub(crate) async fn show_page() -> Response {
    file("text/html; charset=utf-8", include_str!("docs/index.html"))
}

/// Its script
#[utoipa::path(get, path = "/api/v1/docs/page.js", operation_id = "showDocsScript", tag = "operations",
    responses((status = OK, description = "The script", body = String, content_type = "text/javascript")))]
pub(crate) async fn show_script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("docs/page.js"))
}

/// Its style
#[utoipa::path(get, path = "/api/v1/docs/page.css", operation_id = "showDocsStyle", tag = "operations",
    responses((status = OK, description = "The style sheet", body = String, content_type = "text/css")))]
pub(crate) async fn show_style() -> Response {
    file("text/css; charset=utf-8", include_str!("docs/page.css"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, text).into_response()
}
