//! The files: append-only, numbered, rotated by size and age, the oldest deleted.
//!
//! A file is called `<number>-<id of its first record>.jsonl`. The number makes the order: ids are as
//! old as the beginning of a call, and a long call ends (and is written) after shorter, younger ones.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Clock, Timestamp};

use crate::LedgerOptions;

/// The files of one folder, the newest of them open.
pub(crate) struct Segments {
    folder: PathBuf,
    options: LedgerOptions,
    clock: Arc<dyn Clock>,
    /// Oldest first.
    paths: VecDeque<PathBuf>,
    current: Option<Current>,
    next_number: u64,
}

struct Current {
    file: File,
    /// Bytes that are known to be on disk.
    len: u64,
    begun_at: Timestamp,
}

// === impl Segments ===

impl Segments {
    /// Opens the folder. A last line that a crash cut short is closed off, so that what follows stands on
    /// lines of its own; the second value counts it.
    pub(crate) fn open(
        folder: &Path,
        options: LedgerOptions,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<(Self, u64)> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let numbered = list(folder)?;
        let next_number = numbered.last().map_or(1, |(number, _)| number.saturating_add(1));
        let paths: VecDeque<PathBuf> = numbered.into_iter().map(|(_, path)| path).collect();
        let (current, torn) = match paths.back() {
            Some(path) => {
                let (current, torn) = reopen(path)?;
                (Some(current), torn)
            }
            None => (None, 0),
        };
        Ok((Self { folder: folder.to_owned(), options, clock, paths, current, next_number }, torn))
    }

    /// Appends whole lines; they are on disk once this returns. After an error nothing of them is in the
    /// file, so that they can be tried again.
    pub(crate) fn append(&mut self, lines: &[u8], first_id: &str) -> std::io::Result<()> {
        let bytes = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if self.current.as_ref().is_none_or(|current| self.is_full(current, bytes)) {
            self.rotate(first_id)?;
        }
        let Some(current) = &mut self.current else {
            return Err(std::io::Error::other("no file is open"));
        };
        match current.file.write_all(lines).and_then(|()| current.file.sync_data()) {
            Ok(()) => {
                current.len = current.len.saturating_add(bytes);
                Ok(())
            }
            Err(error) => {
                // Half a write is taken back. Where even that fails, the file is left as it is (a reader
                // skips the torn line) and the next try begins another one.
                if current.file.set_len(current.len).is_err() {
                    self.current = None;
                }
                Err(error)
            }
        }
    }

    fn is_full(&self, current: &Current, more: u64) -> bool {
        let age = self.clock.now().ms_since(current.begun_at);
        current.len > 0
            && (current.len.saturating_add(more) > self.options.segment_bytes_max
                || age >= self.options.segment_age_ms_max)
    }

    fn rotate(&mut self, first_id: &str) -> std::io::Result<()> {
        let path = self.folder.join(format!("{:010}-{first_id}.jsonl", self.next_number));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        // The name, too, has to outlive a power cut.
        File::open(&self.folder)?.sync_all()?;
        self.current = Some(Current { file, len: 0, begun_at: self.clock.now() });
        self.next_number = self.next_number.saturating_add(1);
        self.paths.push_back(path);
        while self.paths.len() > self.options.segments_max.max(1) {
            let Some(oldest) = self.paths.pop_front() else { break };
            // Its days were over: `remove_before` was here first.
            if let Err(error) = std::fs::remove_file(&oldest)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, file = %oldest.display(), "ledger: an old file stays");
            }
        }
        Ok(())
    }
}

/// The files of a folder with their numbers, oldest first. Other files are left alone.
pub(crate) fn list(folder: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_suffix(".jsonl").and_then(|stem| stem.split_once('-'));
        if let Some(number) = number.and_then(|(number, _)| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes the files that ended before `before`: those whose successor was begun by then. The last one stays.
pub(crate) fn remove_before(folder: &Path, before: Timestamp) -> std::io::Result<u64> {
    let files = list(folder)?;
    let mut removed = 0;
    for ((_, file), (_, next)) in files.iter().zip(files.iter().skip(1)) {
        if begun_at(next) > before {
            break;
        }
        match std::fs::remove_file(file) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

fn reopen(path: &Path) -> std::io::Result<(Current, u64)> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let mut len = file.metadata()?.len();
    let mut torn = 0;
    if len > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0; 1];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            torn = 1;
            file.write_all(b"\n")?;
            file.sync_data()?;
            len = len.saturating_add(1);
        }
    }
    let begun_at = begun_at(path);
    Ok((Current { file, len, begun_at }, torn))
}

/// When the file was begun, as its name tells: the first 48 bits of its first record's id are the
/// milliseconds of that call's beginning (UUIDv7), which is close enough to decide about a day.
fn begun_at(path: &Path) -> Timestamp {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let id = name.split_once('-').and_then(|(_, id)| id.parse::<model::id::CallId>().ok());
    let ms = id.map_or(0, |id| id.uuid().as_u128() >> 80);
    Timestamp(i64::try_from(ms).unwrap_or(0))
}
