//! The HTTP/1.1 codec of one connection: one write for head and body, one buffer for reading, strict framing.
//!
//! Written for the hot path instead of a general library: no task per connection, no channel between the
//! caller and the socket. What a lenient parser could read in two ways is refused (RFC 9112 §6, §7.1).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::response::{Framing, HEADERS_MAX, Headers};
use crate::{Outgoing, Stream, Target};

/// Made once: building a searcher costs more than searching a head.
static HEAD_END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// Longest response head.
pub(crate) const HEAD_MAX: usize = 64 * 1024;
/// Interim (1xx) answers that are read over.
pub(crate) const INTERIM_MAX: usize = 8;
/// Longest page that is looked at for what a server minds about a certificate.
pub(crate) const PAGE_MAX: usize = 4096;
/// What nginx calls its statuses 495 and 496, which go out as 400.
const CERTIFICATE_TITLES: &[&str] =
    &["400 No required SSL certificate was sent", "400 The SSL certificate error"];
/// Room made before each read.
const READ_STEP: usize = 8 * 1024;
/// Buffers larger than this are not kept with an idle connection.
const KEEP_MAX: usize = 64 * 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) io: Stream,
    pub(crate) inbuf: BytesMut,
    out: Vec<u8>,
}

/// Why an exchange came to nothing.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection ended. `written`: bytes of the request handed to the kernel; `heard`: any byte came back.
    Ended { why: String, written: usize, heard: bool },
    /// The server broke TLS off over the certificate; on a fresh connection it has read nothing.
    Tls(std::io::Error),
    /// What came back is not HTTP/1.1.
    NotHttp(&'static str),
}

/// A response head, and how its body is framed.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) framing: Framing,
    pub(crate) keep: bool,
}

impl Conn {
    pub(crate) fn new(io: Stream) -> Self {
        Self { io, inbuf: BytesMut::new(), out: Vec::new() }
    }

    pub(crate) fn is_quiet(&mut self) -> bool {
        self.inbuf.is_empty() && self.io.is_quiet()
    }

    /// Lets go of large buffers before the connection rests.
    pub(crate) fn slim(&mut self) {
        if self.inbuf.capacity() > KEEP_MAX {
            self.inbuf = BytesMut::new();
        }
        if self.out.capacity() > KEEP_MAX {
            self.out = Vec::new();
        }
    }

    /// Sends the request and reads the head of the answer.
    pub(crate) async fn exchange(
        &mut self,
        target: &Target,
        request: &Outgoing<'_>,
    ) -> Result<Parsed, Broken> {
        self.compose(target, request);
        let is_whole = self.write().await?;
        let mut parsed = self.read_head(request.method).await?;
        // A server that answers before it has read everything will not find the next request's beginning.
        parsed.keep &= is_whole;
        Ok(parsed)
    }

    fn compose(&mut self, target: &Target, request: &Outgoing<'_>) {
        let length: usize = request.body.iter().map(|part| part.len()).sum();
        let out = &mut self.out;
        out.clear();
        out.reserve(request.head.bytes().len() + length + target.path.len() + 128);
        out.extend_from_slice(request.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(target.path.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(target.origin.authority.as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(request.head.bytes());
        if length > 0 || request.method == "POST" {
            out.extend_from_slice(b"content-length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        for part in request.body {
            out.extend_from_slice(part);
        }
    }

    /// Writes what is composed; false when an answer began before all was written.
    async fn write(&mut self) -> Result<bool, Broken> {
        let Self { io, inbuf, out } = self;
        let mut written = 0;
        let ended = |why: String, written: usize| Broken::Ended { why, written, heard: false };
        let outcome = poll_fn(|cx| {
            loop {
                let rest = out.get(written..).unwrap_or_default();
                if rest.is_empty() {
                    return Pin::new(&mut *io).poll_flush(cx).map(|flushed| match flushed {
                        Ok(()) => Ok(true),
                        Err(error) => Err(ended(error.to_string(), written)),
                    });
                }
                match Pin::new(&mut *io).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ended("write closed".to_owned(), written))),
                    Poll::Ready(Ok(count)) => written += count,
                    // The server may have answered (413, say) and hung up: its words count more than the error.
                    Poll::Ready(Err(error)) if written == 0 => {
                        return Poll::Ready(Err(ended(error.to_string(), written)));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Ok(false)),
                    Poll::Pending => {
                        inbuf.reserve(READ_STEP);
                        return match poll_read_buf(Pin::new(&mut *io), cx, inbuf) {
                            Poll::Ready(Ok(0)) => {
                                Poll::Ready(Err(ended("closed while sending".to_owned(), written)))
                            }
                            Poll::Ready(Ok(_)) => Poll::Ready(Ok(false)),
                            Poll::Ready(Err(error)) if crate::tls::late_refusal(&error, false).is_some() => {
                                Poll::Ready(Err(Broken::Tls(error)))
                            }
                            Poll::Ready(Err(error)) => Poll::Ready(Err(ended(error.to_string(), written))),
                            Poll::Pending => Poll::Pending,
                        };
                    }
                }
            }
        });
        outcome.await
    }

    async fn read_head(&mut self, method: &str) -> Result<Parsed, Broken> {
        let mut searched = 0_usize;
        let mut interim = 0;
        loop {
            let from = searched.saturating_sub(3);
            let found = self.inbuf.get(from..).and_then(|rest| HEAD_END.find(rest));
            if let Some(at) = found {
                let head = self.inbuf.split_to(from + at + 4).freeze();
                let parsed = parse_head(&head, method).map_err(Broken::NotHttp)?;
                if (100..200).contains(&parsed.status) && parsed.status != 101 {
                    interim += 1;
                    searched = 0;
                    if interim > INTERIM_MAX {
                        return Err(Broken::NotHttp("too many interim answers"));
                    }
                    continue;
                }
                return Ok(parsed);
            }
            searched = self.inbuf.len();
            if searched > HEAD_MAX {
                return Err(Broken::NotHttp("the head is too long"));
            }
            match self.fill().await {
                Ok(0) | Err(_) if searched > 0 || interim > 0 => {
                    return Err(Broken::Ended {
                        why: "ended within the head".to_owned(),
                        written: 1,
                        heard: true,
                    });
                }
                Ok(0) => {
                    return Err(Broken::Ended { why: "no answer came".to_owned(), written: 1, heard: false });
                }
                Ok(_) => {}
                Err(error) if crate::tls::late_refusal(&error, false).is_some() => {
                    return Err(Broken::Tls(error));
                }
                Err(error) => {
                    return Err(Broken::Ended { why: error.to_string(), written: 1, heard: false });
                }
            }
        }
    }

    /// nginx finishes the handshake whatever certificate came, and says in a page of its own what it minds about it.
    /// What it said, when this is such a page. Nothing is taken out of the buffer.
    pub(crate) async fn certificate_trouble(&mut self, parsed: &Parsed) -> Option<&'static str> {
        let Framing::Length(length) = parsed.framing else { return None };
        let length = usize::try_from(length).ok().filter(|length| *length <= PAGE_MAX)?;
        if !self.io.is_tls() || !parsed.headers.is_type("text/html") {
            return None;
        }
        while self.inbuf.len() < length {
            if self.fill().await.ok()? == 0 {
                return None;
            }
        }
        let page = self.inbuf.get(..length)?;
        certificate_title(page)
    }

    /// Reads more into the buffer; 0 is the end.
    pub(crate) async fn fill(&mut self) -> std::io::Result<usize> {
        self.inbuf.reserve(READ_STEP);
        self.io.read_buf(&mut self.inbuf).await
    }
}

/// What a page of nginx says about a certificate, if that is what it is.
pub(crate) fn certificate_title(page: &[u8]) -> Option<&'static str> {
    let titles = CERTIFICATE_TITLES.iter();
    titles.copied().find(|title| memchr::memmem::find(page, title.as_bytes()).is_some())
}

fn push_decimal(out: &mut Vec<u8>, value: usize) {
    use std::io::Write as _;
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{value}");
}

fn parse_head(head: &Bytes, method: &str) -> Result<Parsed, &'static str> {
    let mut previous = 0;
    for byte in head {
        if *byte == b'\n' && previous != b'\r' {
            return Err("a line ends without a carriage return");
        }
        previous = *byte;
    }
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut slots);
    match response.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err("the head does not end where it says"),
        Err(_) => return Err("the head does not parse"),
    }
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err("the head does not parse");
    };
    let mut length: Option<u64> = None;
    let mut is_chunked = false;
    let mut keep = version == 1;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            if length.is_some() {
                return Err("two lengths");
            }
            length = Some(parse_length(header.value).ok_or("a length that is no number")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if is_chunked || version != 1 || !header.value.eq_ignore_ascii_case(b"chunked") {
                return Err("a transfer encoding other than chunked");
            }
            is_chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            let says = |token: &[u8]| {
                header.value.split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
            };
            if says(b"close") {
                keep = false;
            }
        }
    }
    if length.is_some() && is_chunked {
        return Err("both a length and chunks");
    }
    let framing = if status == 101 {
        // What follows is another protocol; the connection never returns to the pool.
        keep = false;
        Framing::UntilClose
    } else if method == "HEAD" || status == 204 || status == 304 || status < 200 {
        Framing::Length(0)
    } else if is_chunked {
        Framing::chunked()
    } else if let Some(length) = length {
        Framing::Length(length)
    } else {
        keep = false;
        Framing::UntilClose
    };
    Ok(Parsed { status, headers: Headers::new(head, response.headers), framing, keep })
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let is_plain = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    if is_plain { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::parse_head;
    use bytes::Bytes;

    fn parse(head: &str) -> Result<super::Parsed, &'static str> {
        parse_head(&Bytes::copy_from_slice(head.as_bytes()), "GET")
    }

    #[test]
    fn heads_that_could_be_read_in_two_ways_are_refused() {
        for bad in [
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0x1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\na: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\n c: d\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_only_where_the_end_of_the_body_is_known() {
        assert!(parse("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n").unwrap().keep);
        assert!(parse("HTTP/1.1 204 No Content\r\n\r\n").unwrap().keep);
        assert!(!parse("HTTP/1.1 200 OK\r\n\r\n").unwrap().keep);
        assert!(!parse("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n").unwrap().keep);
        let parsed =
            parse("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nX-Y:  z \r\ncontent-length: 1\r\n\r\n")
                .unwrap();
        assert!(!parsed.keep);
        assert_eq!(parsed.headers.get("x-y"), Some("z"));
    }
}
