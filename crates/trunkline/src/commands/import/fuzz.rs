//! Fuzz target of `import`: the files of desktop clients, as people and other programs left them.

use ::fuzz::target;
use serde_json::Value;

use super::{block, convert, jsonc};
use crate::config;

target!(
    /// Whatever is taken over is a configuration that parses, each entry under its own key, without the
    /// secrets; and taking out comments leaves plain JSON as it was.
    client_files,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        if let Ok(plain) = serde_json::from_str::<Value>(&text) {
            assert_eq!(serde_json::from_str::<Value>(&jsonc::strip(&text)).ok(), Some(plain));
        }
        assert_eq!(jsonc::strip(&text).lines().count(), text.lines().count(), "lines stay where they were");
        let Ok((imported, _)) = convert(&text) else { return };
        let mut keys: Vec<_> = imported.iter().map(|entry| entry.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), imported.len());
        let written = format!("integrations:\n{}", block(&imported, 2));
        let read = config::parse(None, &written, &|name| Some(format!("value of {name}")));
        assert_eq!(read.entries.len(), imported.len(), "{written}");
        for header in ["authorization", "x-api-key", "cookie"] {
            let secret = format!("\"{header}\":\"hunter2-canary\"");
            assert!(!written.to_ascii_lowercase().replace(": ", ":").contains(&secret), "{written}");
        }
    },
    3000
);
