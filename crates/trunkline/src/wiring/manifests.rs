//! The manifests behind the catalogue's rows: found by integration and pinned version whenever a stored
//! connection is read. Those of older versions come from the store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use model::Clock;
use model::id::IntegrationId;
use store::ConnectionRow;

/// See the head of the file.
#[derive(Default)]
pub(crate) struct Manifests(ArcSwap<HashMap<IntegrationId, Versions>>);

/// The manifests of one integration.
#[derive(Clone, Default)]
pub(crate) struct Versions {
    /// The version that new connections pin.
    pub(crate) present: String,
    /// What replaying the present one's exchanges showed.
    pub(crate) proof: OnceLock<api::Proof>,
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

    /// The manifest of an integration that new connections pin.
    pub(crate) fn present(&self, id: IntegrationId) -> Option<Arc<catalog::Entry>> {
        self.0.load().get(&id).and_then(Versions::newest).cloned()
    }

    /// What replaying its exchanges showed, once that was done.
    pub(crate) fn proof(&self, id: IntegrationId) -> Option<api::Proof> {
        self.0.load().get(&id).and_then(|versions| versions.proof.get().cloned())
    }

    /// Replays the exchanges of every present manifest that has some.
    pub(crate) async fn prove(&self, clock: &dyn Clock) {
        let all: Vec<IntegrationId> = self.0.load().keys().copied().collect();
        for id in all {
            let Some(entry) = self.present(id).filter(|entry| !entry.fixture_files.is_empty()) else {
                continue;
            };
            let shown = connector_http::verify(&entry).await;
            for failed in &shown.failed {
                tracing::error!("catalogue: {failed}");
            }
            let proof = api::Proof {
                at: clock.now(),
                is_whole: shown.is_whole(),
                passed: shown.passed,
                failed: shown.failed.len(),
            };
            if let Some(versions) = self.0.load().get(&id) {
                // Another catalogue has come meanwhile, or this one is proved: either way there is one.
                let _ = versions.proof.set(proof);
            }
            // Calls go before.
            tokio::task::yield_now().await;
        }
    }

    /// Adds a manifest that new connections pin from now on.
    pub(crate) fn add(&self, id: IntegrationId, entry: &Arc<catalog::Entry>) {
        self.0.rcu(|known| {
            let mut known = HashMap::clone(known);
            let versions = known.entry(id).or_insert_with(Versions::default);
            versions.present.clone_from(&entry.version);
            versions.proof = OnceLock::new();
            versions.all.insert(entry.version.clone(), Arc::clone(entry));
            known
        });
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
