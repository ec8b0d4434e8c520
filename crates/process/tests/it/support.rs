//! What the scenes share.

use std::time::Duration;

use process::{Child, Command, Guard};

/// How long a scene waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A guard that is this test program, playing [`crate::roles::role_guard`].
pub(crate) fn guard() -> Guard {
    Guard::start(&std::env::current_exe().unwrap(), "role_guard").unwrap()
}

/// `/bin/sh -c script`.
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("scene", "/bin/sh");
    command.args = vec!["-c".into(), script.into()];
    command
}

/// The next line the child says, as text.
pub(crate) async fn next(child: &mut Child) -> Option<String> {
    let line = tokio::time::timeout(DEADLINE, child.stdout.as_mut().unwrap().next_line()).await;
    line.expect("the child says nothing").unwrap().map(|line| String::from_utf8(line.to_vec()).unwrap())
}

/// Everything it says until it closes its stdout.
pub(crate) async fn all(child: &mut Child) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = next(child).await {
        lines.push(line);
    }
    lines
}

/// Waits until `holds`, and fails the scene when it never does.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, polling).await.is_ok(), "never: {what}");
}

/// True while a process of that number runs; one that waits to be reaped does not run any more.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

pub(crate) fn kill_hard(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
