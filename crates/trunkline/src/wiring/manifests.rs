//! The manifests behind the catalogue's rows: found by integration and pinned version whenever a stored
//! connection is read. Those of older versions come from the store, and so do those that were put there
//! through the API.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use model::id::{IntegrationId, WorkspaceId};
use model::{Clock, Fault};
use store::{ConnectionRow, IntegrationQuery, IntegrationRow, Origin, Store};

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
    /// Versions that never had a manifest.
    plain: BTreeSet<String>,
    /// Of one that was made through the API: which revision of its row this is.
    own_revision: Option<u64>,
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
        if versions.all.is_empty() || versions.plain.contains(&row.version) {
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

    /// Puts others in the place of all that were not made through the API.
    pub(crate) fn replace(&self, others: &HashMap<IntegrationId, Versions>) {
        self.put(others, |versions| versions.own_revision.is_some());
    }

    /// Reads those that were made through the API; what is as it was is not read again.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn read_own(&self, store: &dyn Store, workspace: WorkspaceId) -> Result<(), Fault> {
        let query = IntegrationQuery {
            with_inactive: true,
            origin: Some(Origin::Api),
            ..IntegrationQuery::default()
        };
        let rows = store.all_integrations(workspace, query).await.map_err(|error| error.fault())?;
        let before = self.0.load_full();
        let mut own = HashMap::new();
        for row in &rows {
            let is_same = |there: &&Versions| there.own_revision == Some(row.revision);
            let versions = match before.get(&row.id).filter(is_same) {
                Some(there) => there.clone(),
                None => Versions::read(store, workspace, row, None).await?,
            };
            own.insert(row.id, versions);
        }
        self.put(&own, |versions| versions.own_revision.is_none());
        Ok(())
    }

    /// Puts these in the place of all but those that `stays` says.
    fn put(&self, some: &HashMap<IntegrationId, Versions>, stays: impl Fn(&Versions) -> bool) {
        self.0.rcu(|known| {
            let staying = known.iter().filter(|(_, versions)| stays(versions));
            let all = some.iter().chain(staying).map(|(id, versions)| (*id, versions.clone()));
            all.collect::<HashMap<_, _>>()
        });
    }
}

// === impl Versions ===

impl Versions {
    /// Reads every version that the store has of an integration, but takes `fresh`, which was just read, as
    /// it is. One that cannot be read is told, and cannot be pinned.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn read(
        store: &dyn Store,
        workspace: WorkspaceId,
        row: &IntegrationRow,
        fresh: Option<&Arc<catalog::Entry>>,
    ) -> Result<Self, Fault> {
        let own_revision = (row.origin == Origin::Api).then_some(row.revision);
        let mut read = Self { present: row.version.clone(), own_revision, ..Self::default() };
        let versions = store.list_integration_versions(workspace, row.id).await;
        for version in versions.map_err(|error| error.fault())? {
            if let Some(fresh) = fresh.filter(|fresh| fresh.version == version.version) {
                read.all.insert(version.version, Arc::clone(fresh));
                continue;
            }
            let Some(manifest) = &version.manifest else {
                read.plain.insert(version.version);
                continue;
            };
            match catalog::Entry::read_stored(&row.slug, manifest) {
                Ok(entry) => {
                    read.all.insert(version.version, Arc::new(entry));
                }
                Err(problems) => {
                    tracing::error!("catalogue: {} {}: {problems}", row.slug, version.version);
                }
            }
        }
        Ok(read)
    }

    fn newest(&self) -> Option<&Arc<catalog::Entry>> {
        self.all.get(&self.present)
    }
}
