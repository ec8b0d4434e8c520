//! One endpoint as one caller sees it: lists ready to be sent, and where each name leads.
//!
//! Views are built from a snapshot when first asked for and kept until the next snapshot. What the caller
//! may not use is not in them, so that it is neither listed nor found.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;
use bytes::Bytes;
use call::{ListKind, Mounted, Snapshot};
use model::{Access, Era, Key};
use wire::{Object, object, task};

use crate::endpoint::Endpoint;
use crate::names;

/// One list: raw items in their order, and a digest that changes when any of them does.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Bytes>,
    pub(crate) digest: u64,
}

/// Where an exposed name leads.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) connection: Key,
    pub(crate) own: Arc<str>,
}

/// An endpoint as one caller sees it.
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    era: Era,
    pub(crate) tools: Listing,
    pub(crate) prompts: Listing,
    pub(crate) resources: Listing,
    pub(crate) templates: Listing,
    tool_routes: AHashMap<Arc<str>, Route>,
    prompt_routes: AHashMap<Arc<str>, Route>,
    /// Names without a prefix, where only one connection has them: pages of MCP Apps call tools by those.
    bare_routes: AHashMap<Arc<str>, Option<Route>>,
}

/// How many views are kept at once; more callers than this rebuild theirs now and then.
const VIEWS_MAX: usize = 512;

/// The views of the present snapshot.
#[derive(Default)]
pub(crate) struct Views(Mutex<Held>);

type Seen = (Arc<Access>, Arc<View>);

#[derive(Default)]
struct Held {
    generation: u64,
    /// The access is held beside its view, so that its address cannot come to mean another one.
    views: AHashMap<(Endpoint, usize, Era), Seen>,
}

impl Views {
    /// The view of `endpoint` for `access` in `snapshot`.
    pub(crate) fn get(
        &self,
        snapshot: &Arc<Snapshot>,
        endpoint: &Endpoint,
        access: &Arc<Access>,
        era: Era,
    ) -> Arc<View> {
        let key = (endpoint.clone(), Arc::as_ptr(access) as usize, era);
        {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if held.generation != snapshot.generation {
                *held = Held { generation: snapshot.generation, views: AHashMap::new() };
            }
            if let Some((_, view)) = held.views.get(&key) {
                return Arc::clone(view);
            }
        }
        // Built outside of the lock: two cores may build the same view once; neither waits.
        let view = Arc::new(View::build(snapshot, endpoint, access, era));
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.generation == snapshot.generation {
            if held.views.len() >= VIEWS_MAX {
                held.views.clear();
            }
            held.views.insert(key, (Arc::clone(access), Arc::clone(&view)));
        }
        view
    }
}

impl View {
    fn build(snapshot: &Arc<Snapshot>, endpoint: &Endpoint, access: &Access, era: Era) -> Self {
        let mut view = Self {
            snapshot: Arc::clone(snapshot),
            era,
            tools: Listing::default(),
            prompts: Listing::default(),
            resources: Listing::default(),
            templates: Listing::default(),
            tool_routes: AHashMap::new(),
            prompt_routes: AHashMap::new(),
            bare_routes: AHashMap::new(),
        };
        match endpoint {
            Endpoint::Connection(key) => {
                if let Some(mounted) = snapshot.connection(key.as_str()) {
                    view.add_as_is(mounted, access);
                }
            }
            Endpoint::All => {
                for mounted in snapshot.connections() {
                    view.add_prefixed(mounted, access);
                }
            }
            Endpoint::Toolset(key) => view.add_set(key.as_str(), access),
        }
        for listing in [&mut view.tools, &mut view.prompts, &mut view.resources, &mut view.templates] {
            listing.seal();
        }
        view
    }

    fn add_as_is(&mut self, mounted: &Mounted, access: &Access) {
        for tool in mounted.tools_for(access) {
            self.tools.items.push(with_hint(mounted, self.era, &tool.tool.raw));
        }
        let inventory = &mounted.inventory;
        let lists = [
            (&inventory.prompts, &mut self.prompts),
            (&inventory.resources, &mut self.resources),
            (&inventory.templates, &mut self.templates),
        ];
        for (offered, listing) in lists {
            listing
                .items
                .extend(offered.iter().filter(|o| mounted.may_reach(access, &o.id)).map(|o| o.raw.clone()));
        }
    }

    fn add_prefixed(&mut self, mounted: &Mounted, access: &Access) {
        let key = &mounted.key;
        for tool in mounted.tools_for(access) {
            let name: Arc<str> = names::exposed(key.as_str(), &tool.tool.name).into();
            let route = Route { connection: key.clone(), own: Arc::clone(&tool.tool.name) };
            self.bare_routes
                .entry(Arc::clone(&tool.tool.name))
                .and_modify(|known| *known = None)
                .or_insert_with(|| Some(route.clone()));
            self.tools.items.push(rewrite_tool(
                key.as_str(),
                &with_hint(mounted, self.era, &tool.tool.raw),
                &name,
                None,
            ));
            self.tool_routes.insert(name, route);
        }
        let inventory = &mounted.inventory;
        for prompt in inventory.prompts.iter().filter(|p| mounted.may_reach(access, &p.id)) {
            let name: Arc<str> = names::exposed(key.as_str(), &prompt.id).into();
            self.prompts.items.push(with_text(&prompt.raw, "name", &name));
            self.prompt_routes.insert(name, Route { connection: key.clone(), own: Arc::clone(&prompt.id) });
        }
        for resource in inventory.resources.iter().filter(|r| mounted.may_reach(access, &r.id)) {
            self.resources.items.push(with_text(
                &resource.raw,
                "uri",
                &names::wrap_uri(key.as_str(), &resource.id),
            ));
        }
        for template in inventory.templates.iter().filter(|t| mounted.may_reach(access, &t.id)) {
            self.templates.items.push(with_text(
                &template.raw,
                "uriTemplate",
                &names::wrap_uri(key.as_str(), &template.id),
            ));
        }
    }

    fn add_set(&mut self, key: &str, access: &Access) {
        let snapshot = Arc::clone(&self.snapshot);
        let Some(set) = snapshot.toolset(key) else { return };
        for picked in &set.tools {
            let Some(mounted) = snapshot.connection(picked.connection.as_str()) else { continue };
            let Some(tool) = mounted.tool(&picked.tool) else { continue };
            if !mounted.tools_for(access).any(|allowed| Arc::ptr_eq(allowed, tool)) {
                continue;
            }
            let name: Arc<str> = picked
                .rename
                .clone()
                .unwrap_or_else(|| names::exposed(picked.connection.as_str(), &picked.tool))
                .into();
            self.tools.items.push(rewrite_tool(
                picked.connection.as_str(),
                &with_hint(mounted, self.era, &tool.tool.raw),
                &name,
                picked.description.as_deref(),
            ));
            let route = Route { connection: picked.connection.clone(), own: Arc::clone(&tool.tool.name) };
            self.tool_routes.insert(name, route);
        }
    }

    /// Where a tool name leads; `None` = not here.
    pub(crate) fn tool(&self, name: &str) -> Option<&Route> {
        self.tool_routes.get(name).or_else(|| self.bare_routes.get(name).and_then(Option::as_ref))
    }

    /// Where a prompt name leads.
    pub(crate) fn prompt(&self, name: &str) -> Option<&Route> {
        self.prompt_routes.get(name)
    }

    /// Digest of one list, for telling whether it changed.
    pub(crate) const fn digest(&self, kind: ListKind) -> u64 {
        match kind {
            ListKind::Tools => self.tools.digest,
            ListKind::Prompts => self.prompts.digest,
            ListKind::Resources => self.resources.digest ^ self.templates.digest.rotate_left(1),
        }
    }
}

impl Listing {
    fn seal(&mut self) {
        // Fixed keys: cursors carry the digest and have to mean the same on every node.
        let mut hasher = ahash::RandomState::with_seeds(1, 2, 3, 4).build_hasher_fixed();
        self.items.hash(&mut hasher);
        self.digest = hasher.finish();
    }
}

trait FixedHasher {
    fn build_hasher_fixed(&self) -> ahash::AHasher;
}

impl FixedHasher for ahash::RandomState {
    fn build_hasher_fixed(&self) -> ahash::AHasher {
        std::hash::BuildHasher::build_hasher(self)
    }
}

/// `raw` with one text member replaced; as it is when it is no object (it always is one).
fn with_text(raw: &Bytes, member: &str, text: &str) -> Bytes {
    match Object::scan(raw) {
        Ok(object) => object.edit(&[(member, Some(&object::quoted(text)))]).into(),
        Err(_) => raw.clone(),
    }
}

/// A tool with the hint about tasks that the client's era has: 2025-11-25 says `execution.taskSupport`, 2026-07-28
/// nothing, because there the server decides. Required is not said: the hub follows such tasks for those who do not.
fn with_hint(mounted: &Mounted, era: Era, raw: &Bytes) -> Bytes {
    if mounted.inventory.era == Some(era) {
        return raw.clone();
    }
    let Ok(tool) = Object::scan(raw) else { return raw.clone() };
    let capabilities = mounted.inventory.capabilities.as_deref().unwrap_or(b"{}");
    match era {
        Era::Modern if tool.get("execution").is_some() => tool.edit(&[("execution", None)]).into(),
        Era::Legacy if task::has_extension(capabilities) => {
            tool.edit(&[("execution", Some(b"{\"taskSupport\":\"optional\"}"))]).into()
        }
        _ => raw.clone(),
    }
}

/// A tool under another name, its app page's URI moved along.
pub(crate) fn rewrite_tool(key: &str, raw: &Bytes, name: &str, description: Option<&str>) -> Bytes {
    let Ok(tool) = Object::scan(raw) else { return raw.clone() };
    let name = object::quoted(name);
    let description = description.map(object::quoted);
    let meta = tool.get("_meta").and_then(|meta| rewrite_app_uri(key, meta));
    let mut edits: Vec<(&str, Option<&[u8]>)> = vec![("name", Some(&name))];
    if let Some(description) = &description {
        edits.push(("description", Some(description)));
    }
    if let Some(meta) = &meta {
        edits.push(("_meta", Some(meta)));
    }
    tool.edit(&edits).into()
}

/// `_meta` with `ui.resourceUri` (and the older flat spelling) as the gathering endpoint shows it.
fn rewrite_app_uri(key: &str, meta: &[u8]) -> Option<Vec<u8>> {
    const FLAT: &str = "ui/resourceUri";
    let meta = Object::scan(meta).ok()?;
    let wrapped = |object: &Object<'_>, member: &str| {
        object.get_str(member).map(|uri| object::quoted(&names::wrap_uri(key, &uri)))
    };
    let nested = meta.get("ui").and_then(|ui| Object::scan(ui).ok());
    let nested =
        nested.and_then(|ui| wrapped(&ui, "resourceUri").map(|uri| ui.edit(&[("resourceUri", Some(&uri))])));
    let flat = wrapped(&meta, FLAT);
    let mut edits: Vec<(&str, Option<&[u8]>)> = Vec::new();
    if let Some(nested) = &nested {
        edits.push(("ui", Some(nested)));
    }
    if let Some(flat) = &flat {
        edits.push((FLAT, Some(flat)));
    }
    (!edits.is_empty()).then(|| meta.edit(&edits))
}
