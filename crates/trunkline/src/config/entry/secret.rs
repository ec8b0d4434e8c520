//! Which names usually hold secrets.

/// True for names that usually hold secrets: a warning must not cry at `LOG_LEVEL`.
pub(crate) fn looks_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let words = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "APIKEY",
        "AUTHORIZATION",
        "CREDENTIAL",
        "CREDENTIALS",
        "PAT",
    ];
    let parts: Vec<_> = upper.split('_').collect();
    parts.iter().any(|part| words.contains(part) || part.ends_with("TOKEN") || part.ends_with("PASSWORD"))
        || (parts.last() == Some(&"KEY") && !upper.contains("PUBLIC"))
        || upper.contains("APIKEY")
}

#[cfg(test)]
mod tests {
    use super::looks_secret;

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in [
            "GITHUB_TOKEN",
            "api-key",
            "X-Api-Key",
            "DB_PASSWORD",
            "authorization",
            "OPENAI_API_KEY",
            "GH_PAT",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["LOG_LEVEL", "PATH", "KEYBOARD", "TOKENIZERS", "X-Tenant", "PUBLIC_KEY"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
