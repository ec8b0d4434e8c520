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
    touched: mpsc::Receiver<()>,
    path: PathBuf,
    last: Option<Vec<u8>>,
}

impl FileWatch {
    /// Watches the file at `path`, which may come and go.
    ///
    /// # Errors
    /// When the system has no watch left to give, or the folder does not exist.
    pub(crate) fn start(path: &Path) -> notify::Result<Self> {
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
        let last = std::fs::read(&path).ok();
        Ok(Self { _watcher: watcher, touched, path, last })
    }

    /// Waits until the file says something else than before.
    pub(crate) async fn changed(&mut self) {
        while self.touched.recv().await.is_some() {
            while tokio::time::timeout(DEBOUNCE, self.touched.recv()).await.is_ok_and(|some| some.is_some()) {
            }
            let now = std::fs::read(&self.path).ok();
            // A file that is gone for a moment is being replaced; one that stays away changes nothing.
            if now.is_some() && now != self.last {
                self.last = now;
                return;
            }
        }
        // The watcher is gone: nothing will ever change.
        std::future::pending::<()>().await;
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
        let mut watch = FileWatch::start(&path).unwrap();
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
