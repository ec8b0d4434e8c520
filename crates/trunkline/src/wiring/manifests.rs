//! The manifests behind the catalogue's rows: found by integration and pinned version whenever a stored
//! connection is read. Those of older versions come from the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::id::IntegrationId;
use store::ConnectionRow;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Manifests(ArcSwap<HashMap<IntegrationId, BTreeMap<String, Arc<catalog::Entry>>>>);

// === impl Manifests ===

impl Manifests {
    /// The manifest of a connection; `None` for one whose integration was made through the API, and has none.
    ///
    /// # Errors
    /// When the integration has manifests, and none of the pinned version.
    pub(crate) fn find(&self, row: &ConnectionRow) -> Result<Option<Arc<catalog::Entry>>, String> {
        let known = self.0.load();
        let Some(versions) = known.get(&row.integration_id) else { return Ok(None) };
        versions.get(&row.version).cloned().map(Some).ok_or_else(|| {
            let there: Vec<&str> = versions.keys().map(String::as_str).collect();
            format!(
                "version {} of `{}` is not known to this hub; pin another: {}",
                row.version,
                row.integration,
                there.join(", ")
            )
        })
    }

    /// Puts others in the place of all.
    pub(crate) fn replace(&self, all: HashMap<IntegrationId, BTreeMap<String, Arc<catalog::Entry>>>) {
        self.0.store(Arc::new(all));
    }
}
