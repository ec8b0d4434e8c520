//! The guard: a second process that ends the children when the hub is gone, even when it was killed.
//!
//! It is the hub's own program, started again with a hidden first argument and a pipe as its stdin. The hub
//! writes the number of each process group there; the end of the pipe means that the hub is gone, however
//! that came about, and then [`guard_main`] ends the groups that are left. A process that leaves its
//! group (a daemon) is out of its reach.

mod duty;

use std::collections::BTreeSet;
use std::io::{self, PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::backoff::{Backoff, STABLE};
use crate::error::SpawnError;

pub use duty::guard_main;

/// How many groups may be watched at once. All of them fit into the pipe together.
pub const GROUPS_MAX: usize = 4096;
/// How long to wait for a guard that does not empty its pipe, in steps, before it is replaced.
const FLUSH_TRIES_MAX: u32 = 100;
const FLUSH_PAUSE: Duration = Duration::from_millis(20);

/// The hub's end of its guard. Cheap to clone; dropping the last clone lets the guard finish.
#[derive(Debug, Clone)]
pub struct Guard(Arc<Post>);

#[derive(Debug)]
struct Post {
    program: PathBuf,
    arg: String,
    state: Mutex<State>,
    /// The pipe is full: the guard is behind, or stuck.
    is_behind: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeSet<i32>,
    /// Closed only once its guard is dead: to a living one the end of the pipe is the order to kill.
    pipe: Option<PipeWriter>,
    /// What did not fit into the pipe yet.
    backlog: Vec<u8>,
}

impl Guard {
    /// Starts the guard: `program` with the one argument `arg`, which must run [`guard_main`]. Must run
    /// inside a Tokio runtime. `/proc/self/exe` names the hub's own program even after an upgrade replaced
    /// the file. A guard that ends is started again and told everything.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, arg: &str) -> io::Result<Self> {
        tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let post = Arc::new(Post {
            program: std::path::absolute(program)?,
            arg: arg.to_owned(),
            state: Mutex::default(),
            is_behind: Arc::default(),
        });
        let process = post.man()?;
        tokio::spawn(keep(Arc::downgrade(&post), Arc::clone(&post.is_behind), process));
        Ok(Self(post))
    }

    /// Ends the group `pgid` with the hub, from now on.
    ///
    /// # Errors
    /// [`SpawnError::TooMany`].
    pub fn watch(&self, pgid: i32) -> Result<(), SpawnError> {
        let mut state = self.0.state();
        if state.groups.len() >= GROUPS_MAX && !state.groups.contains(&pgid) {
            return Err(SpawnError::TooMany { children_max: GROUPS_MAX });
        }
        if state.groups.insert(pgid) {
            self.0.say(&mut state, '+', pgid);
        }
        Ok(())
    }

    /// The group `pgid` is gone; its number may soon be someone else's.
    pub fn release(&self, pgid: i32) {
        let mut state = self.0.state();
        if state.groups.remove(&pgid) {
            self.0.say(&mut state, '-', pgid);
        }
    }
}

/// Waits for the guard's end and starts the next, until nobody holds the `Guard` any more.
async fn keep(post: Weak<Post>, is_behind: Arc<Notify>, mut process: tokio::process::Child) {
    let mut backoff = Backoff::new();
    loop {
        if timeout(STABLE, ended(&post, &is_behind, &mut process)).await.is_ok() {
            sleep(backoff.next_ceiling(Duration::ZERO)).await;
        } else {
            ended(&post, &is_behind, &mut process).await;
            // It stood for long: the next one does not wait, for a hub killed by then has no guard.
            backoff = Backoff::new();
        }
        process = loop {
            let Some(post) = post.upgrade() else { return };
            tracing::error!("the guard of the child processes ended; starting another");
            match post.man() {
                Ok(process) => break process,
                Err(error) => tracing::error!(%error, "the guard of the child processes does not start"),
            }
            drop(post);
            sleep(backoff.next_ceiling(Duration::ZERO)).await;
        };
    }
}

/// Waits for the end of `process`; one that does not read for long is killed.
async fn ended(post: &Weak<Post>, is_behind: &Notify, process: &mut tokio::process::Child) {
    loop {
        tokio::select! {
            _ = process.wait() => return,
            () = is_behind.notified() => {}
        }
        let mut tries = 0;
        while !post.upgrade().is_none_or(|post| post.state().flush()) {
            tries += 1;
            if tries > FLUSH_TRIES_MAX {
                tracing::error!("the guard of the child processes is stuck; killing it");
                // Refused only when it is dead already.
                let _ = process.start_kill();
                break;
            }
            sleep(FLUSH_PAUSE).await;
        }
    }
}

// === impl Post ===

impl Post {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, state: &mut State, sign: char, pgid: i32) {
        state.backlog.extend_from_slice(format!("{sign}{pgid}\n").as_bytes());
        if !state.flush() {
            self.is_behind.notify_one();
        }
    }

    /// Starts a guard process. All groups are in its pipe before it exists.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where guards start")]
    fn man(&self) -> io::Result<tokio::process::Child> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        let mut state = self.state();
        state.pipe = Some(writer);
        state.backlog = state.groups.iter().flat_map(|pgid| format!("+{pgid}\n").into_bytes()).collect();
        if !state.flush() {
            self.is_behind.notify_one();
        }
        // Its own group keeps Ctrl-C and the like, meant for the hub, away from it; it holds none of the
        // hub's descriptors, directories and secrets. It is not killed with the runtime: that is its hour.
        tokio::process::Command::new(&self.program)
            .arg(&self.arg)
            .env_clear()
            .current_dir("/")
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    }
}

// === impl State ===

impl State {
    /// False when something did not fit into the pipe.
    fn flush(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return true };
        while !self.backlog.is_empty() {
            match pipe.write(&self.backlog) {
                Ok(count) => drop(self.backlog.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The guard is dead, and the next one will be told everything.
                Err(_) => self.backlog.clear(),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that no process has; and the guards here are programs that end nobody.
    const FIRST: i32 = 1_000_000_000;

    #[tokio::test]
    async fn a_guard_that_does_not_listen_blocks_nobody_and_is_replaced() {
        let guard = Guard::start("/bin/sleep".as_ref(), "20").unwrap();
        for pgid in FIRST..FIRST + 20_000 {
            guard.watch(pgid).unwrap();
            guard.release(pgid);
        }
        guard.watch(FIRST).unwrap();
        assert!(!guard.0.state().backlog.is_empty(), "more was said than fits into the pipe");

        let replaced = async {
            while !guard.0.state().backlog.is_empty() {
                sleep(FLUSH_PAUSE).await;
            }
        };
        timeout(Duration::from_secs(30), replaced).await.expect("the next guard has an empty pipe");
        assert_eq!(guard.0.state().groups, BTreeSet::from([FIRST]));
    }

    #[tokio::test]
    async fn there_is_a_most() {
        let guard = Guard::start("/bin/sleep".as_ref(), "20").unwrap();
        let end = FIRST + i32::try_from(GROUPS_MAX).unwrap();
        (FIRST..end).for_each(|pgid| guard.watch(pgid).unwrap());
        assert!(matches!(guard.watch(end), Err(SpawnError::TooMany { .. })));
        guard.watch(FIRST).expect("known already");
        guard.release(FIRST);
        guard.watch(end).expect("there is room again");
    }

    #[tokio::test]
    async fn a_guard_that_does_not_start_is_an_error() {
        let error = Guard::start("/no/such/hub".as_ref(), "guard").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
