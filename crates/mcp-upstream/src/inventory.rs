//! Reading what a server offers: every list it declares, page by page, every item kept as it was sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use connector::{Inventory, ListKind, Offered, Tool};
use model::{Code, Era, Fault};
use wire::object::{items, quoted};
use wire::param_header::{ParamHeader, annotations};
use wire::{Object, RpcCode};

use crate::answer::Answer;
use crate::ask::Ask;
use crate::channel::within;
use crate::handshake::{Live, Way};
use crate::params;
use crate::trouble::Trouble;

/// Pages of one list that are read.
const PAGES_MAX: usize = 100;
/// Items of one list that are kept.
const ITEMS_MAX: usize = 20_000;
/// Longest tool name (2026-07-28, tools).
const NAME_MAX: usize = 128;
/// A description longer than this is likely a mistake or an attack on the model; it is kept and said so.
const DESCRIPTION_LONG: usize = 10_000;

/// Which header lines repeat which arguments, for the tools that have such.
pub(crate) type ParamHeaders = HashMap<Arc<str>, Vec<ParamHeader>, ahash::RandomState>;

/// What reading brought.
pub(crate) struct Read {
    pub(crate) inventory: Inventory,
    /// `None` where the tools could not be read.
    pub(crate) param_headers: Option<ParamHeaders>,
    /// What could not be read.
    pub(crate) problems: Vec<Unread>,
}

/// A list that could not be read.
pub(crate) struct Unread {
    /// Which, and why, in words.
    pub(crate) said: String,
    /// The credentials are refused: nothing else will work either.
    pub(crate) refused: Option<Fault>,
}

impl Unread {
    fn of(method: &str, trouble: Trouble) -> Self {
        let said = format!("{method}: {trouble}");
        let fault = Fault::from(trouble);
        let is_refused = matches!(fault.code, Code::LEAVE_NEEDED | Code::UPSTREAM_REFUSED);
        Self { said, refused: is_refused.then_some(fault) }
    }
}

/// Reads the lists. Those that fail keep their last good content, and the inventory is then stale.
pub(crate) async fn read(live: &Live, previous: &Inventory, timeout_ms: u64) -> Read {
    let facts = &live.facts;
    let mut problems = Vec::new();
    let mut param_headers = None;
    let mut inventory = Inventory {
        generation: previous.generation,
        capabilities: Some(facts.capabilities.clone()),
        server_info: facts.server_info.clone(),
        instructions: facts.instructions.clone(),
        era: Some(facts.era),
        ..Inventory::default()
    };
    let is_modern_http = matches!(live.way, Way::ModernHttp(_));
    if facts.declares("tools", None) {
        match list(live, "tools/list", "tools", timeout_ms).await {
            Ok(listed) => {
                inventory.ttl_ms = listed.ttl_ms;
                inventory.tools =
                    tools(&listed.items, is_modern_http, param_headers.insert(ParamHeaders::default()));
            }
            Err(trouble) => {
                inventory.tools.clone_from(&previous.tools);
                inventory.ttl_ms = previous.ttl_ms;
                problems.push(Unread::of("tools/list", trouble));
            }
        }
    }
    let lists: [(&str, &str, &str, &str); 3] = [
        ("prompts", "prompts/list", "prompts", "name"),
        ("resources", "resources/list", "resources", "uri"),
        ("resources", "resources/templates/list", "resourceTemplates", "uriTemplate"),
    ];
    for (capability, method, member, key) in lists {
        if !facts.declares(capability, None) {
            continue;
        }
        let (slot, old) = match member {
            "prompts" => (&mut inventory.prompts, &previous.prompts),
            "resources" => (&mut inventory.resources, &previous.resources),
            _ => (&mut inventory.templates, &previous.templates),
        };
        match list(live, method, member, timeout_ms).await {
            Ok(listed) => *slot = offered(&listed.items, key),
            // Many servers declare resources and know no templates.
            Err(Trouble::Rpc { code, .. })
                if method == "resources/templates/list" && code == RpcCode::METHOD_NOT_FOUND.0 => {}
            Err(trouble) => {
                slot.clone_from(old);
                problems.push(Unread::of(method, trouble));
            }
        }
    }
    inventory.is_stale = !problems.is_empty();
    Read { inventory, param_headers, problems }
}

struct Listed {
    items: Vec<Bytes>,
    ttl_ms: Option<u64>,
}

async fn list(live: &Live, method: &str, member: &str, timeout_ms: u64) -> Result<Listed, Trouble> {
    let mut listed = Listed { items: Vec::new(), ttl_ms: None };
    let mut seen = HashSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let members = cursor
            .as_deref()
            .map(|cursor| format!("\"cursor\":{}", String::from_utf8_lossy(&quoted(cursor))))
            .unwrap_or_default();
        let page = own_request(live, method, &members, timeout_ms).await?.into_result()?;
        let object = Object::scan(&page).map_err(|error| Trouble::BadAnswer(error.to_string()))?;
        let raw = object.get(member).ok_or_else(|| Trouble::BadAnswer(format!("it has no `{member}`")))?;
        let found = items(raw).ok_or_else(|| Trouble::BadAnswer(format!("`{member}` is no list")))?;
        if listed.items.len() + found.len() > ITEMS_MAX {
            return Err(Trouble::BadAnswer(format!("`{member}` has more than {ITEMS_MAX} entries")));
        }
        // Copied, so that one small item does not hold a whole page in memory.
        listed.items.extend(found.into_iter().map(Bytes::copy_from_slice));
        let ttl_ms = object.get("ttlMs").and_then(|raw| std::str::from_utf8(raw).ok()?.parse().ok());
        listed.ttl_ms = match (listed.ttl_ms, ttl_ms) {
            (Some(a), Some(b)) => Some(u64::min(a, b)),
            (a, b) => a.or(b),
        };
        cursor = object.get_str("nextCursor").map(std::borrow::Cow::into_owned).filter(|c| !c.is_empty());
        let Some(next) = &cursor else { return Ok(listed) };
        if !seen.insert(next.clone()) {
            return Err(Trouble::BadAnswer("its pages go round in a circle".to_owned()));
        }
    }
    Err(Trouble::BadAnswer(format!("it has more than {PAGES_MAX} pages")))
}

/// A request of the hub's own, in the server's era.
pub(crate) async fn own_request(
    live: &Live,
    method: &str,
    members: &str,
    timeout_ms: u64,
) -> Result<Answer, Trouble> {
    let deadline = within(timeout_ms);
    let params = match live.facts.era {
        Era::Modern => params::own_modern(&live.facts.version, members),
        Era::Legacy => params::own_legacy(members),
    };
    let ask = Ask::own(method, params, deadline);
    match &live.way {
        Way::ModernHttp(http) => Ok(http.request(ask, &[]).await?.answer),
        Way::ModernChannel(channel) => channel.request(ask).await,
        Way::Legacy(session, _) => session.request(ask).await,
    }
}

fn tools(raw: &[Bytes], is_modern_http: bool, param_headers: &mut ParamHeaders) -> Vec<Arc<Tool>> {
    let mut seen = HashSet::new();
    let mut out = Vec::with_capacity(raw.len());
    for raw in raw {
        let tool = match tool(raw) {
            Ok(tool) => tool,
            Err(why) => {
                tracing::warn!(%why, "a tool is left out");
                continue;
            }
        };
        if !seen.insert(Arc::clone(&tool.name)) {
            tracing::warn!(tool = %tool.name, "a tool is offered twice; the first counts");
            continue;
        }
        if is_modern_http && memchr::memmem::find(&tool.input_schema, b"x-mcp-header").is_some() {
            let schema = serde_json::from_slice(&tool.input_schema).unwrap_or_default();
            match annotations(&schema) {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    param_headers.insert(Arc::clone(&tool.name), found);
                }
                Err(why) => {
                    // 2026-07-28, transports: a client drops such a tool and keeps the others.
                    tracing::warn!(tool = %tool.name, %why, "a tool is left out");
                    continue;
                }
            }
        }
        out.push(Arc::new(tool));
    }
    out
}

/// Reads one tool, as the server wrote it.
pub(crate) fn tool(raw: &Bytes) -> Result<Tool, String> {
    let object = Object::scan(raw).map_err(|error| error.to_string())?;
    let name = object.get_str("name").ok_or("it has no name")?;
    let shown: String = name.chars().take(NAME_MAX).collect();
    let is_spelled = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b));
    if name.is_empty() || name.len() > NAME_MAX || !is_spelled {
        return Err(format!("`{}` is no tool name", shown.escape_debug()));
    }
    let schema = object.get("inputSchema").filter(|raw| raw.first() == Some(&b'{'));
    let schema = schema.ok_or_else(|| format!("`{shown}` has no inputSchema object"))?;
    let description = object.get_str("description").unwrap_or_default();
    if description.len() > DESCRIPTION_LONG {
        tracing::warn!(tool = %shown, length = description.len(), "an unusually long description");
    }
    let hints = object.get("annotations").and_then(|raw| Object::scan(raw).ok());
    let hints = |flag| hints.as_ref().is_some_and(|hints| hints.is_true(flag));
    Ok(Tool {
        name: name.as_ref().into(),
        description: description.as_ref().into(),
        input_schema: raw.slice_ref(schema),
        output_schema: object
            .get("outputSchema")
            .filter(|raw| raw.first() == Some(&b'{'))
            .map(|s| raw.slice_ref(s)),
        claims_read_only: hints("readOnlyHint"),
        claims_idempotent: hints("idempotentHint"),
        raw: raw.clone(),
    })
}

/// Reads prompts, resources or templates.
pub(crate) fn offered(raw: &[Bytes], key: &str) -> Vec<Arc<Offered>> {
    let mut seen = HashSet::new();
    raw.iter()
        .filter_map(|raw| {
            let id: Arc<str> =
                Object::scan(raw).ok()?.get_str(key).filter(|id| !id.is_empty())?.as_ref().into();
            seen.insert(Arc::clone(&id)).then(|| Arc::new(Offered { id, raw: raw.clone() }))
        })
        .collect()
}

/// Which lists differ.
pub(crate) fn differences(old: &Inventory, new: &Inventory) -> Vec<ListKind> {
    let offered = |a: &[Arc<Offered>], b: &[Arc<Offered>]| {
        a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.raw != b.raw)
    };
    let mut kinds = Vec::new();
    if old.tools.len() != new.tools.len() || old.tools.iter().zip(&new.tools).any(|(a, b)| a.raw != b.raw) {
        kinds.push(ListKind::Tools);
    }
    if offered(&old.prompts, &new.prompts) {
        kinds.push(ListKind::Prompts);
    }
    if offered(&old.resources, &new.resources) || offered(&old.templates, &new.templates) {
        kinds.push(ListKind::Resources);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::tool;
    use bytes::Bytes;

    #[test]
    fn tools_are_kept_as_written_and_odd_ones_left_out() {
        let raw = Bytes::from_static(
            br#"{"name":"a/b","x":1.50,"inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#,
        );
        let read = tool(&raw).unwrap();
        assert_eq!((read.raw.clone(), read.claims_read_only, read.claims_idempotent), (raw, true, false));
        assert_eq!(&read.input_schema[..], br#"{"type":"object"}"#);
        for bad in [
            r#"{"inputSchema":{}}"#,
            r#"{"name":"","inputSchema":{}}"#,
            r#"{"name":"a b","inputSchema":{}}"#,
            r#"{"name":"a","inputSchema":true}"#,
            r#"{"name":"a"}"#,
            r#"{"name":"a","name":"b","inputSchema":{}}"#,
            "[]",
        ] {
            assert!(tool(&Bytes::from_static(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
