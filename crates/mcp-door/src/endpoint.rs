//! Which face of the hub a client talks to, from the path of its URL.

use std::fmt;

use model::Key;

/// One MCP endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Everything the caller may use, names `key__tool`.
    All,
    /// One connection, original names.
    Connection(Key),
    /// A chosen set.
    Toolset(Key),
}

/// What a path under `/mcp` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The endpoint itself.
    Main(Endpoint),
    /// The legacy HTTP+SSE transport of the endpoint.
    Sse(Endpoint),
}

impl Endpoint {
    /// Reads an endpoint path: `/mcp`, `/mcp/c/{connection}`, `/mcp/s/{toolset}`.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        match Place::parse(path)? {
            Place::Main(endpoint) => Some(endpoint),
            Place::Sse(_) => None,
        }
    }
}

impl Place {
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/mcp")?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (rest, is_sse) = match rest.strip_suffix("/sse") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let endpoint = if rest.is_empty() {
            Endpoint::All
        } else if let Some(key) = rest.strip_prefix("/c/") {
            Endpoint::Connection(key.parse().ok()?)
        } else {
            Endpoint::Toolset(rest.strip_prefix("/s/")?.parse().ok()?)
        };
        Some(if is_sse { Self::Sse(endpoint) } else { Self::Main(endpoint) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("/mcp"),
            Self::Connection(key) => write!(f, "/mcp/c/{key}"),
            Self::Toolset(key) => write!(f, "/mcp/s/{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Place};

    #[test]
    fn paths_are_read_strictly() {
        for path in ["/mcp", "/mcp/c/files", "/mcp/s/writing"] {
            assert_eq!(Endpoint::parse(path).unwrap().to_string(), path);
        }
        assert_eq!(Place::parse("/mcp/sse"), Some(Place::Sse(Endpoint::All)));
        assert!(matches!(Place::parse("/mcp/c/sse"), None | Some(Place::Main(_))));
        for bad in
            ["/mcpx", "/mcp/x/y", "/mcp/c/", "/mcp/c/Files", "/mcp/c/a/b", "/mcp/c/..", "/", "/mcp//c/a"]
        {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
