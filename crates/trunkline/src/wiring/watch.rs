//! Watching the configuration file. The folder is watched, not the file: editors and orchestrators replace
//! files, and the watch on a replaced file is silent for ever.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Several writes in so short a time are one change.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Watches until dropped.
pub(crate) struct FileWatch {
    _watcher: RecommendedWatcher,
    touched: Touched,
    path: PathBuf,
    last: Option<Vec<u8>>,
}

impl FileWatch {
    /// Watches the file at `path`, which may come and go. `read` is what it said when it was read: a change between
    /// then and now is one too.
    ///
    /// # Errors
    /// When the system has no watch left to give, or the folder does not exist.
    pub(crate) fn start(path: &Path, read: &[u8]) -> notify::Result<Self> {
        let path = std::path::absolute(path)?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        // One place is enough: that something happened is all there is to say.
        let (sender, touched) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the file raises events too, which would never end.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        // Looked at once without being told.
        let touched = Touched { is_pending: true, ..Touched::new(touched) };
        Ok(Self { _watcher: watcher, touched, path, last: Some(read.to_owned()) })
    }

    /// Waits until the file says something else than before.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.touched.settled().await;
            let now = std::fs::read(&self.path).ok();
            // A file that is gone for a moment is being replaced; one that stays away changes nothing.
            if now.is_some() && now != self.last {
                self.last = now;
                return;
            }
        }
    }
}

/// That something has happened, and nothing since for a moment.
struct Touched {
    events: mpsc::Receiver<()>,
    /// Whoever waits may stop waiting in between: what has happened must not be forgotten.
    is_pending: bool,
}

// === impl Touched ===

impl Touched {
    fn new(events: mpsc::Receiver<()>) -> Self {
        Self { events, is_pending: false }
    }

    async fn settled(&mut self) {
        if !self.is_pending && self.events.recv().await.is_none() {
            // The watcher is gone: nothing will ever change.
            std::future::pending::<()>().await;
        }
        self.is_pending = true;
        while tokio::time::timeout(DEBOUNCE, self.events.recv()).await.is_ok_and(|some| some.is_some()) {}
        self.is_pending = false;
    }
}

/// Watches folders and everything in them until dropped. One that is not there yet is waited for.
pub(crate) struct FolderWatch {
    watcher: Option<RecommendedWatcher>,
    folders: Vec<PathBuf>,
    sender: mpsc::Sender<()>,
    touched: Touched,
}

// === impl FolderWatch ===

impl FolderWatch {
    /// Watches `folders`.
    pub(crate) fn start(folders: Vec<PathBuf>) -> Self {
        let (sender, touched) = mpsc::channel(1);
        let mut watch = Self { watcher: None, folders, sender, touched: Touched::new(touched) };
        watch.arm();
        watch
    }

    /// Watches what is there now. A watch dies with its folder, so that each change makes new ones.
    fn arm(&mut self) {
        let sender = self.sender.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        let watched = made.and_then(|mut watcher| {
            for folder in &self.folders {
                let folder = std::path::absolute(folder)?;
                if folder.is_dir() {
                    watcher.watch(&folder, RecursiveMode::Recursive)?;
                } else if let Some(parent) = folder.parent().filter(|parent| parent.is_dir()) {
                    watcher.watch(parent, RecursiveMode::NonRecursive)?;
                }
            }
            Ok(watcher)
        });
        match watched {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "the catalogue's folders are not watched: send SIGHUP after a change");
                self.watcher = None;
            }
        }
    }

    /// Waits until something in them may be different.
    pub(crate) async fn changed(&mut self) {
        self.touched.settled().await;
        // Before they are read: what changes from here on is told by the new watch.
        self.arm();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::FileWatch;

    #[tokio::test]
    async fn a_replaced_file_is_noticed_and_a_touched_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunkline.yaml");
        std::fs::write(&path, "a: 1").unwrap();
        let mut watch = FileWatch::start(&path, b"a: 0").unwrap();
        // Written between the reading and the watch.
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
        std::fs::write(&path, "a: 1").unwrap();
        std::fs::write(folder.path().join("other"), "x").unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(400), watch.changed()).await.is_err());
        let beside = folder.path().join("new");
        std::fs::write(&beside, "a: 2").unwrap();
        std::fs::rename(&beside, &path).unwrap();
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
        std::fs::write(&path, "a: 3").unwrap();
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
    }
}
