//! The ladder as a table: what was seen, on HTTP or elsewhere, and what it means.

use bytes::Bytes;

use super::{Seen, Verdict, verdict};
use crate::answer::Answer;
use crate::trouble::Trouble;

fn error(text: &'static str) -> Seen {
    Seen::Answer(Answer::Error(Bytes::from_static(text.as_bytes())))
}

fn result(text: &'static str) -> Seen {
    Seen::Answer(Answer::Result(Bytes::from_static(text.as_bytes())))
}

/// A short name for each verdict, so that the table reads as one.
fn told(seen: Seen, is_http: bool) -> &'static str {
    match verdict(seen, is_http) {
        Verdict::Modern(_) => "modern",
        Verdict::Again(_) => "again",
        Verdict::Legacy => "legacy",
        Verdict::LegacyAfresh => "legacy afresh",
        Verdict::Undecided(_) => "undecided",
    }
}

#[test]
fn the_ladder() {
    let table = [
        (result(r#"{"supportedVersions":["2026-07-28"],"capabilities":{}}"#), "modern", "modern"),
        // The official Rust SDK lists legacy dates too; they do not count.
        (result(r#"{"supportedVersions":["2024-11-05","2026-07-28","2025-11-25"]}"#), "modern", "modern"),
        (result(r#"{"supportedVersions":["2025-11-25"]}"#), "legacy", "legacy"),
        (result(r#"{"supportedVersions":["2099-01-01"]}"#), "legacy", "legacy"),
        (result("{}"), "legacy", "legacy"),
        (error(r#"{"code":-32601,"message":"Method not found"}"#), "legacy", "legacy"),
        (error(r#"{"code":-32000,"message":"Bad Request: Server not initialized"}"#), "legacy", "legacy"),
        (error(r#"{"code":-32602,"message":"?"}"#), "legacy", "legacy"),
        (error(r#"{"code":-32022,"message":"","data":{"supported":["2026-07-28"]}}"#), "again", "again"),
        (error(r#"{"code":-32022,"message":"","data":{"supported":["2025-06-18"]}}"#), "legacy", "legacy"),
        (
            error(r#"{"code":-32022,"message":"","data":{"supported":["2099-01-01"]}}"#),
            "undecided",
            "undecided",
        ),
        (error(r#"{"code":-32020,"message":""}"#), "undecided", "undecided"),
        (error(r#"{"code":-32021,"message":""}"#), "undecided", "undecided"),
        (Seen::Status(400), "legacy", "legacy"),
        (Seen::Status(404), "legacy", "legacy"),
        (Seen::Status(405), "legacy", "legacy"),
        (Seen::Status(401), "undecided", "undecided"),
        (Seen::Status(403), "undecided", "undecided"),
        (Seen::Status(429), "undecided", "undecided"),
        (Seen::Status(500), "undecided", "undecided"),
        (Seen::Status(502), "undecided", "undecided"),
        (Seen::Silence, "undecided", "legacy"),
        (Seen::Ended, "legacy afresh", "legacy afresh"),
        (Seen::Trouble(Trouble::BadAnswer("html".to_owned())), "legacy", "legacy"),
        (Seen::Trouble(Trouble::Spawn("x".to_owned())), "undecided", "undecided"),
    ];
    for (seen, http, channel) in table {
        assert_eq!(told(seen.clone(), true), http, "{seen:?} over HTTP");
        assert_eq!(told(seen.clone(), false), channel, "{seen:?} over bytes");
    }
}
