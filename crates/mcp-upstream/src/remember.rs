//! What is kept about a server over a restart: its era, and its last good inventory, so that its tools are
//! there before it is.

use std::sync::Arc;

use bytes::Bytes;
use connector::{Inventory, Offered};
use model::Era;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::inventory::{offered, tool};

/// The shape of what is saved; another shape is forgotten.
const SHAPE: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    shape: u32,
    era: Option<Era>,
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow)]
    prompts: Vec<&'a RawValue>,
    #[serde(borrow)]
    resources: Vec<&'a RawValue>,
    #[serde(borrow)]
    templates: Vec<&'a RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    server_info: Option<&'a RawValue>,
    instructions: Option<String>,
}

fn raw(bytes: &Bytes) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}

/// The bytes to keep.
#[must_use]
pub fn save(inventory: &Inventory) -> Option<Bytes> {
    fn all(list: &[Arc<Offered>]) -> Vec<&RawValue> {
        list.iter().filter_map(|item| raw(&item.raw)).collect()
    }
    let saved = Saved {
        shape: SHAPE,
        era: inventory.era,
        tools: inventory.tools.iter().filter_map(|tool| raw(&tool.raw)).collect(),
        prompts: all(&inventory.prompts),
        resources: all(&inventory.resources),
        templates: all(&inventory.templates),
        capabilities: inventory.capabilities.as_ref().and_then(raw),
        server_info: inventory.server_info.as_ref().and_then(raw),
        instructions: inventory.instructions.as_deref().map(str::to_owned),
    };
    serde_json::to_vec(&saved).ok().map(Bytes::from)
}

/// Reads what was kept; the inventory is stale until the server confirms it. `None` for another shape.
#[must_use]
pub fn load(bytes: &Bytes) -> Option<Inventory> {
    let saved: Saved<'_> =
        serde_json::from_slice(bytes).ok().filter(|saved: &Saved<'_>| saved.shape == SHAPE)?;
    let copies = |list: &[&RawValue]| -> Vec<Bytes> {
        list.iter().map(|item| Bytes::copy_from_slice(item.get().as_bytes())).collect()
    };
    let copy = |value: Option<&RawValue>| value.map(|value| Bytes::copy_from_slice(value.get().as_bytes()));
    Some(Inventory {
        generation: 1,
        tools: copies(&saved.tools).iter().filter_map(|raw| tool(raw).ok()).map(Arc::new).collect(),
        prompts: offered(&copies(&saved.prompts), "name"),
        resources: offered(&copies(&saved.resources), "uri"),
        templates: offered(&copies(&saved.templates), "uriTemplate"),
        capabilities: copy(saved.capabilities),
        server_info: copy(saved.server_info),
        instructions: saved.instructions.map(Into::into),
        era: saved.era,
        ttl_ms: None,
        is_stale: true,
    })
}

#[cfg(test)]
mod tests {
    use super::{load, save};
    use bytes::Bytes;
    use connector::Inventory;
    use model::Era;

    #[test]
    fn what_is_kept_comes_back_as_written_and_marked_stale() {
        let raw = Bytes::from_static(br#"{"name":"t","inputSchema":{ "type":"object"},"n":1.50}"#);
        let tool = std::sync::Arc::new(crate::inventory::tool(&raw).unwrap());
        let inventory = Inventory { tools: vec![tool], era: Some(Era::Legacy), ..Inventory::default() };
        let back = load(&save(&inventory).unwrap()).unwrap();
        assert_eq!((&back.tools[0].raw, back.era, back.is_stale), (&raw, Some(Era::Legacy), true));
        assert!(load(&Bytes::from_static(b"{\"shape\":0}")).is_none());
    }
}
