//! `trunkline explain`: the page of an error code, from inside of the binary.

use model::Code;

use crate::cli::Shared;
use crate::config::problem::nearest;
use crate::say::{Quit, out, table};

/// Code and page, from `docs/errors/`; see `build.rs`.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

/// Prints one page, or the list of all codes.
pub(crate) fn run(shared: &Shared, code: Option<&str>) -> Result<(), Quit> {
    let Some(code) = code else {
        if shared.json {
            let all: Vec<_> = Code::ALL
                .iter()
                .map(|(code, status, title)| serde_json::json!({ "code": code, "status": status, "title": title }))
                .collect();
            out(&serde_json::Value::from(all).to_string());
        } else {
            let rows: Vec<_> = Code::ALL
                .iter()
                .map(|(code, _, title)| vec![code.to_string(), (*title).to_owned()])
                .collect();
            out(&table(&rows));
        }
        return Ok(());
    };
    let upper = code.trim().to_uppercase();
    let wanted = if upper.starts_with("TL-") { upper } else { format!("TL-{upper}") };
    let Some((name, page)) = PAGES.iter().find(|(name, _)| *name == wanted) else {
        let hint = match nearest(&wanted, PAGES.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean {near}? `trunkline explain` lists all codes"),
            None => "`trunkline explain` lists all codes".to_owned(),
        };
        return Err(Quit::usage(format!("there is no error code {wanted}")).with_hint(hint));
    };
    if shared.json {
        out(&serde_json::json!({ "code": name, "page": page }).to_string());
    } else {
        out(page);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::PAGES;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let codes: Vec<_> = model::Code::ALL.iter().map(|(code, ..)| code.to_string()).collect();
        let pages: Vec<_> = PAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(codes, pages);
    }
}
