//! Server-sent events (WHATWG HTML §9.2): an incremental reader with a bound, and the writer's bytes.

use memchr::memchr;
use thiserror::Error;

/// One event. Empty `data` is kept: priming events have an id and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// `event:`; empty means `message`.
    pub event: String,
    /// `data:` lines joined by newlines.
    pub data: Vec<u8>,
    /// `id:`, where the event had one.
    pub id: Option<String>,
    /// `retry:` in milliseconds.
    pub retry_ms: Option<u64>,
}

/// One event or line is longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a server-sent event is longer than {limit} bytes")]
pub struct EventTooLong {
    /// The limit, bytes.
    pub limit: usize,
}

/// Reads events from chunks as they come.
#[derive(Debug)]
pub struct SseReader {
    line: Vec<u8>,
    event: SseEvent,
    is_started: bool,
    /// The event had a `data:` line, be it an empty one: the next begins with a line break.
    has_data: bool,
    /// Nothing is read yet: the first line may begin with a byte order mark.
    is_first_line: bool,
    skip_newline: bool,
    limit: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl SseReader {
    /// A reader that refuses events over `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            event: SseEvent::default(),
            is_started: false,
            has_data: false,
            is_first_line: true,
            skip_newline: false,
            limit,
        }
    }

    /// Takes in a chunk and hands each complete event to `each`.
    ///
    /// # Errors
    /// [`EventTooLong`]; the reader is of no use afterwards.
    pub fn feed(&mut self, mut chunk: &[u8], mut each: impl FnMut(SseEvent)) -> Result<(), EventTooLong> {
        while !chunk.is_empty() {
            if std::mem::take(&mut self.skip_newline) && chunk.first() == Some(&b'\n') {
                chunk = chunk.get(1..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', chunk);
            let upto = end.unwrap_or(chunk.len());
            let part = chunk.get(..upto).unwrap_or_default();
            if self.line.len() + part.len() + self.event.data.len() > self.limit {
                return Err(EventTooLong { limit: self.limit });
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { return Ok(()) };
            self.skip_newline = chunk.get(end) == Some(&b'\r');
            chunk = chunk.get(end + 1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            if let Some(event) = self.take_line(&line) {
                each(event);
            }
            self.line = line;
            self.line.clear();
        }
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let is_first = std::mem::take(&mut self.is_first_line);
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line);
        if line.is_empty() {
            self.has_data = false;
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.is_started).then_some(event);
        }
        let (field, value) = match memchr(b':', line) {
            Some(0) => return None,
            Some(colon) => (line.get(..colon)?, line.get(colon + 1..)?),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8_lossy(value).into_owned();
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
            }
            b"event" => self.event.event = text(),
            b"id" if !value.contains(&0) => self.event.id = Some(text()),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.event.retry_ms = text().parse().ok().or(self.event.retry_ms);
            }
            _ => return None,
        }
        self.is_started = true;
        None
    }
}

/// The bytes of one `message` event around a JSON message (which has no raw line breaks: JSON text that
/// has is written as several `data:` lines).
#[must_use]
pub fn event(id: Option<&str>, message: &[u8]) -> Vec<u8> {
    named_event("message", id, message)
}

/// The bytes of one event with a name.
#[must_use]
pub fn named_event(name: &str, id: Option<&str>, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 48);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|b| *b == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend(line.iter().filter(|b| **b != b'\r'));
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// A comment that keeps the connection open.
pub const KEEP_ALIVE: &[u8] = b":\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::{SseEvent, SseReader, event};

    fn read(chunks: &[&[u8]]) -> Vec<SseEvent> {
        let mut reader = SseReader::new(1024);
        let mut out = Vec::new();
        for chunk in chunks {
            reader.feed(chunk, |e| out.push(e)).unwrap();
        }
        out
    }

    #[test]
    fn reads_the_same_events_however_the_bytes_are_cut() {
        let text = b": hi\r\n\r\nid: 1\r\nretry: 50\r\ndata:\r\n\r\nevent: message\ndata: {\"a\":\ndata: 1}\n\ndata: x\r\rdata: lost";
        let whole = read(&[text]);
        assert_eq!(whole.len(), 3);
        assert_eq!(
            (whole[0].id.as_deref(), whole[0].retry_ms, whole[0].data.len()),
            (Some("1"), Some(50), 0)
        );
        assert_eq!(whole[1].data, b"{\"a\":\n1}");
        assert_eq!(whole[2].data, b"x");
        for cut in 1..text.len() {
            assert_eq!(read(&[&text[..cut], &text[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_event_is_refused_at_the_limit() {
        let mut reader = SseReader::new(64);
        let outcome = (0..100).try_for_each(|_| reader.feed(b"data: 0123456789\n", |_| ()));
        assert!(outcome.is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let events = read(&[&event(Some("7"), b"{\"a\":1}")]);
        assert_eq!(events[0].data, b"{\"a\":1}");
        assert_eq!(events[0].id.as_deref(), Some("7"));
    }
}
