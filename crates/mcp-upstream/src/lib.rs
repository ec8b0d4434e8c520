//! The mcp-upstream room.
