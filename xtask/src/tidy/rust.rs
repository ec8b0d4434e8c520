//! Splits Rust source into code, comments and string literals, so that a check of one is not fooled by
//! another. Not a parser: it knows only as much of the grammar as that needs.

use std::ops::RangeInclusive;

/// The three sides of a source text. `code` and `comments` keep the line structure of the original,
/// with blanks where the other two were.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The code, without comments and without the insides of string literals.
    pub(super) code: String,
    /// The comments alone.
    pub(super) comments: String,
    /// Each string literal with the line that it begins on.
    pub(super) strings: Vec<(usize, String)>,
}

impl Parts {
    /// The lines of the items under `#[cfg(test)]`, first and last included.
    pub(super) fn test_lines(&self) -> Vec<RangeInclusive<usize>> {
        let mut found = Vec::new();
        for (start, _) in self.code.match_indices("#[cfg(test)]") {
            let mut depth = 0_usize;
            let rest = self.code.get(start..).unwrap_or_default();
            for (offset, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 && (c == '}' || c == ';') {
                    found.push(self.line_at(start)..=self.line_at(start + offset));
                    break;
                }
            }
        }
        found
    }

    fn line_at(&self, offset: usize) -> usize {
        self.code.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
    }
}

/// Splits `text`. Works on half-written source too: what is not closed ends with the file.
pub(super) fn split(text: &str) -> Parts {
    let mut cursor = Cursor { rest: text, line: 1, parts: Parts::default() };
    while let Some(next) = cursor.peek() {
        if cursor.rest.starts_with("//") {
            cursor.line_comment();
        } else if cursor.rest.starts_with("/*") {
            cursor.block_comment();
        } else if next == '"' {
            cursor.string();
        } else if next == '\'' {
            cursor.quote();
        } else if next.is_alphabetic() || next == '_' {
            cursor.word();
        } else {
            cursor.code();
        }
    }
    cursor.parts
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
    parts: Parts,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, in_code: bool, in_comments: bool) -> Option<char> {
        let c = self.peek()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '\n' {
            self.line += 1;
            self.parts.code.push('\n');
            self.parts.comments.push('\n');
        } else {
            self.parts.code.push(if in_code { c } else { ' ' });
            self.parts.comments.push(if in_comments { c } else { ' ' });
        }
        Some(c)
    }

    fn code(&mut self) {
        self.take(true, false);
    }

    fn line_comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.take(false, true);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            // Block comments nest in Rust.
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(false, true);
            } else if self.rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                self.take(false, true);
            }
            if self.take(false, true).is_none() || depth == 0 {
                return;
            }
        }
    }

    /// A word, and the raw string that it may be the prefix of.
    fn word(&mut self) {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        let is_raw = matches!(word, "r" | "br" | "cr");
        let hashes = after.len() - after.trim_start_matches('#').len();
        for _ in word.chars() {
            self.code();
        }
        if is_raw && after.trim_start_matches('#').starts_with('"') {
            self.raw_string(hashes);
        }
    }

    fn raw_string(&mut self, hashes: usize) {
        let line = self.line;
        for _ in 0..=hashes {
            self.code();
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let mut inside = String::new();
        while !self.rest.starts_with(&close) {
            match self.take(false, false) {
                Some(c) => inside.push(c),
                None => break,
            }
        }
        for _ in 0..=hashes {
            self.code();
        }
        self.parts.strings.push((line, inside));
    }

    fn string(&mut self) {
        let line = self.line;
        self.code();
        let mut inside = String::new();
        loop {
            match self.peek() {
                Some('"') => {
                    self.code();
                    break;
                }
                Some('\\') => {
                    self.take(false, false);
                    self.take(false, false);
                    inside.push(' ');
                }
                Some(c) => {
                    inside.push(c);
                    self.take(false, false);
                }
                None => break,
            }
        }
        self.parts.strings.push((line, inside));
    }

    /// A quote: the beginning of a character literal, or of a lifetime.
    fn quote(&mut self) {
        let mut ahead = self.rest.chars().skip(1);
        let (first, second) = (ahead.next(), ahead.next());
        self.code();
        if first == Some('\\') {
            self.take(false, false);
            self.take(false, false);
            while self.peek().is_some_and(|c| c != '\'' && c != '\n') {
                self.take(false, false);
            }
            self.code();
        } else if second == Some('\'') {
            self.take(false, false);
            self.code();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn code_comments_and_strings_are_told_apart() {
        let parts = split(
            "let a = \"x // no\"; // yes \"not a string\"\nlet b = r#\"raw \" one\"#; /* c /* d */ */ e",
        );
        assert_eq!(parts.strings, [(1, "x // no".to_owned()), (2, "raw \" one".to_owned())]);
        assert!(parts.comments.contains("// yes") && parts.comments.contains("/* c /* d */ */"));
        assert!(!parts.comments.contains("no\""));
        assert!(parts.code.contains("let a =") && parts.code.trim_end().ends_with('e'));
        assert!(!parts.code.contains("raw") && !parts.code.contains("yes"));
    }

    #[test]
    fn quotes_in_characters_and_lifetimes_open_no_string() {
        let parts = split("fn f<'a>(x: &'a str) { let q = '\"'; let e = '\\''; g(\"real\") }");
        assert_eq!(parts.strings, [(1, "real".to_owned())]);
    }

    #[test]
    fn the_test_module_is_found_from_its_attribute_to_its_brace() {
        let parts = split("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        assert_eq!(parts.test_lines(), [2..=5]);
        assert_eq!(split("#[cfg(test)]\nmod tests;\nfn c() {}").test_lines(), [1..=2]);
    }
}
