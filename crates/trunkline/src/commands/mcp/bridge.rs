//! Lines on standard input and output, messages on a WebSocket of a running hub. Nothing is read into
//! them but what is needed to know when the last answer has come.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use credential::SystemEntropy;
use outbound::target::CONNECT_TIMEOUT;
use outbound::{EgressRule, Head, OutboundError, Route, Target, dial_websocket};
use process::{LINE_BYTES_MAX, LineReader};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::Remote;
use crate::say::Quit;

/// How long answers may take after the input has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(60);

/// What tells a request from an answer.
#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    id: Option<IgnoredAny>,
    #[serde(default)]
    method: Option<IgnoredAny>,
}

/// Bridges until the input ends or the hub goes away.
pub(super) async fn run(hub: &Remote, path: &str) -> Result<(), Quit> {
    let Some(key) = &hub.key else {
        return Err(Quit::failed(format!("a hub runs at {}, and this needs one of its keys", hub.url))
            .with_hint("give it with --key or TRUNKLINE_KEY; `trunkline key new` makes one"));
    };
    let url = format!("ws{}{path}", hub.url.strip_prefix("http").unwrap_or(&hub.url));
    let failed = |error: &OutboundError| match error {
        OutboundError::Upgrade { status: 401, .. } => {
            Quit::failed(format!("the hub at {} does not know this key", hub.url))
                .with_hint("`trunkline key list` shows which keys there are")
        }
        OutboundError::Upgrade { status, .. } => {
            Quit::failed(format!("the hub at {} answered {status} for {path}", hub.url))
                .with_hint("check the name, and that the hub has `mcp: { websocket: true }`")
        }
        other => hub.quit(other),
    };
    let route = Route::new(EgressRule { private_allowed: true }, CONNECT_TIMEOUT);
    let target = Target::parse(&url, &route).map_err(|error| failed(&error))?;
    let mut head = Head::new();
    head.push("authorization", &format!("Bearer {}", key.expose())).map_err(|error| failed(&error))?;
    let dialled = dial_websocket(
        &target,
        &head,
        "mcp",
        LINE_BYTES_MAX,
        Arc::new(SystemEntropy),
        Instant::now() + CONNECT_TIMEOUT,
    );
    let (mut from_hub, to_hub) = dialled.await.map_err(|error| failed(&error))?;

    let mut input = LineReader::new(tokio::io::stdin(), LINE_BYTES_MAX);
    let mut output = tokio::io::stdout();
    let mut open: usize = 0;
    let mut deadline: Option<Instant> = None;
    let gone = |why: String| Quit::failed(format!("the hub at {} went away: {why}", hub.url));
    loop {
        if deadline.is_some() && open == 0 {
            break;
        }
        let over = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = input.next_line(), if deadline.is_none() => match line {
                Ok(Some(line)) if line.trim_ascii().is_empty() => {}
                Ok(Some(line)) => {
                    open += usize::from(is_request(&line));
                    to_hub.send_text(&[line]).await.map_err(|error| gone(error.to_string()))?;
                }
                Ok(None) => deadline = Some(Instant::now() + LAST_ANSWERS),
                Err(error) => return Err(Quit::failed(format!("standard input: {error}"))),
            },
            message = from_hub.next() => match message {
                Ok(Some(message)) => {
                    open = open.saturating_sub(usize::from(is_answer(&message)));
                    let mut line = Vec::with_capacity(message.len() + 1);
                    // A message may hold line breaks between its members; in strings they are escaped.
                    line.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
                    line.push(b'\n');
                    let written = async {
                        output.write_all(&line).await?;
                        output.flush().await
                    };
                    // A client that has gone away is the ordinary end.
                    if written.await.is_err() {
                        break;
                    }
                }
                Ok(None) if deadline.is_some() => break,
                Ok(None) => return Err(gone("it closed the connection".to_owned())),
                Err(error) => return Err(gone(error.to_string())),
            },
            () = over => break,
            () = super::stop() => break,
        }
    }
    to_hub.close().await;
    Ok(())
}

fn shape(message: &Bytes) -> Option<Shape> {
    serde_json::from_slice(message).ok()
}

fn is_request(message: &Bytes) -> bool {
    shape(message).is_some_and(|shape| shape.id.is_some() && shape.method.is_some())
}

fn is_answer(message: &Bytes) -> bool {
    shape(message).is_some_and(|shape| shape.id.is_some() && shape.method.is_none())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{is_answer, is_request};

    #[test]
    fn requests_and_answers_are_told_apart() {
        let kind = |text: &'static str| {
            let message = Bytes::from_static(text.as_bytes());
            (is_request(&message), is_answer(&message))
        };
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), (true, false));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":"a","result":{}}"#), (false, true));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#), (false, false));
        assert_eq!(kind("nonsense"), (false, false));
    }
}
