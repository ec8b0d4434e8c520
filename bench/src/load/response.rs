//! Reads HTTP/1.1 responses as cheaply as a client can: the head with `httparse`, the body by its length or its chunks.
//! Responses that end with the connection are refused, since the bench keeps its connections.

use std::ops::Range;

use anyhow::{Context, Result, bail};

/// Header lines a response may have.
const HEADERS_MAX: usize = 48;

/// Where a complete response lies in the bytes it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The body, when it lies in one piece in the input; chunked bodies are joined in `Body::Joined`.
    pub(crate) body: Body,
    /// How many bytes of the input the response took.
    pub(crate) consumed: usize,
    /// The `Mcp-Session-Id` header, looked for in legacy handshakes only.
    pub(crate) session: Option<String>,
}

/// Where the body is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// At these bytes of the input.
    InPlace(Range<usize>),
    /// In the buffer for joined chunks.
    Joined,
}

/// What the head of a response says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes of the head with its blank line.
    pub(crate) bytes: usize,
    /// How the body ends.
    pub(crate) length: Length,
    /// The `Mcp-Session-Id` header.
    pub(crate) session: Option<String>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// It has so many bytes.
    Known(usize),
    /// It comes in chunks.
    Chunked,
}

/// The response at the start of `input`, or `None` while it is not complete. `joined` receives a chunked body.
pub(crate) fn parse(input: &[u8], joined: &mut Vec<u8>) -> Result<Option<Response>> {
    let Some(head) = parse_head(input)? else { return Ok(None) };
    let rest = input.get(head.bytes..).unwrap_or_default();
    let (body, length) = match head.length {
        Length::Known(length) if rest.len() < length => return Ok(None),
        Length::Known(length) => (Body::InPlace(head.bytes..head.bytes + length), length),
        Length::Chunked => match join_chunks(rest, joined)? {
            Some(length) => (Body::Joined, length),
            None => return Ok(None),
        },
    };
    Ok(Some(Response { status: head.status, body, consumed: head.bytes + length, session: head.session }))
}

/// The head at the start of `input`, or `None` while it is not complete.
pub(crate) fn parse_head(input: &[u8]) -> Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(bytes) = response.parse(input).context("the response is not HTTP/1.1")?
    else {
        return Ok(None);
    };
    let status = response.code.context("the response has no status")?;
    let mut length = None;
    let mut session = None;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(header.value)?;
            length = Some(Length::Known(value.trim().parse().context("the content length is not a number")?));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.eq_ignore_ascii_case(b"chunked") {
                bail!("the transfer encoding is not one the bench reads");
            }
            length = Some(Length::Chunked);
        } else if header.name.eq_ignore_ascii_case("mcp-session-id") {
            session = Some(String::from_utf8_lossy(header.value).into_owned());
        } else if header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
        {
            bail!("the server closes the connection after status {status}");
        }
    }
    let length = match length {
        Some(length) => length,
        // These statuses have no body whatever the headers say.
        None if matches!(status, 101 | 204 | 304) => Length::Known(0),
        None => bail!("the response (status {status}) does not say how long it is"),
    };
    Ok(Some(Head { status, bytes, length, session }))
}

/// Joins the chunks at the start of `input`; the number of bytes they took, or `None` while the last is missing.
fn join_chunks(input: &[u8], joined: &mut Vec<u8>) -> Result<Option<usize>> {
    joined.clear();
    let mut at = 0;
    loop {
        let rest = input.get(at..).unwrap_or_default();
        let httparse::Status::Complete((line, size)) =
            httparse::parse_chunk_size(rest).map_err(|_| anyhow::anyhow!("a chunk size is not a number"))?
        else {
            return Ok(None);
        };
        let size = usize::try_from(size)?;
        let data = at + line;
        // The line end after a chunk, and the blank line after the last one (the bench's peers send no trailers).
        let Some(end) = input.get(data.saturating_add(size)..).and_then(|rest| rest.get(..2)) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            bail!("a chunk is longer than it said, or trailers follow the last");
        }
        joined.extend_from_slice(input.get(data..data + size).unwrap_or_default());
        at = data + size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body<'a>(input: &'a [u8], joined: &'a [u8], response: &Response) -> &'a [u8] {
        match &response.body {
            Body::InPlace(range) => &input[range.clone()],
            Body::Joined => joined,
        }
    }

    #[test]
    fn every_prefix_of_a_response_is_incomplete_and_the_whole_is_read_exactly() {
        let plain =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 5\r\n\r\nhello".as_slice();
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n"
                .as_slice();
        for whole in [plain, chunked] {
            let mut joined = Vec::new();
            for end in 0..whole.len() {
                assert_eq!(
                    parse(&whole[..end], &mut joined).unwrap(),
                    None,
                    "{end} bytes of {}",
                    whole.len()
                );
            }
            let followed = [whole, b"HTTP/1.1 200"].concat();
            let response = parse(&followed, &mut joined).unwrap().unwrap();
            assert_eq!((response.status, response.consumed), (200, whole.len()));
            assert_eq!(body(&followed, &joined, &response), b"hello");
        }
    }

    #[test]
    fn an_event_stream_is_joined_with_all_its_events() {
        let input =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
            9\r\ndata: {}\n\r\n14\r\ndata: {\"result\":{}}\n\r\n0\r\n\r\n";
        let mut joined = Vec::new();
        parse(input, &mut joined).unwrap().unwrap();
        assert_eq!(joined, b"data: {}\ndata: {\"result\":{}}\n");
    }

    #[test]
    fn a_session_is_found_and_an_empty_answer_has_no_body() {
        let input = b"HTTP/1.1 202 Accepted\r\nMcp-Session-Id: abc\r\nContent-Length: 0\r\n\r\n";
        let response = parse(input, &mut Vec::new()).unwrap().unwrap();
        assert_eq!((response.status, response.session.as_deref()), (202, Some("abc")));
        assert_eq!(response.consumed, input.len());
    }

    #[test]
    fn what_cannot_be_kept_alive_is_an_error_and_not_a_wait() {
        for input in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "not http at all\r\n\r\n",
        ] {
            assert!(parse(input.as_bytes(), &mut Vec::new()).is_err(), "{input:?}");
        }
    }
}
