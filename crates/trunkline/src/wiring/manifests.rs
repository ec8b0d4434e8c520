//! The manifests behind the catalogue's rows: found by integration and pinned version whenever a stored
//! connection is read. Those of older versions come from the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::id::IntegrationId;
use store::ConnectionRow;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Manifests(ArcSwap<HashMap<IntegrationId, Versions>>);

/// The manifests of one integration.
pub(crate) struct Versions {
    /// The version that new connections pin.
    pub(crate) present: String,
    /// All that can be pinned.
    pub(crate) all: BTreeMap<String, Arc<catalog::Entry>>,
}

// === impl Manifests ===

impl Manifests {
    /// The manifest of a connection; `None` for one whose integration was made through the API, and has none.
    ///
    /// # Errors
    /// When the integration has manifests, and none of the pinned version.
    pub(crate) fn find(&self, row: &ConnectionRow) -> Result<Option<Arc<catalog::Entry>>, String> {
        let known = self.0.load();
        let Some(versions) = known.get(&row.integration_id) else { return Ok(None) };
        if versions.all.is_empty() {
            return Ok(None);
        }
        versions.all.get(&row.version).cloned().map(Some).ok_or_else(|| {
            let there: Vec<&str> = versions.all.keys().map(String::as_str).collect();
            format!(
                "version {} of `{}` is not known to this hub; pin another: {}",
                row.version,
                row.integration,
                there.join(", ")
            )
        })
    }

    /// The manifest of an integration in its newest version, by slug: for entries of the file, which pin none.
    pub(crate) fn newest(&self, slug: &str) -> Option<Arc<catalog::Entry>> {
        let known = self.0.load();
        known.values().filter_map(Versions::newest).find(|entry| entry.slug == slug).cloned()
    }

    /// The nearest slug to one that is none.
    pub(crate) fn nearest(&self, slug: &str) -> Option<String> {
        let known = self.0.load();
        let slugs = known.values().filter_map(Versions::newest).map(|entry| entry.slug.as_str());
        catalog::nearest(slug, slugs).map(str::to_owned)
    }

    /// Whether a connection with this integration is one with an HTTP API.
    pub(crate) fn is_api(&self, id: IntegrationId) -> bool {
        let known = self.0.load();
        known.get(&id).and_then(Versions::newest).is_some_and(|entry| entry.api.is_some())
    }

    /// Puts others in the place of all.
    pub(crate) fn replace(&self, all: HashMap<IntegrationId, Versions>) {
        self.0.store(Arc::new(all));
    }
}

// === impl Versions ===

impl Versions {
    fn newest(&self) -> Option<&Arc<catalog::Entry>> {
        self.all.get(&self.present)
    }
}
