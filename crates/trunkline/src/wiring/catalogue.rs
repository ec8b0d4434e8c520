//! Keeps the store's catalogue in step with what is compiled in and what the operator's folders hold.
//!
//! A folder's entry goes before a compiled-in one of the same slug. A broken one is told and stops no other;
//! what it was before stays in the catalogue. One that is gone is withdrawn: its connections stay.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::id::{IntegrationId, WorkspaceId};
use model::{Clock, Entropy, Fault};
use sha2::{Digest as _, Sha256};
use store::{IntegrationCommand, IntegrationQuery, IntegrationRow, Json, Origin, Store};
use tokio::sync::Mutex;

use super::manifests::{Manifests, Versions};
use crate::config::Config;
use crate::config::hub::Hub;

/// How long after the catalogue was read its entries' exchanges are replayed.
const PROVE_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// See the head of the file.
pub(crate) struct Catalogue {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) workspace: WorkspaceId,
    pub(super) manifests: Arc<Manifests>,
    /// What was read last, to tell whether anything is different.
    pub(super) last: Mutex<Option<[u8; 32]>>,
}

/// Everything that can be read at present.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Those that are whole, by slug, and where each is from.
    pub(crate) entries: BTreeMap<String, (Origin, Arc<catalog::Entry>)>,
    /// Slugs of those that are not.
    pub(crate) broken: Vec<String>,
    /// What is wrong.
    pub(crate) problems: Vec<String>,
}

/// The folders of `catalog:`, relative ones to the configuration file; and whether somebody named them.
pub(crate) fn folders(config: &Config) -> (Vec<PathBuf>, bool) {
    let base = config.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let is_named = config.hub.catalog != Hub::default().catalog;
    (config.hub.catalog.iter().map(|folder| base.join(folder)).collect(), is_named)
}

/// Reads what is compiled in and what the folders hold.
pub(crate) fn gather(folders: &[PathBuf], is_named: bool) -> Gathered {
    let mut all = Gathered::default();
    all.take(catalog::built_in(), Origin::Builtin);
    for folder in folders {
        match catalog::read_folder(folder) {
            Ok(shelf) => all.take(shelf, Origin::Folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {}
            Err(error) => {
                all.problems.push(format!("catalog: {} cannot be read: {error}", folder.display()));
            }
        }
    }
    all
}

// === impl Gathered ===

impl Gathered {
    fn take(&mut self, shelf: catalog::Shelf, origin: Origin) {
        for entry in shelf.entries {
            match self.entries.get(&entry.slug) {
                Some((Origin::Folder, _)) => {
                    let what = "an entry of a folder before it has the same slug; this one is not used";
                    self.problems.push(format!("{}: {what}", entry.slug));
                }
                // A copy of what is compiled in changes nothing.
                Some((_, there)) if there.manifest == entry.manifest => {}
                _ => {
                    self.entries.insert(entry.slug.clone(), (origin, Arc::new(entry)));
                }
            }
        }
        for (slug, problems) in shelf.broken {
            self.problems.extend(problems.0.iter().map(ToString::to_string));
            self.broken.push(slug);
        }
    }

    /// Equal digests mean that nothing is different.
    fn said(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (origin, entry) in self.entries.values() {
            digest.update(format!("{origin:?}\0"));
            digest.update(&entry.manifest);
            digest.update([0]);
        }
        for problem in &self.problems {
            digest.update(problem);
            digest.update([0]);
        }
        digest.finalize().into()
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// Reads everything again and brings the store in step. True when something was different.
    pub(crate) async fn refresh(&self, folders: &[PathBuf], is_named: bool) -> bool {
        let mut last = self.last.lock().await;
        let folders = folders.to_vec();
        let gathered = tokio::task::spawn_blocking(move || gather(&folders, is_named)).await;
        let Ok(gathered) = gathered else {
            tracing::error!("the catalogue could not be read");
            return false;
        };
        let said = gathered.said();
        if last.as_ref() == Some(&said) {
            return false;
        }
        for problem in &gathered.problems {
            tracing::error!("catalogue: {problem}");
        }
        let count = gathered.entries.len();
        match self.seed(gathered).await {
            Ok(()) => {
                *last = Some(said);
                tracing::info!(entries = count, "catalogue read");
                true
            }
            Err(fault) => {
                tracing::error!("the catalogue cannot be stored: {fault}");
                false
            }
        }
    }

    async fn seed(&self, gathered: Gathered) -> Result<(), Fault> {
        let before: HashMap<String, IntegrationRow> =
            self.stored().await?.into_iter().map(|row| (row.slug.clone(), row)).collect();
        for (origin, entry) in gathered.entries.values() {
            let row = self.row(*origin, entry)?;
            let there = before.get(&entry.slug);
            // Known before it is listed: whoever sees it may connect at once.
            self.manifests.add(there.map_or(row.id, |there| there.id), entry);
            // Most starts find the catalogue as they left it: nothing to write, nothing to tell.
            if there.is_some_and(|there| there.says_the_same(&row)) {
                continue;
            }
            let seeded = self.store.change_integration(IntegrationCommand::Seed(Box::new(row))).await;
            if let Err(error) = seeded {
                // One that the store refuses stops no other either.
                tracing::error!("catalogue: {}: {}", entry.slug, error.fault());
            }
        }
        let mut known = HashMap::new();
        for row in self.stored().await? {
            let is_there = gathered.entries.contains_key(&row.slug) || gathered.broken.contains(&row.slug);
            if !is_there && row.is_active {
                let withdraw = IntegrationCommand::Withdraw { slug: row.slug.clone(), at: self.clock.now() };
                self.store.change_integration(withdraw).await.map_err(|error| error.fault())?;
                tracing::info!(slug = row.slug, "taken out of the catalogue");
            }
            // What was just read has its icon and its exchanges too, and need not be read again.
            let fresh = gathered.entries.get(&row.slug).map(|(_, entry)| entry);
            let fresh = fresh.filter(|entry| entry.version == row.version);
            let versions = Versions::read(&*self.store, self.workspace, &row, fresh).await?;
            known.insert(row.id, versions);
        }
        self.manifests.replace(&known);
        let (manifests, clock) = (Arc::clone(&self.manifests), Arc::clone(&self.clock));
        tokio::spawn(async move {
            // Not while the hub and its callers have the start to do.
            tokio::time::sleep(PROVE_AFTER).await;
            manifests.prove(&*clock).await;
        });
        Ok(())
    }

    fn row(&self, origin: Origin, entry: &catalog::Entry) -> Result<IntegrationRow, Fault> {
        let now = self.clock.now();
        let schema =
            Json::from_value("config_schema", &entry.config_schema).map_err(|error| error.fault())?;
        Ok(IntegrationRow {
            id: IntegrationId::new(&*self.clock, &*self.entropy),
            workspace: None,
            slug: entry.slug.clone(),
            name: entry.name.clone(),
            kind: entry.kind,
            category: entry.category,
            description: entry.description.clone(),
            icon_type: entry.slug.clone(),
            docs_url: entry.docs_url.clone(),
            is_active: true,
            config_schema: schema,
            version: entry.version.clone(),
            manifest_digest: Sha256::digest(entry.manifest.as_bytes()).into(),
            // Kept, so that connections that pin this version can be read when there is a newer one.
            manifest: Some(entry.manifest.clone()),
            origin,
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    /// What the store has that was not made through the API.
    async fn stored(&self) -> Result<Vec<IntegrationRow>, Fault> {
        let query = IntegrationQuery { with_inactive: true, ..IntegrationQuery::default() };
        let rows = self.store.all_integrations(self.workspace, query).await.map_err(|error| error.fault())?;
        Ok(rows.into_iter().filter(|row| row.origin != Origin::Api).collect())
    }
}
