//! What a connection offers: tools, resources, templates and prompts, kept as the upstream wrote them.

use std::sync::Arc;

use bytes::Bytes;
use model::Era;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list` and `resources/templates/list`.
    Resources,
}

/// Everything a connection offers at one moment. Immutable; a new one replaces it whole.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Grows with every change.
    pub generation: u64,
    /// In the upstream's order.
    pub tools: Vec<Arc<Tool>>,
    /// In the upstream's order; `id` is the prompt's name.
    pub prompts: Vec<Arc<Offered>>,
    /// In the upstream's order; `id` is the URI.
    pub resources: Vec<Arc<Offered>>,
    /// In the upstream's order; `id` is the URI template.
    pub templates: Vec<Arc<Offered>>,
    /// Raw server `capabilities` object, as the upstream declared it; `None` before the first contact.
    pub capabilities: Option<Bytes>,
    /// Raw `serverInfo` / implementation object.
    pub server_info: Option<Bytes>,
    /// The upstream's instructions.
    pub instructions: Option<Arc<str>>,
    /// How the upstream speaks.
    pub era: Option<Era>,
    /// `ttlMs` of the upstream's `tools/list`, where it gave one.
    pub ttl_ms: Option<u64>,
    /// True when this is the last good answer of an upstream that does not answer now.
    pub is_stale: bool,
}

/// A prompt, resource or template.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Name, URI or URI template: what it is asked for by.
    pub id: Arc<str>,
    /// The raw JSON object as the upstream sent it.
    pub raw: Bytes,
}

/// A tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The upstream's own name.
    pub name: Arc<str>,
    /// The raw JSON object as the upstream sent it.
    pub raw: Bytes,
    /// Description, for searching and for people.
    pub description: Arc<str>,
    /// Raw `inputSchema`.
    pub input_schema: Bytes,
    /// Raw `outputSchema`.
    pub output_schema: Option<Bytes>,
    /// The upstream claims that it only reads. A claim: never a reason to allow anything.
    pub claims_read_only: bool,
    /// The upstream claims that doing it twice is doing it once.
    pub claims_idempotent: bool,
}
