//! Foreign names as ours: slugs, tools, arguments, settings; and words for people.

use std::collections::HashSet;

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Taken(HashSet<String>);

// === impl Taken ===

impl Taken {
    /// The name itself, or with a number behind it where it is taken; at most `max` bytes. The name is ASCII.
    pub(super) fn free(&mut self, name: &str, max: usize) -> String {
        let name = cut(name, max);
        let mut free = name.to_owned();
        let mut number = 2_u32;
        while self.0.contains(&free) {
            let end = format!("_{number}");
            free = format!("{}{end}", cut(name, max.saturating_sub(end.len())));
            number += 1;
        }
        self.0.insert(free.clone());
        free
    }

    /// Takes a name, so that nothing else gets it.
    pub(super) fn take(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }
}

/// `Petstore API v1` as `petstore-api-v1`; `None` where nothing is left of it.
pub(super) fn slug(text: &str) -> Option<String> {
    let slug = words(text, false).join("-");
    let slug = cut(&slug, 48).trim_matches('-').to_owned();
    (!slug.is_empty()).then_some(slug)
}

/// `listPets` as `list_pets`; `None` where nothing is left of it.
pub(super) fn snake(text: &str) -> Option<String> {
    let name = words(text, true).join("_");
    (!name.is_empty()).then_some(name)
}

/// A name that templates and arguments may have: letters, digits and `_`, no digit first.
pub(super) fn argument(text: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if is_argument(text) {
        return text.to_owned();
    }
    let mut name = String::new();
    for c in text.chars() {
        if is_fit(c) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "value".to_owned(),
        Some(c) if c.is_ascii_digit() => format!("_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// Whether it is such a name already.
pub(super) fn is_argument(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `listPets` as `List pets`.
pub(super) fn spoken(text: &str) -> String {
    let all = words(text, true).join(" ");
    let mut chars = all.chars();
    chars.next().map_or(all.clone(), |first| format!("{}{}", first.to_ascii_uppercase(), chars.as_str()))
}

/// At most `max` bytes of a text, cut between characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A text of one line: runs of blanks and control characters are one blank.
pub(super) fn line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs of ASCII letters and digits, in lower case; with `is_camel` a new one begins where capitals do.
fn words(text: &str, is_camel: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = text.chars().take(512).collect();
    for (n, c) in chars.iter().enumerate() {
        let before = n.checked_sub(1).and_then(|n| chars.get(n));
        let after = chars.get(n + 1);
        let is_edge = c.is_ascii_uppercase()
            && (before.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                || before.is_some_and(char::is_ascii_uppercase)
                    && after.is_some_and(char::is_ascii_lowercase));
        if (!c.is_ascii_alphanumeric() || is_camel && is_edge) && !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Taken, argument, cut, line, slug, snake, spoken};

    #[test]
    fn foreign_names_become_ours() {
        assert_eq!(slug("Petstore API – v1.0").unwrap(), "petstore-api-v1-0");
        assert_eq!(slug("宠物"), None);
        for (from, to) in [
            ("listPets", "list_pets"),
            ("HTTPServerGet2", "http_server_get2"),
            ("pets/list-all", "pets_list_all"),
        ] {
            assert_eq!(snake(from).unwrap(), to);
        }
        assert_eq!(snake("…"), None);
        for (from, to) in [
            ("filter[status]", "filter_status"),
            ("$top", "top"),
            ("2fa", "_2fa"),
            ("é", "value"),
            ("petId", "petId"),
        ] {
            assert_eq!(argument(from), to);
        }
        assert_eq!(spoken("getUserByID"), "Get user by id");
        assert_eq!((cut("aéb", 2), line(" a\n\tb\u{7} c ")), ("a", "a b c".to_owned()));
    }

    #[test]
    fn what_is_taken_gets_a_number_and_stays_short() {
        let mut taken = Taken::default();
        assert_eq!(
            (taken.free("abcd", 4), taken.free("abcd", 4), taken.free("abcd", 4)),
            ("abcd".to_owned(), "ab_2".to_owned(), "ab_3".to_owned())
        );
    }
}
