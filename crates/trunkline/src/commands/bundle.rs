//! `trunkline export --connections` and `trunkline import` of what it printed: connections, toolsets and
//! entries of the catalogue that were made through the API, through a running hub.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Remote, block_on, cell};
use crate::cli::Shared;
use crate::say::{Quit, note, out, table};

/// What marks a document of `export --connections`.
const MARK: &str = "trunkline_export";
/// The largest document that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The largest passphrase file.
const PASSPHRASE_BYTES_MAX: u64 = 4096;
/// How long an import of many items may take.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// How a document is to be imported.
pub(crate) struct Wanted<'a> {
    pub(crate) is_dry_run: bool,
    pub(crate) passphrase_file: Option<&'a Path>,
    pub(crate) consents: &'a [String],
}

/// Prints the document.
pub(crate) fn export(shared: &Shared, passphrase_file: Option<&Path>) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    let document = match passphrase_file {
        None => block_on(hub.get("/api/v1/export"))?,
        Some(file) => {
            let body = json!({ "passphrase": passphrase(file)? });
            block_on(hub.ask("POST", "/api/v1/export", Some(&body)))?
        }
    };
    let text = serde_json::to_string_pretty(&document).map_err(|error| Quit::failed(error.to_string()))?;
    out(&text);
    if passphrase_file.is_none() {
        note("secrets are not in it; --secrets --passphrase-file FILE seals them under a passphrase");
    }
    Ok(())
}

/// The file's document, if it is one of `export --connections`.
pub(crate) fn document(file: &Path) -> Option<Value> {
    if std::fs::metadata(file).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    let document: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    document.get(MARK).is_some().then_some(document)
}

/// Puts it into the hub, and says what came of each item.
pub(crate) fn import(shared: &Shared, document: Value, wanted: &Wanted<'_>) -> Result<(), Quit> {
    let is_sealed = document.get("sealed").is_some();
    let mut body =
        json!({ "document": document, "is_dry_run": wanted.is_dry_run, "consents": wanted.consents });
    if let Some(file) = wanted.passphrase_file
        && let Some(members) = body.as_object_mut()
    {
        members.insert("passphrase".to_owned(), passphrase(file)?.into());
    }
    let hub = Remote::of(shared);
    let report = block_on(hub.ask_within("POST", "/api/v1/import", Some(&body), TIMEOUT))?;
    tell(shared, &report);
    if is_sealed && wanted.passphrase_file.is_none() {
        note("its secrets were left out: --passphrase-file FILE opens them");
    }
    let failed = report.get("failed").and_then(Value::as_u64).unwrap_or(0);
    if failed > 0 { Err(Quit::silent(1)) } else { Ok(()) }
}

fn tell(shared: &Shared, report: &Value) {
    if shared.json {
        out(&report.to_string());
        return;
    }
    let mut rows = vec![["WHAT", "KEY", "OUTCOME", "WHY NOT"].map(str::to_owned).to_vec()];
    for one in report.get("items").and_then(Value::as_array).into_iter().flatten() {
        rows.push(["kind", "key", "outcome", "detail"].map(|name| cell(one, name)).to_vec());
    }
    out(&table(&rows));
    let counts =
        ["made", "changed", "skipped", "failed"].map(|name| format!("{} {name}", cell(report, name)));
    let is_dry = report.get("is_dry_run").and_then(Value::as_bool).unwrap_or(false);
    out(&format!("{}{}", counts.join(", "), if is_dry { "; nothing was done (--dry-run)" } else { "" }));
}

/// The first line of a file.
fn passphrase(file: &Path) -> Result<String, Quit> {
    let failed = |what: String| Quit::failed(format!("the passphrase file {}: {what}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if size > PASSPHRASE_BYTES_MAX {
        return Err(failed(format!("is larger than {PASSPHRASE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        return Err(failed("is empty".to_owned()).with_hint("write the passphrase on its first line"));
    }
    Ok(line)
}
