//! What a server says to somebody without a token: where its metadata is, and what leave it wants.

use std::time::Duration;

use connector::oauth::Challenge;
use model::Fault;
use outbound::{Client, Head, Outgoing, Route, Target};
use tokio::time::Instant;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much of its answer is read, bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// Two questions that change nothing: some servers let a greeting pass, and refuse what comes after it.
const QUESTIONS: [&[u8]; 2] = [
    br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"trunkline","version":"0"}}}"#,
    br#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#,
];

/// Greets the server at `url` without a token. `None` where it does not refuse; an empty challenge where it
/// refuses without a word.
///
/// # Errors
/// When it cannot be reached.
pub async fn challenge_of(url: &str, route: &Route) -> Result<Option<Challenge>, Fault> {
    let target = Target::parse(url, route)?;
    let mut head = Head::new();
    head.push("content-type", "application/json")?;
    head.push("accept", "application/json, text/event-stream")?;
    for question in QUESTIONS {
        let deadline = Instant::now() + TIMEOUT;
        let request =
            Outgoing { method: "POST", head: &head, body: &[question], is_replayable: true, deadline };
        let response = Client::new().send(&target, request).await?;
        if response.status == 401 {
            return Ok(Some(
                response.headers.get("www-authenticate").map(Challenge::read).unwrap_or_default(),
            ));
        }
        // Read, so that the connection can be used again; an event stream is left.
        if !response.headers.is_type("text/event-stream") {
            let _ = tokio::time::timeout_at(deadline, response.body.collect(ANSWER_MAX)).await;
        }
    }
    Ok(None)
}
