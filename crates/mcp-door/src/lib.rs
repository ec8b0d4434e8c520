//! The mcp-door room.
