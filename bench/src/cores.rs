//! One single-threaded runtime per core. Work never moves between cores: that is what the cheapest servers and
//! clients do, and the bench must cost less than what it measures.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

/// How many cores this process may use.
pub(crate) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the future that `make` builds on a thread of its own, to its end. `make` runs inside the runtime, so it may
/// register sockets.
pub(crate) fn run_on_core<Make, Work, T>(name: &str, make: Make) -> io::Result<JoinHandle<io::Result<T>>>
where
    Make: FnOnce() -> Work + Send + 'static,
    Work: Future<Output = T>,
    T: Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(async move { make().await }))
    })
}
