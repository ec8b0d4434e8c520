//! Request headers as the bytes that go out, checked once when they are put in.

use crate::OutboundError;

/// A block of header lines. Built once per connection for what never changes, cloned and added to per call.
/// `Host`, `Content-Length` and `Connection` are written by the client itself and refused here.
#[derive(Clone, Default)]
pub struct Head(Vec<u8>);

/// Header lines that go to whoever a redirect leads to.
const HARMLESS: &[&str] = &["accept", "accept-encoding", "accept-language", "user-agent"];

impl Head {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one line.
    ///
    /// # Errors
    /// [`OutboundError::BadHeader`] for a name that is no token, a value that would end the line, and for the
    /// headers that frame the message.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), OutboundError> {
        let is_token = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        let is_ours = ["host", "content-length", "transfer-encoding", "connection"]
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours));
        let is_clean = value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
        if !is_token || is_ours || !is_clean {
            return Err(OutboundError::BadHeader(name.chars().take(64).collect()));
        }
        self.push_trusted(name, value);
        Ok(())
    }

    /// Adds a line whose name and value come from this program's own constants.
    pub(crate) fn push_trusted(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// A copy with room for `spare` more bytes.
    #[must_use]
    pub fn with_room(&self, spare: usize) -> Self {
        let mut lines = Vec::with_capacity(self.0.len() + spare);
        lines.extend_from_slice(&self.0);
        Self(lines)
    }

    /// What may go to an origin that a redirect led to: only lines that are known to hold no credentials. A list of
    /// those that do would never be complete.
    #[must_use]
    pub fn for_strangers(&self) -> Self {
        let mut kept = Vec::new();
        for line in self.0.split_inclusive(|byte| *byte == b'\n') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            if HARMLESS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
                kept.extend_from_slice(line);
            }
        }
        Self(kept)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Header values carry credentials.
        write!(f, "Head({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Head;

    #[test]
    fn nothing_can_be_smuggled_into_a_header() {
        let mut head = Head::new();
        assert!(head.push("Authorization", "Bearer x").is_ok());
        for (name, value) in [
            ("a b", "x"),
            ("", "x"),
            ("a", "x\r\ny: z"),
            ("a", "\n"),
            ("Host", "x"),
            ("content-length", "1"),
            ("a", "\0"),
        ] {
            assert!(head.push(name, value).is_err(), "{name:?} {value:?}");
        }
        assert_eq!(head.bytes(), b"Authorization: Bearer x\r\n");
        assert!(!format!("{head:?}").contains("Bearer"));
    }

    #[test]
    fn strangers_get_only_what_is_known_to_be_harmless() {
        let mut head = Head::new();
        for (name, value) in [
            ("Accept", "a:b"),
            ("Authorization", "x"),
            ("Cookie", "x"),
            ("X-Api-Key", "accept: x"),
            ("user-agent", "t"),
            ("Proxy-Authorization", "x"),
            ("Mcp-Session-Id", "x"),
        ] {
            head.push(name, value).unwrap();
        }
        assert_eq!(head.for_strangers().bytes(), b"Accept: a:b\r\nuser-agent: t\r\n");
    }
}
