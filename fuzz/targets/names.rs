//! Short names that come from outside: ids, keys, and patterns over names.

use fuzz::{parts, target};
use model::Key;
use model::id::{ApiKeyId, CallId, ConnectionId};
use policy::Pattern;

target!(
    /// A text is an id only when it is exactly how that id is written, and of one kind only.
    ids,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let (call, connection) = (text.parse::<CallId>(), text.parse::<ConnectionId>());
        if let Ok(id) = &call {
            assert_eq!(id.to_string(), *text);
            assert_eq!(CallId::from_uuid(id.uuid()), *id);
            assert!(connection.is_err() && text.parse::<ApiKeyId>().is_err());
        }
        let quoted = serde_json::Value::from(&*text);
        assert_eq!(serde_json::from_value::<CallId>(quoted).ok(), call.ok());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(input) {
            *to = *from;
        }
        let id = ConnectionId::from_uuid(uuid_text(bytes).parse().unwrap());
        assert_eq!(id.to_string().parse::<ConnectionId>(), Ok(id));
    }
);

/// A UUID as people write it.
fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

target!(
    /// A key is 1 to 32 of a-z, 0-9 and `-`; whatever is none is told one that is.
    keys,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let is_key = (1..=32).contains(&text.len())
            && text.chars().all(|c: char| c == '-' || c.is_ascii_digit() || c.is_ascii_lowercase());
        match text.parse::<Key>() {
            Ok(key) => assert!(is_key && key.as_str() == text && key.to_string() == text),
            Err(error) => {
                assert!(!is_key);
                assert!(error.suggestion.parse::<Key>().is_ok(), "{error}");
            }
        }
        match Key::from_config(&text) {
            Ok(key) => assert_eq!(key.as_str(), text.replace('_', "-")),
            Err(error) => assert!(error.suggestion.parse::<Key>().is_ok(), "{error}"),
        }
    }
);

/// Which prefixes of the name the pattern read so far covers, one character of the pattern at a time.
fn covers(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for c in pattern.chars() {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = if c == '*' {
                reached[at] || (at > 0 && next[at - 1])
            } else {
                at > 0 && reached[at - 1] && name[at - 1] == c
            };
        }
        reached = next;
    }
    reached[name.len()]
}

target!(
    /// A pattern covers what its definition says. Parts: the pattern, the name.
    patterns,
    |input: &[u8]| {
        let parts: Vec<_> = parts(input).into_iter().map(String::from_utf8_lossy).collect();
        let name = parts.get(1).map_or("", |name| name);
        let Ok(pattern) = Pattern::compile(&parts[0]) else { return };
        assert_eq!(pattern.as_str(), parts[0]);
        assert!(!pattern.as_str().is_empty() && !pattern.as_str().contains(char::is_whitespace));
        assert_eq!(pattern.matches(name), covers(pattern.as_str(), name));
    }
);
