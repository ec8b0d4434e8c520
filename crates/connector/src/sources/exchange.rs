//! One exchange with a source: JSON over HTTP, with a time and a size.

use std::time::Duration;

use model::{Fault, Secret};
use outbound::{Client, Head, Outgoing, Route, Target};
use serde_json::Value;
use tokio::time::Instant;

use super::Failure;

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, bytes. Vault keeps at most 1 MiB, AWS 64 KiB.
const ANSWER_MAX: usize = 2 << 20;
/// How much of a source's words is repeated, characters.
const WORDS_MAX: usize = 200;

/// Sends one request; the status and the answer, `Null` where it is no JSON.
pub(super) async fn send(
    method: &str,
    url: &str,
    route: &Route,
    headers: &[(&str, &str)],
    body: Option<&Secret>,
) -> Result<(u16, Value), Failure> {
    let exchange = async {
        let mut head = Head::new();
        head.push("user-agent", concat!("trunkline/", env!("CARGO_PKG_VERSION")))?;
        for (name, value) in headers {
            head.push(name, value)?;
        }
        let target = Target::parse(url, route)?;
        let parts: Vec<&[u8]> = body.iter().map(|body| body.expose().as_bytes()).collect();
        // Reads and sign-ins: neither changes anything when it is done twice.
        let outgoing = Outgoing {
            method,
            head: &head,
            body: &parts,
            is_replayable: true,
            deadline: Instant::now() + TIMEOUT,
        };
        let response = Client::new().send(&target, outgoing).await?;
        let bytes = response.body.collect(ANSWER_MAX).await?;
        Ok((response.status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    };
    let late = || Failure {
        outcome: "unreachable",
        why: "no whole answer in time".to_owned(),
        hint: "check that the server is well, and what stands between".to_owned(),
    };
    let answer: Result<_, outbound::OutboundError> =
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(|_| late())?;
    answer.map_err(|error| {
        let fault = Fault::from(error);
        Failure { outcome: "unreachable", why: fault.detail, hint: fault.hint }
    })
}

/// What a source said, shortened and on one line.
pub(super) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(WORDS_MAX).collect()
}
