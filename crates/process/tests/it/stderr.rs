//! What a child says on stderr is kept in bounds and blocks nobody.

use process::Child;

use crate::support::{all, eventually, guard, next, shell};

#[tokio::test]
async fn a_flood_neither_blocks_the_child_nor_is_kept() {
    // 40 MB of stderr before the one line on stdout: a full pipe would hold that line back for ever.
    let script = "yes 'far too much, again and again' | head -c 40000000 >&2; echo the end >&2; echo done";
    let guard = guard();
    let mut child = Child::spawn(&shell(script), &guard).unwrap();
    assert_eq!(next(&mut child).await.unwrap(), "done");
    eventually("the last word", || child.stderr_tail().last().is_some_and(|line| line.ends_with("the end")))
        .await;
    let kept: usize = child.stderr_tail().iter().map(|line| line.len() + 1).sum();
    assert!(kept <= 64 * 1024, "{kept}");
}

#[tokio::test]
async fn last_words_are_there_when_the_exit_is() {
    let script = "printf 'bad \\377 byte\\r\\n' >&2; echo 'Error: no token' >&2; exit 3";
    let guard = guard();
    let mut child = Child::spawn(&shell(script), &guard).unwrap();
    assert_eq!(all(&mut child).await, Vec::<String>::new(), "stderr is not stdout");
    assert_eq!(child.exit_status().await.to_string(), "exited with code 3");
    assert_eq!(child.stderr_tail(), ["bad \u{fffd} byte", "Error: no token"]);
}
