//! Ending a child, however it takes it.

use std::time::Duration;

use process::{Child, GRACE};

use crate::support::{eventually, guard, next, runs, shell};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_good_child_ends_when_its_stdin_does() {
    let guard = guard();
    let mut child = Child::spawn(&shell("trap 'exit 9' TERM; cat; exit 5"), &guard).unwrap();
    assert_eq!(child.stop(GRACE).await.to_string(), "exited with code 5", "and no signal was needed");
    assert!(!runs(child.pid()));
}

#[tokio::test]
async fn a_child_that_does_not_read_is_asked_by_signal() {
    let guard = guard();
    let mut child =
        Child::spawn(&shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done"), &guard)
            .unwrap();
    assert_eq!(next(&mut child).await.unwrap(), "up");
    // Long enough for a busy machine; only the first of the two waits is ever used up.
    assert_eq!(child.stop(Duration::from_secs(1)).await.to_string(), "exited with code 7");
    assert_eq!(next(&mut child).await.unwrap(), "bye");
}

#[tokio::test]
async fn a_child_that_is_deaf_to_sigterm_is_killed_with_all_it_started() {
    let guard = guard();
    let script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60";
    let mut child = Child::spawn(&shell(script), &guard).unwrap();
    let grandchild: u32 = next(&mut child).await.unwrap().parse().unwrap();
    assert!(runs(grandchild));
    assert_eq!(child.stop(SHORT).await.to_string(), "killed by signal 9 (SIGKILL)");
    assert!(!runs(child.pid()) && !runs(grandchild));
    assert_eq!(
        child.stop(SHORT).await.to_string(),
        "killed by signal 9 (SIGKILL)",
        "asking twice is harmless"
    );
}

#[tokio::test]
async fn what_a_crashed_child_leaves_behind_is_ended() {
    let guard = guard();
    let script = "trap '' TERM; sleep 60 & echo $!; exit 1";
    let mut child = Child::spawn(&shell(script), &guard).unwrap();
    let grandchild: u32 = next(&mut child).await.unwrap().parse().unwrap();
    assert_eq!(child.exit_status().await.to_string(), "exited with code 1");
    eventually("the grandchild is gone", || !runs(grandchild)).await;
}

#[tokio::test]
async fn a_dropped_child_is_killed_with_all_it_started() {
    let guard = guard();
    let mut child = Child::spawn(&shell("sleep 60 & echo $!; wait"), &guard).unwrap();
    let pid = child.pid();
    let grandchild: u32 = next(&mut child).await.unwrap().parse().unwrap();
    drop(child);
    eventually("both are gone", || !runs(pid) && !runs(grandchild)).await;
}

#[test]
fn a_dropped_runtime_takes_its_children_along() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (child, grandchild) = runtime.block_on(async {
        let mut child = Child::spawn(&shell("sleep 60 & echo $!; wait"), &guard()).unwrap();
        let grandchild: u32 = next(&mut child).await.unwrap().parse().unwrap();
        (child, grandchild)
    });
    drop(runtime);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("both are gone", || !runs(child.pid()) && !runs(grandchild)));
}
