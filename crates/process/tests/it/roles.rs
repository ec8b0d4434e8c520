//! Parts that this test program plays when a scene starts it again. Run as ordinary tests they do nothing.

use std::time::Duration;

use process::{Child, Guard};

use crate::support::{guard, next, shell};

/// The guard's own program: `Guard::start(this, "role_guard")`.
#[test]
fn role_guard() {
    if std::env::args().nth(1).as_deref() == Some("role_guard") {
        assert_eq!(process::guard_main(), 0);
    }
}

/// A program that was handed descriptors by accident: `SCENE_ROLE=heir`, or `SCENE_ROLE=careless` for one
/// that does nothing about it. Says which ones a child of its has.
#[tokio::test]
async fn role_heir() {
    match std::env::var("SCENE_ROLE").as_deref() {
        Ok("heir") => process::keep_inherited(),
        Ok("careless") => {}
        _ => return,
    }
    let mut child = Child::spawn(&shell("echo /proc/$$/fd/*"), &guard()).unwrap();
    println!("\nchild has {}", next(&mut child).await.unwrap());
}

/// A hub with children that would outlive it: `SCENE_ROLE=hub`, or `SCENE_ROLE=unguarded` for one whose
/// guard does nothing.
#[tokio::test]
async fn role_hub() {
    let guard = match std::env::var("SCENE_ROLE").as_deref() {
        Ok("hub") => guard(),
        Ok("unguarded") => Guard::start("/bin/sleep".as_ref(), "5").unwrap(),
        _ => return,
    };
    // None of them reads its stdin, so that its end tells them nothing.
    let polite = Child::spawn(&shell("exec sleep 60"), &guard).unwrap();
    let deaf = shell("trap '' TERM; sleep 60 & echo $!; wait; sleep 60");
    let mut deaf = Child::spawn(&deaf, &guard).unwrap();
    let grandchild = next(&mut deaf).await.unwrap();
    let mut over = Child::spawn(&shell("exec sleep 60"), &guard).unwrap();
    over.stop(Duration::ZERO).await;

    println!("\npids {} {} {grandchild}", polite.pid(), deaf.pid());
    tokio::time::sleep(Duration::from_secs(60)).await;
}
