//! `trunkline events`: what happens, as it happens, one line each. A stream that breaks is taken up again
//! where it ended.

use std::time::Duration;

use model::Timestamp;
use serde_json::Value;
use wire::sse::{SseEvent, SseReader};

use super::client::{Followed, Remote, block_on, cell, escape};
use crate::cli::Shared;
use crate::say::{Quit, note, out, plain};

/// The longest event that is read, in bytes.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// How long to wait before a stream that ended is asked for again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Prints them until interrupted.
pub(crate) fn run(shared: &Shared, types: Option<&str>) -> Result<(), Quit> {
    let hub = Remote::of(shared);
    block_on(async {
        tokio::select! {
            ended = follow(&hub, types, shared.json) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

async fn follow(hub: &Remote, types: Option<&str>, is_json: bool) -> Result<(), Quit> {
    let types = types.map(|types| format!("?types={}", escape(types))).unwrap_or_default();
    let path = format!("/api/v1/events{types}");
    let mut seen: Option<String> = None;
    loop {
        let mut extra = vec![("accept", "text/event-stream")];
        extra.extend(seen.as_deref().map(|id| ("last-event-id", id)));
        let mut body = match hub.follow(&path, &extra).await {
            Ok(body) => body,
            Err(Followed::Refused(quit)) => return Err(quit),
            // Before the first event there is nothing to take up again.
            Err(Followed::Broken(quit)) if seen.is_none() => return Err(quit),
            Err(Followed::Broken(quit)) => {
                note(&format!("trunkline: {}; trying again", quit.what));
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        let mut reader = SseReader::new(EVENT_BYTES_MAX);
        while let Ok(Some(chunk)) = body.chunk().await {
            let mut events = Vec::new();
            reader
                .feed(&chunk, |event| events.push(event))
                .map_err(|error| Quit::failed(error.to_string()))?;
            for event in events {
                show(&event, is_json);
                seen = event.id.or(seen);
            }
        }
        note("trunkline: the hub ended the stream; taking it up again");
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn show(event: &SseEvent, is_json: bool) {
    let Ok(value) = serde_json::from_slice::<Value>(&event.data) else { return };
    out(&if is_json { value.to_string() } else { line(&value) });
}

/// `2026-11-27T08:00:00Z  connection.status_changed  connection=files status=connected`
fn line(event: &Value) -> String {
    let at = Timestamp(event.get("at").and_then(Value::as_i64).unwrap_or(0)).to_rfc3339();
    let mut line = format!("{at}  {}", cell(event, "type"));
    let data = event.get("data").and_then(Value::as_object);
    for (index, (name, value)) in data.into_iter().flatten().filter(|(_, value)| !value.is_null()).enumerate()
    {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let gap = if index == 0 { "  " } else { " " };
        line.push_str(&format!("{gap}{name}={}", plain(&value, 200)));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_event_is_one_line_that_says_what_is_known() {
        let event = json!({ "id": "evt_0", "type": "connection.status_changed", "at": 0,
            "data": { "connection": "files", "reason": "no\nroute", "user_id": null } });
        let line = super::line(&event);
        assert_eq!(line, "1970-01-01T00:00:00Z  connection.status_changed  connection=files reason=no route");
    }
}
