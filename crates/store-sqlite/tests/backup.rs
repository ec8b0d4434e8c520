//! Backups: made beside a hub that writes, checked to the byte, restored whole or not at all.
#![allow(clippy::unwrap_used, reason = "test code")]

use sha2::Digest as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::id::{UserId, WorkspaceId};
use model::{Key, ManualClock, Owner, SeededEntropy, Timestamp};
use store::{Fact, FactKind, Facts, NewOwner, Owners, Store, StoreError};
use store_sqlite::{SqliteStore, backup};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn clock() -> ManualClock {
    ManualClock::at(NOW)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Arc::new(clock())).await.unwrap()
}

/// A hub with a fact, and the folder it lives in.
async fn hub() -> (SqliteStore, Owner, TempDir) {
    // A name that has to be encoded in an address.
    let folder = tempfile::Builder::new().prefix("back up % é?#").tempdir().unwrap();
    let store = open(&folder.path().join("hub.db")).await;
    let entropy = SeededEntropy::new(1);
    let owner =
        Owner { workspace: WorkspaceId::new(&clock(), &entropy), user: UserId::new(&clock(), &entropy) };
    let new = NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: NOW };
    store.bootstrap_owner(new).await.unwrap();
    put(&store, owner, 1).await;
    (store, owner, folder)
}

fn files() -> Key {
    "files".parse().unwrap()
}

async fn put(store: &SqliteStore, owner: Owner, byte: u8) {
    let fact = Fact { bytes: vec![byte; 100_000], updated_at: NOW };
    store.put_fact(owner.workspace, &files(), FactKind::Catalogue, fact).await.unwrap();
}

fn make(folder: &TempDir) -> PathBuf {
    let to = folder.path().join("backup");
    let manifest = backup::make(&folder.path().join("hub.db"), &to, &clock()).unwrap();
    assert_eq!((manifest.made_at, manifest.schema_version), (NOW, 3));
    to
}

#[tokio::test]
async fn a_backup_is_one_moment_of_a_hub_that_goes_on_writing() {
    let (store, owner, folder) = hub().await;
    let store = Arc::new(store);
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for byte in 0..100 {
                put(&store, owner, byte).await;
            }
        }
    });
    let made = tokio::task::spawn_blocking(move || (make(&folder), folder));
    let (to, folder) = made.await.unwrap();
    writer.await.unwrap();
    store.close().await;
    backup::check(&to).unwrap();
    for name in ["hub.db", "manifest.json"] {
        assert_eq!(to.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 2, "nothing else, a key least of all");

    let place = folder.path().join("again.db");
    backup::restore(&to, &place).unwrap();
    let again = open(&place).await;
    let fact = again.find_fact(owner.workspace, &files(), FactKind::Catalogue).await.unwrap().unwrap();
    assert_eq!(fact.bytes.len(), 100_000);
    assert!(fact.bytes.iter().all(|byte| *byte == fact.bytes[0]), "whole, whichever it was");
    assert_eq!(again.find_owner().await.unwrap(), Some(owner));
    again.close().await;
}

#[tokio::test]
async fn what_was_altered_or_cut_short_is_found_and_nothing_is_restored() {
    let (store, _, folder) = hub().await;
    let to = make(&folder);
    store.close().await;
    let (copy, manifest) = (to.join("hub.db"), to.join("manifest.json"));
    let (good, said) = (std::fs::read(&copy).unwrap(), std::fs::read_to_string(&manifest).unwrap());
    let place = folder.path().join("again.db");
    let refused = |why: &str| {
        for result in [backup::check(&to), backup::restore(&to, &place)] {
            let error = result.unwrap_err();
            assert!(matches!(error, StoreError::BadBackup { .. }), "{error:?}");
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(!place.exists());
    };
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&copy, &flipped).unwrap();
    refused("altered or cut short");
    std::fs::write(&copy, &good[..middle]).unwrap();
    refused("altered or cut short");
    std::fs::write(&copy, &good).unwrap();
    backup::check(&to).unwrap();
    std::fs::write(&manifest, said.replace("\"schema_version\": 3", "\"schema_version\": 1")).unwrap();
    refused("another schema version");
    std::fs::write(&manifest, "{").unwrap();
    refused("not a manifest");
    std::fs::remove_file(&manifest).unwrap();
    refused("no backup");
}

#[tokio::test]
async fn a_copy_with_a_right_digest_and_damage_inside_is_found_too() {
    let (store, owner, folder) = hub().await;
    put(&store, owner, 7).await;
    let to = make(&folder);
    store.close().await;
    let copy = to.join("hub.db");
    let db = rusqlite::Connection::open(&copy).unwrap();
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db.execute("DELETE FROM workspaces", []).unwrap();
    drop(db);
    // Whoever rewrites both can write a manifest that fits; the database still does not hold together.
    let said = std::fs::read_to_string(to.join("manifest.json")).unwrap();
    let mut manifest: backup::Manifest = serde_json::from_str(&said).unwrap();
    manifest.bytes = copy.metadata().unwrap().len();
    manifest.sha256 = sha256(&std::fs::read(&copy).unwrap());
    std::fs::write(to.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let error = backup::check(&to).unwrap_err();
    assert!(error.to_string().contains("does not hold together"), "{error}");
}

fn sha256(bytes: &[u8]) -> String {
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn nothing_is_ever_overwritten() {
    let (store, _, folder) = hub().await;
    let to = make(&folder);
    let database = folder.path().join("hub.db");
    let before = std::fs::read(to.join("manifest.json")).unwrap();
    for (result, path) in [
        (backup::make(&database, &to, &clock()), to.clone()),
        (backup::restore(&to, &database), database.clone()),
    ] {
        assert!(matches!(result, Err(StoreError::InTheWay { path: p }) if p == path));
    }
    assert_eq!(std::fs::read(to.join("manifest.json")).unwrap(), before);
    store.close().await;
    // A log without its database is in the way as well: it would be taken for the restored one's.
    let place = folder.path().join("again.db");
    std::fs::write(folder.path().join("again.db-wal"), "left over").unwrap();
    assert!(matches!(backup::restore(&to, &place), Err(StoreError::InTheWay { .. })));
    assert!(!place.exists());
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_not_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let (text, to) = (folder.path().join("text.db"), folder.path().join("to"));
    std::fs::write(&text, "not a database, but a text of some length ".repeat(40)).unwrap();
    let not_ours = backup::make(&text, &to, &clock());
    assert!(matches!(not_ours, Err(StoreError::NotOurs { .. })), "{not_ours:?}");
    let absent = backup::make(&folder.path().join("absent.db"), &to, &clock()).unwrap_err();
    assert!(absent.fault().detail.contains("No such file"), "{absent:?}");
    assert!(!to.exists() && !folder.path().join("absent.db").exists());
}
