//! Request headers as the bytes that go out, checked once when they are put in.

use crate::OutboundError;

/// A block of header lines. Built once per connection for what never changes, cloned and added to per call.
/// `Host`, `Content-Length` and `Connection` are written by the client itself and refused here.
#[derive(Clone, Default)]
pub struct Head(Vec<u8>);

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
}
