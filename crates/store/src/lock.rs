//! One hub per data folder: an advisory lock that the system drops with the process, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StoreError;

/// Held for as long as a hub uses its data folder.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

// === impl FolderLock ===

impl FolderLock {
    /// Takes the lock of `folder` (which must exist) through the file `lock` in it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another hub holds it, [`StoreError::Unavailable`] when the file cannot be
    /// used.
    pub fn take(folder: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::unavailable("lock the data folder", source);
        // Not truncated on opening: until the lock is ours, the content is the other hub's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { folder: folder.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Who holds the lock, as far as the file tells.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(id) => format!(" (process {id})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::FolderLock;
    use crate::StoreError;

    #[test]
    fn a_folder_has_one_hub_at_a_time_and_the_refusal_names_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Locked { .. }));
        assert!(refused.to_string().contains(&format!("process {}", std::process::id())));
        drop(first);
        FolderLock::take(folder.path()).unwrap();
    }
}
