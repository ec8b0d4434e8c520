//! `trunkline explain`: the page of an error code, the same that a hub serves at `/errors/{code}`.

use model::Code;

use crate::cli::Shared;
use crate::config::problem::nearest;
use crate::say::{Quit, out, table};

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
    let Some(page) = api::error_page(&wanted) else {
        let codes: Vec<_> = Code::ALL.iter().map(|(code, ..)| code.to_string()).collect();
        let hint = match nearest(&wanted, codes.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}? `trunkline explain` lists all codes"),
            None => "`trunkline explain` lists all codes".to_owned(),
        };
        return Err(Quit::usage(format!("there is no error code {wanted}")).with_hint(hint));
    };
    if shared.json {
        out(&serde_json::json!({ "code": wanted, "page": page }).to_string());
    } else {
        out(page);
    }
    Ok(())
}
