//! `wire::sse`: event streams, however the network cuts them.

use fuzz::{parts, pieces, target};
use serde_json::Value;
use wire::sse::{EventTooLong, SseEvent, SseReader, event};

const PLENTY: usize = 1 << 20;
const LITTLE: usize = 48;

fn read(pieces: &[&[u8]], limit: usize) -> (Vec<SseEvent>, Result<(), EventTooLong>) {
    let mut reader = SseReader::new(limit);
    let mut events = Vec::new();
    let outcome = pieces.iter().try_for_each(|piece| reader.feed(piece, |event| events.push(event)));
    (events, outcome)
}

/// WHATWG HTML §9.2.6 line by line, but for two things that MCP wants: events without data count, and an
/// id belongs to the event that has it.
fn by_definition(stream: &[u8]) -> Vec<SseEvent> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut events = Vec::new();
    let (mut event, mut data, mut has_field) = (SseEvent::default(), None::<Vec<u8>>, false);
    let (mut at, mut start) = (0, 0);
    while at < stream.len() {
        if !matches!(stream[at], b'\n' | b'\r') {
            at += 1;
            continue;
        }
        let line = &stream[start..at];
        at += if stream[at..].starts_with(b"\r\n") { 2 } else { 1 };
        start = at;
        if line.is_empty() {
            event.data = data.take().unwrap_or_default();
            let whole = std::mem::take(&mut event);
            if std::mem::take(&mut has_field) {
                events.push(whole);
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = String::from_utf8_lossy(value).into_owned();
        match &line[..colon] {
            b"data" => {
                data = Some(data.map_or_else(|| value.to_vec(), |data| [&data[..], b"\n", value].concat()));
            }
            b"event" => event.event = text,
            b"id" if !value.contains(&0) => event.id = Some(text),
            b"retry" if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                event.retry_ms = text.parse().ok().or(event.retry_ms);
            }
            _ => continue,
        }
        has_field = true;
    }
    events
}

target!(
    /// The same events for every cut, those of the standard, and the same refusal at the limit.
    /// Parts: the sizes of the pieces, the stream.
    event_stream,
    |input: &[u8]| {
        let parts = parts(input);
        let (sizes, stream) = if parts.len() > 1 { (parts[0], parts[1]) } else { (&b"a"[..], parts[0]) };
        let cut = pieces(stream, sizes);
        let (events, outcome) = read(&cut, PLENTY);
        assert_eq!(outcome, Ok(()));
        assert_eq!(events, by_definition(stream));
        let (whole, byte_by_byte) = (read(&[stream], LITTLE), pieces(stream, b"a"));
        assert_eq!(read(&cut, LITTLE), whole);
        assert_eq!(read(&byte_by_byte, LITTLE), whole);
        assert!(whole.0.iter().all(|event| event.data.len() <= LITTLE && event.event.len() <= 3 * LITTLE));
    }
);

target!(
    /// A JSON message written as an event is one event and the same message, line breaks or not.
    written_event,
    |input: &[u8]| {
        let Ok(message) = serde_json::from_slice::<Value>(input) else { return };
        let (events, outcome) = read(&[&event(Some("7"), input)], PLENTY);
        assert_eq!(outcome, Ok(()));
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].event.as_str(), events[0].id.as_deref()), ("message", Some("7")));
        assert_eq!(serde_json::from_slice::<Value>(&events[0].data).unwrap(), message);
    }
);
