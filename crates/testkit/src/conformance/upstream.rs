//! The hub as a client: the suite plays the servers, `conformance-client` drives the hub's own upstream room at them.

use anyhow::Context as _;

use super::{Place, Verdict, fresh, judge, suite};

/// The cell in words, such as `2025-11-25 upstream-client`.
#[must_use]
pub fn name(set: &str) -> String {
    format!("{set} upstream-client")
}

/// Runs one requirement set.
///
/// # Errors
/// When something could not be started or read; a suite that ran and failed is a verdict.
pub async fn run(place: &Place, set: &str) -> anyhow::Result<Verdict> {
    let folder = format!("{set}.client");
    let out = fresh(place, &folder)?;
    // Built together with this program.
    let client = std::env::current_exe()?.with_file_name("conformance-client");
    let client = client.to_str().context("the path of conformance-client is not UTF-8")?;
    // The suite hands the command to a shell.
    anyhow::ensure!(!client.contains('\''), "the path {client} cannot be quoted");
    let client = format!("'{client}'");
    let (is_content, log) =
        suite(place, &["client", "--command", &client, "--requirements", set], &out).await?;
    std::fs::write(out.join("suite.log"), log)?;
    judge(place, &folder, is_content, None)
}
