//! `trunkline key rotate-master`: every data key wrapped by another master key, while the hub is stopped.
//!
//! Data keys, and so what they seal, stay as they are. One row after another is wrapped anew and is durable
//! then; a run that was cut off is finished by the next with the same file. API keys stay good: what they
//! are digested under goes with the new key.

use std::path::{Path, PathBuf};

use credential::{KEY_FILE, MasterKey, MasterKeyError, MasterKeyOrigin, WrappingKey};
use model::Entropy;
use model::id::WorkspaceId;
use serde_json::json;
use store::{DataKeyCommand, DataKeyRow, Store, StoreError};

use super::client::block_on;
use super::{configuration, env};
use crate::cli::Shared;
use crate::config::{data_folder, hub};
use crate::say::{Quit, note, out};
use crate::wiring::house::{self, Opened};

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
struct Rotated {
    /// Wrapped anew by this run.
    rewrapped: usize,
    /// All there are: every one opens under the new key and none under the old one.
    total: usize,
}

/// Runs it.
pub(crate) fn run(shared: &Shared, file: &Path) -> Result<(), Quit> {
    block_on(async {
        let config = configuration(shared, None);
        if config.is_fatal() {
            return Err(Quit::usage("the configuration has errors").with_hint("`trunkline check` names them"));
        }
        if matches!(config.hub.store, hub::Store::Memory) {
            return Err(Quit::usage("`store: memory` keeps nothing that is wrapped by a key"));
        }
        let data = data_folder(shared.data.as_deref(), &env);
        let Opened { store, master: old, origin, owner, entropy, .. } = house::open(&config, &data).await?;
        let new = new_key(file, &old, &*entropy).map_err(|error| Quit::from(error.fault()))?;
        let workspace = owner.workspace;
        let done = rotate(&*store, workspace, &old.wrapping_key(), &new.wrapping_key(), &*entropy).await;
        store.close().await;
        let done = done?;
        let kept = put_in_place(&data, &origin, &new).map_err(|error| Quit::from(error.fault()))?;
        if shared.json {
            let report = json!({
                "rewrapped": done.rewrapped, "data_keys": done.total, "old_key_kept_in": kept,
                "new_key_file": file,
            });
            out(&report.to_string());
        } else {
            out(&format!(
                "{} of {} data keys wrapped anew; all open under the new master key, none under the old one",
                done.rewrapped, done.total
            ));
        }
        match (&origin, &kept) {
            (_, Some(kept)) => note(&format!(
                "the data folder's key file is the new one; the old one is kept in {}: remove it once older \
                 backups are not needed",
                kept.display()
            )),
            _ => note(&format!(
                "start the hub with the key in {} from now on (TRUNKLINE_MASTER_KEY_FILE); both of its lines \
                 belong to it",
                file.display()
            )),
        }
        Ok(())
    })
}

/// The new key, made where the file is not there yet, with what keeps API keys good beside it.
fn new_key(file: &Path, old: &MasterKey, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
    let new = if file.symlink_metadata().is_ok() {
        MasterKey::from_file(file)?
    } else {
        MasterKey::make_file(file, entropy)?
    };
    // Before the first row: whatever happens from here on, this file is the whole new key.
    let new = new.with_pepper_of(old);
    new.write(file)?;
    Ok(new)
}

/// Wraps what the old key wraps by the new one, and proves that it is so.
async fn rotate(
    store: &dyn Store,
    workspace: WorkspaceId,
    old: &WrappingKey,
    new: &WrappingKey,
    entropy: &dyn Entropy,
) -> Result<Rotated, Quit> {
    let broken = |row: &DataKeyRow, why: &str| {
        Quit::failed(format!("data key {}: {why}", row.version))
            .with_hint("nothing is lost: start this again with the master key that the hub ran with before")
    };
    let rows = list(store, workspace).await?;
    let mut rewrapped = 0;
    for row in rows.iter().filter(|row| row.master_key_id != new.id()) {
        if row.master_key_id != old.id() {
            return Err(broken(row, "is wrapped by a third master key"));
        }
        let wrapped = new
            .rewrap(old, workspace, row.version, &row.wrapped, entropy)
            .map_err(|error| broken(row, &error.to_string()))?;
        let command = DataKeyCommand::Rewrap {
            workspace,
            version: row.version,
            expected: old.id(),
            wrapped,
            master_key_id: new.id(),
        };
        store.change_data_key(command).await.map_err(failed)?;
        rewrapped += 1;
    }
    let rows = list(store, workspace).await?;
    let is_rotation = new.id() != old.id();
    for row in &rows {
        let opens = |key: &WrappingKey| key.ring(workspace, [(row.version, row.wrapped.as_slice())]).is_ok();
        if row.master_key_id != new.id() || !opens(new) {
            return Err(broken(row, "does not open under the new master key"));
        }
        if is_rotation && opens(old) {
            return Err(broken(row, "still opens under the old master key"));
        }
    }
    Ok(Rotated { rewrapped, total: rows.len() })
}

async fn list(store: &dyn Store, workspace: WorkspaceId) -> Result<Vec<DataKeyRow>, Quit> {
    store.list_data_keys(workspace).await.map_err(failed)
}

fn failed(error: StoreError) -> Quit {
    Quit::from(error.fault())
}

/// Where the key was the data folder's own, the new one takes its place and the old one is kept beside it.
fn put_in_place(
    data: &Path,
    origin: &MasterKeyOrigin,
    new: &MasterKey,
) -> Result<Option<PathBuf>, MasterKeyError> {
    let MasterKeyOrigin::DataFolder(path) = origin else { return Ok(None) };
    let present = MasterKey::from_file(path)?;
    let id = present.wrapping_key().id();
    if id == new.wrapping_key().id() {
        return Ok(None);
    }
    let kept = data.join(format!("{KEY_FILE}.before-{}", model::hex(&id)));
    present.write(&kept)?;
    new.write(path)?;
    Ok(Some(kept))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use connector::Credentials;
    use credential::{MasterKey, SystemEntropy};
    use model::Secret;
    use store::DataKeyCommand;

    use super::{Rotated, rotate};
    use crate::wiring::upkeep::scene::Scene;

    fn key(pattern: &str) -> MasterKey {
        MasterKey::parse(&pattern.repeat(2), "test").unwrap()
    }

    fn of(scene: &Scene, key: &MasterKey) -> Credentials {
        let store = Arc::clone(&scene.store);
        Credentials::new(store, key.wrapping_key(), scene.clock(), Arc::new(SystemEntropy))
    }

    async fn put(scene: &Scene, key: &MasterKey) {
        let new = connector::NewCredential {
            field: "auth.credentials.key".into(),
            user: None,
            value: Secret::new("canary".to_owned()),
            expires_at: None,
            overlap_ms: 0,
        };
        of(scene, key).put(&scene.row().await, new).await.unwrap();
    }

    #[tokio::test]
    async fn a_rotation_that_was_cut_off_at_any_row_is_finished_by_the_next() {
        let (old, new) = (key("00112233445566778899aabbccddeeff"), key("102132435465768798a9bacbdcedfe0f"));
        for cut_off_after in 0..=3_u32 {
            let scene = Scene::new().await;
            put(&scene, &old).await;
            let workspace = scene.owner.workspace;
            for _ in 0..2 {
                of(&scene, &old).rotate_data_key(workspace, &|_, _| {}).await.unwrap();
            }
            let (from, to) = (old.wrapping_key(), new.wrapping_key());
            for row in scene.store.list_data_keys(workspace).await.unwrap() {
                if row.version <= cut_off_after {
                    let wrapped =
                        to.rewrap(&from, workspace, row.version, &row.wrapped, &SystemEntropy).unwrap();
                    let command = DataKeyCommand::Rewrap {
                        workspace,
                        version: row.version,
                        expected: from.id(),
                        wrapped,
                        master_key_id: to.id(),
                    };
                    scene.store.change_data_key(command).await.unwrap();
                }
            }
            let left = usize::try_from(3 - cut_off_after).unwrap();
            let done = rotate(&*scene.store, workspace, &from, &to, &SystemEntropy).await.unwrap();
            assert_eq!(done, Rotated { rewrapped: left, total: 3 });
            let again = rotate(&*scene.store, workspace, &from, &to, &SystemEntropy).await.unwrap();
            assert_eq!(again, Rotated { rewrapped: 0, total: 3 });
            let opened = of(&scene, &new).open(&scene.row().await).await.unwrap();
            assert_eq!(opened.get("auth.credentials.key").unwrap().expose(), "canary");
            assert!(of(&scene, &old).open(&scene.row().await).await.is_err(), "the old one opens nothing");
        }
    }

    #[tokio::test]
    async fn the_wrong_old_key_changes_nothing() {
        let (old, new) = (key("00112233445566778899aabbccddeeff"), key("102132435465768798a9bacbdcedfe0f"));
        let third = key("203142536475869708192a3b4c5d6e7f");
        let scene = Scene::new().await;
        put(&scene, &old).await;
        let workspace = scene.owner.workspace;
        let (from, to) = (third.wrapping_key(), new.wrapping_key());
        let refused = rotate(&*scene.store, workspace, &from, &to, &SystemEntropy).await.unwrap_err();
        assert!(refused.what.contains("third master key"), "{}", refused.what);
        assert!(of(&scene, &old).open(&scene.row().await).await.is_ok());
    }
}
