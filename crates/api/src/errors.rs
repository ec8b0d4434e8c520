//! `/errors/{code}`: the page that `type` of a problem points to, as `docs/errors/` has it. The command line
//! shows the same ones.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::extract::Segments;
use crate::rescue::Problem;

/// Every page, by its code: what lies under `docs/errors/`, collected by `build.rs`.
static PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// The page of a code such as `TL-1101`, in Markdown.
#[must_use]
pub fn page(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| *page)
}

/// What an error code means and what to do
#[utoipa::path(get, path = "/errors/{code}", operation_id = "showErrorPage", tag = "operations",
    params(("code" = String, Path, description = "For example `TL-1101`.")),
    responses((status = OK, description = "The page", body = String, content_type = "text/markdown")))]
pub(crate) async fn show_page(Segments(code): Segments<String>) -> Result<Response, Problem> {
    let page = page(&code).ok_or_else(|| Problem::no_page(&format!("/errors/{code}")))?;
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], page).into_response())
}

#[cfg(test)]
mod tests {
    use model::Code;

    #[test]
    fn every_code_has_its_page_and_no_page_is_left_over() {
        let codes: Vec<_> = Code::ALL.iter().map(|(code, ..)| code.to_string()).collect();
        let pages: Vec<_> = super::PAGES.iter().map(|(code, _)| (*code).to_owned()).collect();
        assert_eq!(codes, pages);
        for (code, status, title) in Code::ALL {
            let page = super::page(&code.to_string()).unwrap();
            assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
            assert!(page.contains(&format!("HTTP {status} ")), "{code}");
        }
        assert_eq!(super::page("tl-1101"), super::page("TL-1101"));
        assert_eq!(super::page("TL-0000"), None);
    }
}
