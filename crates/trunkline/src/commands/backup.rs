//! `trunkline backup` and `trunkline restore`: the embedded store as a folder that can be kept elsewhere.

use std::path::Path;

use model::SystemClock;
use serde_json::json;
use store::FolderLock;
use store_sqlite::backup::{self, Manifest};

use super::{configuration, env};
use crate::cli::Shared;
use crate::config::{data_folder, hub};
use crate::say::{Quit, note, out};
use crate::wiring::house::DATABASE;

/// Makes one.
pub(crate) fn make(shared: &Shared, folder: &Path) -> Result<(), Quit> {
    embedded(shared)?;
    let data = data_folder(shared.data.as_deref(), &env);
    let database = data.join(DATABASE);
    if !database.exists() {
        return Err(Quit::failed(format!("no hub has run on the data folder {} yet", data.display()))
            .with_hint("name another folder with --data"));
    }
    let manifest =
        backup::make(&database, folder, &SystemClock::new()).map_err(|error| Quit::from(error.fault()))?;
    tell(shared, folder, &manifest, "made");
    note("keep the master key as well, and elsewhere: without it nothing sealed in the backup opens");
    Ok(())
}

/// Restores one, or only checks it.
pub(crate) fn restore(shared: &Shared, folder: &Path, is_check: bool) -> Result<(), Quit> {
    if is_check {
        let manifest = backup::check(folder).map_err(|error| Quit::from(error.fault()))?;
        tell(shared, folder, &manifest, "is as it was made");
        return Ok(());
    }
    embedded(shared)?;
    let data = data_folder(shared.data.as_deref(), &env);
    std::fs::create_dir_all(&data)
        .map_err(|error| Quit::failed(format!("the data folder {}: {error}", data.display())))?;
    let _lock = FolderLock::take(&data).map_err(|error| Quit::from(error.fault()))?;
    let manifest =
        backup::restore(folder, &data.join(DATABASE)).map_err(|error| Quit::from(error.fault()))?;
    tell(shared, folder, &manifest, "restored");
    note("start the hub with the master key that the backup was made under");
    Ok(())
}

/// Only the embedded store is a file.
fn embedded(shared: &Shared) -> Result<(), Quit> {
    match configuration(shared, None).hub.store {
        hub::Store::Sqlite => Ok(()),
        hub::Store::Postgres(_) => Err(Quit::usage("the data is in PostgreSQL")
            .with_hint("use pg_dump and pg_restore, which copy it at one moment too")),
        hub::Store::Memory => Err(Quit::usage("`store: memory` keeps nothing that could be copied")),
    }
}

fn tell(shared: &Shared, folder: &Path, manifest: &Manifest, how: &str) {
    if shared.json {
        out(&json!({ "folder": folder, "manifest": manifest }).to_string());
    } else {
        let (bytes, schema) = (manifest.bytes, manifest.schema_version);
        out(&format!("backup {}: {how}, {bytes} bytes, schema {schema}", folder.display()));
    }
}
