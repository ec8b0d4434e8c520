//! Fuzz target of chunked bodies (RFC 9112 §7.1): the same bytes for every cut, and nothing lenient.

use ::fuzz::{parts, pieces, target};
use bytes::BytesMut;

use super::{Chunk, Framing, Step, step};

/// What came of a body: the bytes in it, and how many of the input's were left at its end.
#[derive(Debug, PartialEq)]
enum Came {
    Whole(Vec<u8>, usize),
    Unfinished(Vec<u8>),
    Broken(Vec<u8>),
}

fn dechunk(pieces: &[&[u8]]) -> Came {
    let mut framing = Framing::Chunked(Chunk::Size);
    let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
    for (at, piece) in pieces.iter().enumerate() {
        buffer.extend_from_slice(piece);
        loop {
            match step(&mut buffer, &mut framing) {
                Ok(Step::Piece(piece)) => {
                    assert!(!piece.is_empty());
                    out.extend_from_slice(&piece);
                }
                Ok(Step::More) => break,
                Ok(Step::End) => {
                    let unread: usize = pieces[at + 1..].iter().map(|piece| piece.len()).sum();
                    return Came::Whole(out, buffer.len() + unread);
                }
                Err(_) => return Came::Broken(out),
            }
        }
    }
    Came::Unfinished(out)
}

/// The grammar, one line after the other.
fn by_definition(body: &[u8]) -> Came {
    let mut out = Vec::new();
    let mut rest = body;
    let mut is_trailer = false;
    loop {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Came::Unfinished(out) };
        let (line, behind) = (&rest[..end], &rest[end + 1..]);
        let Some(line) = line.strip_suffix(b"\r").filter(|line| !line.contains(&b'\r')) else {
            return Came::Broken(out);
        };
        rest = behind;
        if is_trailer {
            if line.is_empty() {
                return Came::Whole(out, rest.len());
            }
            continue;
        }
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = String::from_utf8_lossy(digits).trim_end_matches([' ', '\t', '\x0c']).to_owned();
        let is_hex = (1..=15).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
        let Some(size) =
            Some(digits).filter(|_| is_hex).and_then(|digits| usize::from_str_radix(&digits, 16).ok())
        else {
            return Came::Broken(out);
        };
        if size == 0 {
            is_trailer = true;
            continue;
        }
        out.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(after) = rest.get(size..) else { return Came::Unfinished(out) };
        let Some(end) = after.iter().position(|byte| *byte == b'\n') else { return Came::Unfinished(out) };
        if &after[..=end] != b"\r\n" {
            return Came::Broken(out);
        }
        rest = &after[2..];
    }
}

target!(
    /// Parts: the sizes of the pieces, the body.
    chunks,
    |input: &[u8]| {
        let parts = parts(input);
        let (sizes, body) = if parts.len() > 1 { (parts[0], parts[1]) } else { (&b"a"[..], parts[0]) };
        let wanted = by_definition(body);
        for sizes in [sizes, b"", b"a"] {
            assert_eq!(dechunk(&pieces(body, sizes)), wanted);
        }
        // What is written as chunks comes back, whatever it is.
        let mut written = Vec::new();
        for piece in pieces(body, sizes) {
            written.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            written.extend_from_slice(piece);
            written.extend_from_slice(b"\r\n");
        }
        written.extend_from_slice(b"0\r\n\r\nHTTP");
        assert_eq!(dechunk(&[&written]), Came::Whole(body.to_vec(), 4));
    }
);
