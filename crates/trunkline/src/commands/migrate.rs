//! `trunkline migrate --to ...`: everything from the configured store into another, while the hub is stopped.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use credential::resolve_reference;
use model::{Clock, Secret, SystemClock};
use serde_json::{Map, json};
use store::{Bulk, FolderLock, StoreError, move_all};
use store_postgres::PostgresStore;
use store_sqlite::SqliteStore;

use super::client::block_on;
use super::{configuration, env};
use crate::cli::Shared;
use crate::config::{data_folder, hub};
use crate::say::{Quit, note, out};
use crate::wiring::house::DATABASE;

/// Columns of the bar.
const BAR: u64 = 30;

/// Where to.
enum Target {
    Postgres(Secret),
    Sqlite(PathBuf),
}

/// Runs it.
pub(crate) fn run(shared: &Shared, to: &str) -> Result<(), Quit> {
    let to = resolve_reference(to, &env).map_err(|error| Quit::from(error.fault()))?;
    let target = target(&to)?;
    let config = configuration(shared, None);
    if config.is_fatal() {
        return Err(Quit::usage("the configuration has errors").with_hint("`trunkline check` names them"));
    }
    let data = data_folder(shared.data.as_deref(), &env);
    let counts = block_on(moved(&config.hub.store, &data, &target))?;
    if shared.json {
        let counts: Map<String, serde_json::Value> =
            counts.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
        out(&json!({ "moved": counts }).to_string());
    } else {
        let rows: u64 = counts.iter().map(|(_, count)| count).sum();
        out(&format!("{rows} rows in {} tables are there, as many as here", counts.len()));
    }
    note(
        "call records stay in the data folder, and the master key where it is: the hub needs the same one there",
    );
    note("set `store` in the configuration to where the data is now; what is here is as it was");
    Ok(())
}

fn target(to: &Secret) -> Result<Target, Quit> {
    let text = to.expose();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Target::Postgres(Secret::new(text.to_owned())));
    }
    match text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        Some(path) if path.ends_with('/') || Path::new(path).is_dir() => {
            Ok(Target::Sqlite(Path::new(path).join(DATABASE)))
        }
        Some(path) => Ok(Target::Sqlite(PathBuf::from(path))),
        None => Err(Quit::usage("--to is neither postgres://... nor sqlite:PATH")
            .with_hint("\"${DATABASE_URL}\" keeps a password out of the list of processes")),
    }
}

async fn moved(from: &hub::Store, data: &Path, target: &Target) -> Result<Vec<(&'static str, u64)>, Quit> {
    let failed = |error: StoreError| Quit::from(error.fault());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Whoever holds the folder may write: first the locks, then the stores.
    let lock = data.is_dir().then(|| FolderLock::take(data)).transpose().map_err(failed)?;
    let source: Arc<dyn Bulk> = match from {
        hub::Store::Memory => {
            return Err(Quit::usage("`store: memory` keeps nothing that could be moved"));
        }
        hub::Store::Sqlite => {
            let database = data.join(DATABASE);
            if !database.exists() {
                return Err(Quit::failed(format!(
                    "no hub has run on the data folder {} yet",
                    data.display()
                ))
                .with_hint("name another folder with --data"));
            }
            Arc::new(SqliteStore::open(database, Arc::clone(&clock)).await.map_err(failed)?)
        }
        hub::Store::Postgres(url) => {
            Arc::new(PostgresStore::open(url, Arc::clone(&clock)).await.map_err(failed)?)
        }
    };
    let mut other_lock = None;
    let there: Arc<dyn Bulk> = match target {
        Target::Postgres(url) => {
            Arc::new(PostgresStore::open(url, Arc::clone(&clock)).await.map_err(failed)?)
        }
        Target::Sqlite(path) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)
                .map_err(|error| Quit::failed(format!("the folder {}: {error}", folder.display())))?;
            // The data folder of a hub on PostgreSQL may be where its database goes: that lock is ours.
            let is_same = same_folder(folder, data);
            if is_same && matches!(from, hub::Store::Sqlite) && path.ends_with(DATABASE) {
                return Err(Quit::usage("that is where the data is already"));
            }
            if !(is_same && lock.is_some()) {
                other_lock = Some(FolderLock::take(folder).map_err(failed)?);
            }
            Arc::new(SqliteStore::open(path, Arc::clone(&clock)).await.map_err(failed)?)
        }
    };
    let is_terminal = std::io::stderr().is_terminal();
    let progress = |table: &'static str, done, total| show(is_terminal, table, done, total);
    let done = move_all(&*source, &*there, &*clock, &progress).await;
    source.close().await;
    there.close().await;
    drop((lock, other_lock));
    done.map_err(|error| {
        let hint = match &error {
            StoreError::Conflict { .. } => {
                "stop every hub on either store; an empty store, or the one that this was begun into, is what \
                 it goes into"
            }
            _ => "what is there already stays: the same command goes on from there",
        };
        failed(error).with_hint(hint)
    })
}

fn same_folder(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A bar that fills, on a terminal; elsewhere a line when a table is done.
fn show(is_terminal: bool, table: &str, done: u64, total: u64) {
    if !is_terminal {
        if done == total && total > 0 {
            note(&format!("{table}: {done} rows"));
        }
        return;
    }
    let filled = done.saturating_mul(BAR).checked_div(total).unwrap_or(BAR);
    let bar: String = (0..BAR).map(|at| if at < filled { '#' } else { '.' }).collect();
    let end = if done >= total { "\n" } else { "" };
    let mut stderr = std::io::stderr().lock();
    // A terminal that went away is no reason to stop.
    let _ = write!(stderr, "\r{table:<28} [{bar}] {done}/{total}{end}").and_then(|()| stderr.flush());
}
