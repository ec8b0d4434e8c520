//! A hub that is killed leaves no child.

use model::Secret;
use process::{Child, Command};

use crate::support::{eventually, guard, kill_hard, next, runs};

/// A hub of [`crate::roles::role_hub`] and the numbers of its children and grandchild.
async fn hub(role: &str) -> (Child, Vec<u32>) {
    let mut command = Command::new("hub", std::env::current_exe().unwrap().to_str().unwrap());
    command.args = vec!["role_hub".into(), "--nocapture".into()];
    command.env = vec![("SCENE_ROLE".into(), Secret::new(role))];
    let mut hub = Child::spawn(&command, &guard()).unwrap();
    loop {
        let line = next(&mut hub).await.expect("the hub says who its children are");
        if let Some(pids) = line.strip_prefix("pids ") {
            let pids = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
            return (hub, pids);
        }
    }
}

/// The guard process of the hub `hub`.
fn guard_of(hub: u32) -> Option<u32> {
    let parent = format!(" {hub} ");
    std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.ok()?;
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let is_child = stat.rsplit(") ").next()?.get(1..)?.starts_with(&parent);
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        (is_child && command.ends_with(b"\0role_guard\0")).then_some(pid)
    })
}

#[tokio::test]
async fn a_killed_hub_leaves_neither_children_nor_grandchildren_nor_its_guard() {
    let (hub, pids) = hub("hub").await;
    let guard = guard_of(hub.pid()).unwrap();
    assert!(pids.iter().all(|pid| runs(*pid)));

    kill_hard(hub.pid());
    assert_eq!(hub.exit_status().await.to_string(), "killed by signal 9 (SIGKILL)");
    eventually("all children are gone", || !pids.iter().any(|pid| runs(*pid))).await;
    eventually("the guard is gone", || !runs(guard)).await;
}

#[tokio::test]
async fn a_killed_guard_is_replaced_and_told_everything() {
    let (hub, pids) = hub("hub").await;
    let first = guard_of(hub.pid()).unwrap();
    for _ in 0..2 {
        let before = guard_of(hub.pid()).unwrap();
        kill_hard(before);
        eventually("another guard stands", || guard_of(hub.pid()).is_some_and(|now| now != before)).await;
    }
    assert!(pids.iter().all(|pid| runs(*pid)), "the end of a guard ends no child");
    assert_ne!(guard_of(hub.pid()), Some(first));

    kill_hard(hub.pid());
    eventually("all children are gone", || !pids.iter().any(|pid| runs(*pid))).await;
}

/// What the scenes above would look like if the guard did nothing: proves that they can fail.
#[tokio::test]
async fn without_a_guard_the_children_stay() {
    let (unguarded, pids) = hub("unguarded").await;
    let (guarded, others) = hub("hub").await;
    kill_hard(unguarded.pid());
    kill_hard(guarded.pid());
    eventually("the guarded ones are gone", || !others.iter().any(|pid| runs(*pid))).await;
    assert!(pids.iter().all(|pid| runs(*pid)), "nobody ended the unguarded ones");
    pids.into_iter().for_each(kill_hard);
}
