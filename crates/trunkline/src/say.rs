//! Talking to whoever typed the command: results on standard output, everything else on standard error.

use std::io::Write;

use model::Fault;

/// The longest link that is shown, characters.
pub(crate) const LINK_CHARS_MAX: usize = 8_192;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Quit {
    /// The exit code: 1 failed, 2 usage or configuration.
    pub(crate) code: u8,
    /// What happened, in one or more lines; empty when it has been said already.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: String,
    /// `TL-nnnn`, where there is one.
    pub(crate) error: Option<String>,
    /// The page on which it can be mended, where there is one.
    pub(crate) link: Option<String>,
}

impl Quit {
    /// It was tried and failed.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { code: 1, what: what.into(), hint: String::new(), error: None, link: None }
    }

    /// It was not tried: the command or the configuration is wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { code: 2, what: what.into(), hint: String::new(), error: None, link: None }
    }

    /// Everything has been said; only the exit code is left.
    pub(crate) const fn silent(code: u8) -> Self {
        Self { code, what: String::new(), hint: String::new(), error: None, link: None }
    }

    /// Adds what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Says it on standard error.
    pub(crate) fn tell(&self, is_json: bool) {
        if self.what.is_empty() {
            return;
        }
        if is_json {
            let mut line = serde_json::json!({ "error": self.what, "hint": self.hint, "code": self.error });
            if let (Some(link), Some(members)) = (&self.link, line.as_object_mut()) {
                members.insert("link".to_owned(), link.as_str().into());
            }
            note(&line.to_string());
            return;
        }
        let code = self.error.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
        note(&format!("trunkline: {}{code}", self.what));
        if !self.hint.is_empty() {
            note(&format!("  {}", self.hint));
        }
        if let Some(link) = &self.link {
            // Whole: a link that is cut short leads nowhere.
            note(&format!("  {}", plain(link, LINK_CHARS_MAX)));
        }
    }
}

impl From<Fault> for Quit {
    fn from(fault: Fault) -> Self {
        let error = Some(fault.code.to_string());
        Self { code: 1, what: fault.detail, hint: fault.hint, error, link: fault.link.map(|link| link.url) }
    }
}

/// A line of the result. A reader that has gone away is no failure of ours.
pub(crate) fn out(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(line.as_bytes());
    if !line.ends_with('\n') {
        let _ = stdout.write_all(b"\n");
    }
    let _ = stdout.flush();
}

/// A line that is not the result.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Rows as columns, two blanks between them; the last column is never padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Untrusted text for a terminal: one line, no control characters, at most `max` characters.
pub(crate) fn plain(text: &str, max: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.chars().count() >= max {
            out.push('…');
            break;
        }
        // Escape sequences of a foreign server must not reach the terminal.
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{plain, table};

    #[test]
    fn columns_line_up_and_foreign_text_cannot_drive_the_terminal() {
        let rows = [
            vec!["a".to_owned(), "long".to_owned(), "x".to_owned()],
            vec!["bbb".into(), "s".into(), "y".into()],
        ];
        assert_eq!(table(&rows), "a    long  x\nbbb  s     y\n");
        assert_eq!(plain("a\u{1b}[31mb\nc", 99), "a [31mb c");
        assert_eq!(plain("abcdef", 3), "abc…");
    }
}
