//! The store: is it there, may it be written, is there room, and is its schema one that this program knows.

use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use store::StoreError;
use store::migration::Look;

use super::{Finding, Verdict, find};
use crate::commands::client::block_on;
use crate::config::Config;
use crate::config::hub::Store;
use crate::say::Quit;
use crate::wiring::house::DATABASE;

/// Less free room than this is a warning: a migration copies the database, and call records grow.
const FREE_MIB_MIN: u64 = 512;
const ABOUT: &str = "store";

pub(super) fn look(config: &Config, data: &Path, findings: &mut Vec<Finding>) {
    room(data, findings);
    match &config.hub.store {
        Store::Memory => {
            let remedy = "write `store: sqlite` to keep keys over a restart".to_owned();
            find(findings, Verdict::Warning, ABOUT, "memory: it is empty after each start", Some(remedy));
        }
        Store::Sqlite => {
            let path = data.join(DATABASE);
            if path.exists() {
                judge(store_sqlite::look(&path), &path.display().to_string(), findings);
            } else {
                find(
                    findings,
                    Verdict::Ok,
                    ABOUT,
                    format!("{} is made on the first start", path.display()),
                    None,
                );
            }
        }
        Store::Postgres(url) => {
            let looked = block_on(async { Ok::<_, Quit>(store_postgres::look(url).await) });
            match looked {
                Ok(looked) => judge(looked, "PostgreSQL", findings),
                Err(quit) => find(findings, Verdict::Bad, ABOUT, quit.what, Some(quit.hint)),
            }
        }
    }
}

fn judge(looked: Result<Look, StoreError>, name: &str, findings: &mut Vec<Finding>) {
    match looked {
        Err(error) => {
            let fault = error.fault();
            find(findings, Verdict::Bad, ABOUT, format!("{name}: {}", fault.detail), Some(fault.hint));
        }
        Ok(Look { is_writable: false, .. }) => {
            let remedy = "let the hub's user write there, or name another store".to_owned();
            find(findings, Verdict::Bad, ABOUT, format!("{name} may not be written"), Some(remedy));
        }
        Ok(Look { found: 0, .. }) => {
            find(
                findings,
                Verdict::Ok,
                ABOUT,
                format!("{name}: its tables are made on the first start"),
                None,
            );
        }
        Ok(Look { found, known, .. }) if found < known => {
            let what = format!("{name}: schema {found}, which the next start brings to {known}");
            find(findings, Verdict::Ok, ABOUT, what, None);
        }
        Ok(Look { found, .. }) => find(findings, Verdict::Ok, ABOUT, format!("{name}, schema {found}"), None),
    }
}

/// The data folder holds call records whatever the store is.
fn room(data: &Path, findings: &mut Vec<Finding>) {
    if !data.is_dir() {
        return;
    }
    let shown = data.display();
    if access(data, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let remedy = format!("let the hub's user write to {shown}, or name another with --data");
        find(findings, Verdict::Bad, "data folder", format!("{shown} may not be written"), Some(remedy));
    }
    let Ok(disk) = statvfs(data) else { return };
    let free_mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
    if free_mib < FREE_MIB_MIN {
        let remedy = "make room: without any, nothing is stored and calls are not recorded".to_owned();
        let what = format!("{free_mib} MiB are free in {shown}");
        find(findings, Verdict::Warning, "disk", what, Some(remedy));
    } else {
        find(findings, Verdict::Ok, "disk", format!("{free_mib} MiB are free in {shown}"), None);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use store::StoreError;
    use store::migration::Look;

    use super::super::Verdict;
    use super::judge;

    #[test]
    fn a_schema_of_the_future_and_a_store_for_reading_only_are_bad_and_an_old_schema_is_not() {
        let look = |found, is_writable| Ok(Look { found, known: 2, is_writable });
        for (looked, verdict, words) in [
            (look(2, true), Verdict::Ok, "schema 2"),
            (look(1, true), Verdict::Ok, "brings to 2"),
            (look(0, true), Verdict::Ok, "first start"),
            (look(2, false), Verdict::Bad, "may not be written"),
            (Err(StoreError::NewerSchema { found: 3, known: 2 }), Verdict::Bad, "schema version 3"),
            (Err(StoreError::NotOurs { path: PathBuf::from("/x") }), Verdict::Bad, "not a database"),
        ] {
            let mut findings = Vec::new();
            judge(looked, "the store", &mut findings);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert!(finding.verdict == verdict && finding.what.contains(words), "{finding:?}");
            let remedy = finding.remedy.clone().unwrap_or_default();
            assert_eq!(remedy.is_empty(), verdict == Verdict::Ok, "{finding:?}");
        }
    }
}
