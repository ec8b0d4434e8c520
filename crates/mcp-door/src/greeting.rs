//! Who we are and what we can do, per endpoint: `initialize` and `server/discover`.

use std::sync::Arc;

use bytes::Bytes;
use model::{Era, Fault};
use wire::{Object, object, task};

use crate::door::{Door, Who};
use crate::endpoint::Endpoint;
use crate::rescue::{self, Reply};

/// Longest instructions that a gathering endpoint hands out, bytes.
const INSTRUCTIONS_MAX: usize = 16 * 1024;

impl Door {
    /// The `serverInfo` that an endpoint shows: the upstream's own for one connection, ours otherwise.
    pub(crate) fn server_info(&self, who: &Who) -> Bytes {
        if let Endpoint::Connection(key) = &who.endpoint {
            let snapshot = self.parts().pipeline.snapshot();
            if let Some(info) =
                snapshot.connection(key.as_str()).and_then(|m| m.inventory.server_info.clone())
            {
                return info;
            }
        }
        let version = object::quoted(&self.settings().version);
        let mut out = Vec::from(*b"{\"name\":\"trunkline\",\"title\":\"Trunkline\",\"version\":");
        out.extend_from_slice(&version);
        out.push(b'}');
        out.into()
    }

    /// Capabilities and instructions of an endpoint, once its connections have settled.
    async fn describe(&self, who: &Who) -> Result<(Vec<u8>, Option<String>), Fault> {
        let era = who.peer.era.unwrap_or(Era::Legacy);
        let view = self.settled_view(who).await;
        self.check_place(who, &view)?;
        match &who.endpoint {
            Endpoint::Connection(key) => {
                let inventory = view.snapshot.connection(key.as_str()).map(|m| Arc::clone(&m.inventory));
                let inventory = inventory.unwrap_or_default();
                let capabilities = inventory.capabilities.as_deref().unwrap_or(b"{}");
                let instructions = inventory.instructions.as_deref().map(str::to_owned);
                Ok((relayed(capabilities, era, inventory.era), instructions))
            }
            Endpoint::Toolset(_) => Ok((b"{\"tools\":{\"listChanged\":true}}".to_vec(), None)),
            Endpoint::All => Ok(gathered(&view, era)),
        }
    }

    /// `initialize`: the result, for a client whose peer is already known.
    pub(crate) async fn greet(&self, who: &Who) -> Reply {
        let (capabilities, instructions) = match self.describe(who).await {
            Ok(described) => described,
            Err(fault) => return rescue::reply(&fault, None, Era::Legacy),
        };
        let mut out = Vec::from(*b"{\"protocolVersion\":");
        object::push_str(&mut out, &who.peer.protocol_version);
        out.extend_from_slice(b",\"capabilities\":");
        out.extend_from_slice(&capabilities);
        out.extend_from_slice(b",\"serverInfo\":");
        out.extend_from_slice(&self.server_info(who));
        if let Some(instructions) = instructions {
            out.extend_from_slice(b",\"instructions\":");
            object::push_str(&mut out, &instructions);
        }
        out.push(b'}');
        Reply::Result(out.into())
    }

    /// `server/discover`.
    pub(crate) async fn discover(&self, who: &Who) -> Reply {
        let (capabilities, instructions) = match self.describe(who).await {
            Ok(described) => described,
            Err(fault) => return rescue::reply(&fault, None, Era::Modern),
        };
        let mut out = Vec::from(*b"{\"resultType\":\"complete\",\"supportedVersions\":[");
        for (n, version) in wire::version::MODERN.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            object::push_str(&mut out, version);
        }
        out.extend_from_slice(b"],\"capabilities\":");
        out.extend_from_slice(&capabilities);
        if let Some(instructions) = instructions {
            out.extend_from_slice(b",\"instructions\":");
            object::push_str(&mut out, &instructions);
        }
        out.extend_from_slice(b",\"ttlMs\":60000,\"cacheScope\":\"private\",\"_meta\":{\"");
        out.extend_from_slice(wire::meta::SERVER_INFO.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(&self.server_info(who));
        out.extend_from_slice(b"}}");
        Reply::Result(out.into())
    }
}

/// How tasks are offered in each era. `tasks/list` is not: see docs/reference/tasks.md.
const EXTENSIONS: &[u8] = b"{\"io.modelcontextprotocol/tasks\":{}}";
const CORE_TASKS: &[u8] = b"{\"cancel\":{},\"requests\":{\"tools\":{\"call\":{}}}}";

fn object_of(mounted: &call::Mounted) -> &[u8] {
    mounted.inventory.capabilities.as_deref().unwrap_or(b"{}")
}

/// One upstream's capabilities, without what only exists in the era that this client does not speak.
fn relayed(capabilities: &[u8], era: Era, upstream: Option<Era>) -> Vec<u8> {
    let Ok(object) = Object::scan(capabilities) else { return b"{}".to_vec() };
    if upstream == Some(era) {
        // Listing all tasks of a session that callers share would show each the others'.
        let tasks = object
            .get("tasks")
            .and_then(|raw| Object::scan(raw).ok())
            .map(|tasks| tasks.edit(&[("list", None)]));
        return tasks.map_or_else(|| capabilities.to_vec(), |tasks| object.edit(&[("tasks", Some(&tasks))]));
    }
    // Core tasks of 2025-11-25 and the tasks extension are different protocols: each is offered as the other.
    match era {
        Era::Modern if task::has_core(capabilities) => {
            object.edit(&[("tasks", None), ("extensions", Some(EXTENSIONS))])
        }
        Era::Modern => object.edit(&[("tasks", None)]),
        Era::Legacy if task::has_extension(capabilities) => {
            object.edit(&[("extensions", None), ("tasks", Some(CORE_TASKS))])
        }
        Era::Legacy => object.edit(&[("extensions", None)]),
    }
}

/// The union of what all connections can do, and their instructions within bounds.
fn gathered(view: &crate::view::View, era: Era) -> (Vec<u8>, Option<String>) {
    let mut has = [false; 4];
    let mut has_tasks = false;
    let mut instructions = String::new();
    for mounted in view.snapshot.connections() {
        if let Some(object) = mounted.inventory.capabilities.as_deref().and_then(|c| Object::scan(c).ok()) {
            has_tasks |= task::has_core(object_of(mounted)) || task::has_extension(object_of(mounted));
            for (seen, member) in has.iter_mut().zip(["prompts", "resources", "completions", "logging"]) {
                *seen |= object.get(member).is_some();
            }
        }
        if let Some(text) = &mounted.inventory.instructions
            && instructions.len() + text.len() < INSTRUCTIONS_MAX
        {
            instructions.push_str(&format!("## {}\n{text}\n\n", mounted.key));
        }
    }
    let [prompts, resources, completions, logging] = has;
    let mut out = String::from("{\"tools\":{\"listChanged\":true}");
    if prompts {
        out.push_str(",\"prompts\":{\"listChanged\":true}");
    }
    if resources {
        out.push_str(",\"resources\":{\"subscribe\":true,\"listChanged\":true}");
    }
    if completions {
        out.push_str(",\"completions\":{}");
    }
    if logging || era == Era::Legacy {
        out.push_str(",\"logging\":{}");
    }
    if has_tasks {
        let (member, raw) = match era {
            Era::Modern => ("extensions", EXTENSIONS),
            Era::Legacy => ("tasks", CORE_TASKS),
        };
        out.push_str(&format!(",\"{member}\":{}", String::from_utf8_lossy(raw)));
    }
    out.push('}');
    (out.into_bytes(), (!instructions.is_empty()).then(|| instructions.trim_end().to_owned()))
}
