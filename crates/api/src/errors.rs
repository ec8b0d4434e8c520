//! `/errors/{code}`: the page that `type` of a problem points to, as `docs/errors/` has it.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::extract::Segments;
use crate::rescue::Problem;

macro_rules! pages {
    ($($code:literal)*) => {
        /// Every page, by its code.
        static PAGES: &[(&str, &str)] = &[$(
            ($code, include_str!(concat!("../../../docs/errors/", $code, ".md"))),
        )*];
    };
}

pages! {
    "TL-1001" "TL-1002" "TL-1003"
    "TL-1101"
    "TL-1201" "TL-1202" "TL-1203" "TL-1204" "TL-1205" "TL-1206" "TL-1207"
    "TL-1301"
    "TL-1401" "TL-1402" "TL-1403" "TL-1404" "TL-1405" "TL-1406" "TL-1407"
    "TL-1501"
    "TL-1601" "TL-1602"
    "TL-1701"
    "TL-1901"
}

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
        for (code, status, title) in Code::ALL {
            let page = super::page(&code.to_string()).unwrap();
            assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
            assert!(page.contains(&format!("HTTP {status} ")), "{code}");
        }
        assert_eq!(super::PAGES.len(), Code::ALL.len());
    }
}
