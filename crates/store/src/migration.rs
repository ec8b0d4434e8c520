//! Which schema migrations are still to run: the part that is the same for every SQL backend.

use crate::StoreError;

/// One numbered migration, embedded from its `.sql` file.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3 ...
    pub version: u32,
    /// What it is called, for the table of migrations.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// One that ran, as the table of migrations says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub version: u32,
    /// [`Migration::checksum`] of the text that ran.
    pub checksum: String,
}

/// What a look at the data found, without changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The schema version of the data; 0 before the first start.
    pub found: u32,
    /// The one that this program brings it to.
    pub known: u32,
    /// We may write.
    pub is_writable: bool,
}

/// What is left to run, in order.
///
/// # Errors
/// [`StoreError::NewerSchema`] when the data knows migrations that this program does not,
/// [`StoreError::ChangedMigration`] when one that ran has another text here, or one in between is missing.
pub fn pending<'m>(known: &'m [Migration], applied: &[Applied]) -> Result<&'m [Migration], StoreError> {
    let newest = known.last().map_or(0, |migration| migration.version);
    if let Some(newer) = applied.iter().map(|one| one.version).max().filter(|version| *version > newest) {
        return Err(StoreError::NewerSchema { found: newer, known: newest });
    }
    for (migration, one) in known.iter().zip(applied) {
        if migration.version != one.version || migration.checksum() != one.checksum {
            return Err(StoreError::ChangedMigration { version: migration.version });
        }
    }
    Ok(known.get(applied.len()..).unwrap_or_default())
}

// === impl Look ===

impl Look {
    /// From what ran.
    ///
    /// # Errors
    /// As [`pending`].
    pub fn of(known: &[Migration], applied: &[Applied], is_writable: bool) -> Result<Self, StoreError> {
        pending(known, applied)?;
        let found = applied.last().map_or(0, |one| one.version);
        Ok(Self { found, known: known.last().map_or(0, |one| one.version), is_writable })
    }
}

// === impl Migration ===

impl Migration {
    /// FNV-1a 64 (Fowler, Noll, Vo 1991) of the text, in hexadecimal. It finds accidents, which is all it is
    /// for: whoever can rewrite the table can rewrite the data.
    #[must_use]
    pub fn checksum(&self) -> String {
        let hash = self.sql.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Applied, Migration, pending};
    use crate::StoreError;

    const KNOWN: &[Migration] = &[
        Migration { version: 1, name: "first", sql: "create a" },
        Migration { version: 2, name: "second", sql: "create b" },
    ];

    fn applied(count: usize) -> Vec<Applied> {
        KNOWN[..count].iter().map(|m| Applied { version: m.version, checksum: m.checksum() }).collect()
    }

    #[test]
    fn what_did_not_run_yet_is_pending_in_order() {
        assert_eq!(pending(KNOWN, &[]).unwrap().len(), 2);
        assert_eq!(pending(KNOWN, &applied(1)).unwrap()[0].version, 2);
        assert!(pending(KNOWN, &applied(2)).unwrap().is_empty());
    }

    #[test]
    fn newer_data_and_changed_history_are_refused() {
        let newer = pending(&KNOWN[..1], &applied(2)).unwrap_err();
        assert!(matches!(newer, StoreError::NewerSchema { found: 2, known: 1 }));
        let mut changed = applied(2);
        changed[0].checksum = "0".repeat(16);
        assert!(matches!(pending(KNOWN, &changed), Err(StoreError::ChangedMigration { version: 1 })));
        assert!(pending(KNOWN, &applied(2)[1..]).is_err(), "a gap is not an order");
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        let empty = Migration { version: 1, name: "", sql: "" };
        assert_eq!(empty.checksum(), "cbf29ce484222325");
        assert_eq!(Migration { sql: "foobar", ..empty }.checksum(), "85944171f73967e8");
    }
}
