//! What a child gets, and what it says when it cannot start.

use model::{Code, Secret};
use process::{Child, Command, LineError, SpawnError};
use tokio::io::AsyncWriteExt;

use crate::support::{all, guard, next, shell};

/// What a child of [`crate::roles::role_heir`] has open, when `role` was started with descriptor 9 open.
async fn descriptors_under(role: &str) -> Vec<String> {
    let mut command = shell("exec 9</dev/null; exec \"$0\" \"$@\"");
    command.args.push(std::env::current_exe().unwrap().to_str().unwrap().to_owned());
    command.args.extend(["role_heir".to_owned(), "--nocapture".to_owned()]);
    command.env = vec![("SCENE_ROLE".into(), model::Secret::new(role))];
    let mut heir = Child::spawn(&command, &guard()).unwrap();
    let lines = all(&mut heir).await;
    let said = lines.iter().find_map(|line| line.strip_prefix("child has ")).expect("the role says it");
    said.split(' ').map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_the_starter_left_open_does_not_reach_a_child() {
    let careless = descriptors_under("careless").await;
    assert!(careless.contains(&"9".to_owned()), "the scene leaves nothing open: {careless:?}");
    assert!(!descriptors_under("heir").await.contains(&"9".to_owned()));
}

#[tokio::test]
async fn lines_go_in_and_come_out() {
    let guard = guard();
    let mut child = Child::spawn(&Command::new("echo", "cat"), &guard).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"id\":1}\n{\"id\":2}\r\n{\"id\"").await.unwrap();
    assert_eq!(next(&mut child).await.unwrap(), "{\"id\":1}");
    assert_eq!(next(&mut child).await.unwrap(), "{\"id\":2}");
    stdin.write_all(b":3}\n").await.unwrap();
    assert_eq!(next(&mut child).await.unwrap(), "{\"id\":3}");

    drop(stdin);
    assert_eq!(next(&mut child).await, None);
    let exit = child.exit_status().await;
    assert!(exit.is_success(), "{exit}");
    assert_eq!(child.stderr_tail(), Vec::<String>::new());
}

#[tokio::test]
async fn the_environment_is_minimal() {
    // The test runner gives this process plenty of variables; a child must see none of them.
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
    let mut command = Command::new("env", "env");
    command.env = vec![("API_TOKEN".into(), Secret::new("two words"))];
    let guard = guard();
    let mut child = Child::spawn(&command, &guard).unwrap();
    let lines = all(&mut child).await;
    assert!(lines.contains(&"API_TOKEN=two words".to_owned()), "{lines:?}");
    let allowed = ["PATH", "HOME", "LANG", "TMPDIR", "USER", "TZ", "API_TOKEN"];
    for line in &lines {
        let name = line.split('=').next().unwrap();
        assert!(allowed.contains(&name) || name.starts_with("LC_"), "{line}");
    }
}

#[tokio::test]
async fn arguments_are_a_list_and_nothing_in_them_means_anything() {
    let mut command = Command::new("args", "printf");
    let words = ["/my notes/a b", "$HOME", "`id`", "; exit 1", "*", "", "it's \"q\"", "&&"];
    command.args = std::iter::once("[%s]\n").chain(words).map(str::to_owned).collect();
    let guard = guard();
    let mut child = Child::spawn(&command, &guard).unwrap();
    let expected: Vec<String> = words.iter().map(|word| format!("[{word}]")).collect();
    assert_eq!(all(&mut child).await, expected);
}

/// How many descriptors whoever started this process left open for it and all that it starts.
fn handed_to_us() -> usize {
    let is_passed_on = |fd: u32| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
        let close_on_exec = 0o2_000_000;
        Some(u32::from_str_radix(flags, 8).ok()? & close_on_exec == 0)
    };
    (3..1024).filter(|fd| is_passed_on(*fd) == Some(true)).count()
}

#[tokio::test]
async fn it_runs_where_it_is_told_with_no_descriptor_of_ours_and_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell("pwd -P; ls /proc/self/fd | wc -l; read go; ulimit -n; ulimit -t; ulimit -c");
    command.cwd = Some(folder.path().to_owned());
    command.limits.open_files = Some(33);
    command.limits.cpu_seconds = Some(44);
    let guard = guard();
    let mut child = Child::spawn(&command, &guard).unwrap();
    assert_eq!(next(&mut child).await.unwrap(), folder.path().canonicalize().unwrap().to_str().unwrap());
    // Its three and the one that `ls` opens itself: none of the pipes, sockets and files opened here.
    let expected = 4 + handed_to_us();
    assert_eq!(next(&mut child).await.unwrap(), expected.to_string());
    child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    assert_eq!(next(&mut child).await.unwrap(), "33");
    assert_eq!(next(&mut child).await.unwrap(), "44");
}

#[tokio::test]
async fn processor_time_and_memory_run_out() {
    let guard = guard();
    let mut command = shell("read go; while :; do :; done");
    command.limits.cpu_seconds = Some(1);
    let mut child = Child::spawn(&command, &guard).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    assert_eq!(child.exit_status().await.to_string(), "killed by signal 24 (SIGXCPU)");

    let mut command = shell("read go; x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo survived");
    command.limits.memory_bytes = Some(64 * 1024 * 1024);
    let mut child = Child::spawn(&command, &guard).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    let said = all(&mut child).await;
    assert!(!said.contains(&"survived".to_owned()), "{said:?}");
    assert!(!child.exit_status().await.is_success());
}

#[tokio::test]
async fn an_endless_line_is_cut_and_the_child_can_be_killed() {
    let mut command = shell("tr '\\0' x < /dev/zero");
    command.line_bytes_max = 1024 * 1024;
    let guard = guard();
    let mut child = Child::spawn(&command, &guard).unwrap();
    let error = child.stdout.as_mut().unwrap().next_line().await.unwrap_err();
    assert!(matches!(error, LineError::LineTooLong { line_bytes_max: 1_048_576 }));
    assert_eq!(child.stop(std::time::Duration::ZERO).await.to_string(), "killed by signal 9 (SIGKILL)");
}

#[tokio::test]
async fn what_cannot_start_says_what_to_do() {
    let guard = guard();
    let refused = |command: &Command| Child::spawn(command, &guard).unwrap_err();

    let error = refused(&Command::new("x", "no-such-server"));
    assert!(matches!(error, SpawnError::NotFound { .. }));
    assert_eq!(error.fault().code, Code::MISCONFIGURED);
    assert!(error.fault().to_string().contains("`no-such-server` was not found (install it"));

    // A whole command line in `program` is the usual mistake; it is a name like any other, and not run.
    assert!(matches!(refused(&Command::new("x", "sh -c true")), SpawnError::NotFound { .. }));

    let mut command = Command::new("x", "true");
    command.cwd = Some("/no/such/folder".into());
    assert!(matches!(refused(&command), SpawnError::BadCwd { .. }));

    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        Command::new("x", path.to_str().unwrap())
    };
    let plain = refused(&script("plain", "#!/bin/sh\n", 0o644));
    assert!(plain.fault().hint.contains("chmod +x"), "{plain}");
    assert!(matches!(refused(&script("garbage", "\u{1}\u{2}", 0o755)), SpawnError::NotExecutable { .. }));
    let lost = refused(&script("lost", "#!/no/such/interpreter\n", 0o755)).fault();
    assert!(lost.hint.contains("interpreter"), "{lost}");
}
