//! The protocol revisions, by era. A list, not a ladder: the next one is one more line.

use model::Era;

/// Revisions with `initialize` and sessions, oldest first.
pub const LEGACY: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// Stateless revisions, oldest first.
pub const MODERN: &[&str] = &["2026-07-28"];
/// What a legacy peer is offered when it asks for something unknown.
pub const LATEST_LEGACY: &str = "2025-11-25";
/// What a modern request says.
pub const LATEST_MODERN: &str = "2026-07-28";
/// What a legacy HTTP request without a version header speaks (2025-06-18, transports).
pub const ASSUMED_LEGACY: &str = "2025-03-26";

/// The era of a known revision.
#[must_use]
pub fn era_of(version: &str) -> Option<Era> {
    if MODERN.contains(&version) {
        Some(Era::Modern)
    } else if LEGACY.contains(&version) {
        Some(Era::Legacy)
    } else {
        None
    }
}

/// What `initialize` answers to a client that asked for `requested`: the same when it is a legacy
/// revision, else the newest legacy one (a modern date in `initialize` is still a legacy client).
#[must_use]
pub fn negotiate_legacy(requested: &str) -> &'static str {
    LEGACY.iter().find(|known| **known == requested).copied().unwrap_or(LATEST_LEGACY)
}

#[cfg(test)]
mod tests {
    #[test]
    fn initialize_never_answers_a_modern_date() {
        assert_eq!(super::negotiate_legacy("2025-06-18"), "2025-06-18");
        assert_eq!(super::negotiate_legacy("2026-07-28"), "2025-11-25");
        assert_eq!(super::negotiate_legacy("1999-01-01"), "2025-11-25");
    }
}
