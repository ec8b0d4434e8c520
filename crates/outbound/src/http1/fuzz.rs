//! Fuzz target of response heads: one reading or none (RFC 9112 §6; response smuggling).

use ::fuzz::target;
use bytes::Bytes;

use super::parse_head;
use crate::response::Framing;

/// The values under a name, by splitting lines and nothing else.
fn values(lines: &[&str], wanted: &str) -> Vec<String> {
    let pairs = lines.iter().filter_map(|line| line.split_once(':'));
    let of_name = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    of_name.map(|(_, value)| value.trim_matches([' ', '\t']).to_owned()).collect()
}

target!(
    /// A head that is taken has one end, whole lines, and one way to tell how long its body is.
    heads,
    |input: &[u8]| {
        for method in ["GET", "HEAD"] {
            let Ok(parsed) = parse_head(&Bytes::copy_from_slice(input), method) else { continue };
            assert!(input.ends_with(b"\r\n\r\n"));
            let text = String::from_utf8_lossy(&input[..input.len() - 4]);
            // Empty lines in front are allowed to be read over (RFC 9112 §2.2).
            let mut lines = text.split("\r\n").skip_while(|line| line.is_empty());
            let first = lines.next().expect("a status line");
            assert!(first.starts_with("HTTP/1.") && first.contains(&parsed.status.to_string()), "{first:?}");
            let lines: Vec<&str> = lines.collect();
            assert_eq!(parsed.headers.iter().count(), lines.len());
            for line in &lines {
                assert!(!line.contains(['\r', '\n', '\0']) && !line.is_empty(), "{line:?}");
                let (name, _) = line.split_once(':').expect("a header line has a colon");
                assert!(!name.is_empty() && !name.contains([' ', '\t']), "{line:?}");
            }
            let (lengths, encodings) = (values(&lines, "content-length"), values(&lines, "transfer-encoding"));
            assert!(lengths.len() + encodings.len() <= 1, "two ways to tell the end");
            let has_body = method == "GET" && parsed.status >= 200 && ![204, 304].contains(&parsed.status);
            match parsed.framing {
                Framing::Length(length) if has_body => assert_eq!(Ok(length), lengths[0].parse()),
                Framing::Length(length) => assert_eq!(length, 0),
                Framing::Chunked(_) => assert!(has_body && encodings[0].eq_ignore_ascii_case("chunked")),
                Framing::UntilClose => {
                    assert!(!parsed.keep, "nothing can follow");
                    assert!(parsed.status == 101 || (lengths.is_empty() && encodings.is_empty()));
                }
            }
            let closes = values(&lines, "connection").join(",").to_ascii_lowercase();
            assert!(!parsed.keep || !closes.split(',').any(|token| token.trim() == "close"));
        }
    }
);
