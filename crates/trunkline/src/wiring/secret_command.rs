//! Running the program that prints the master key. No shell, a bounded answer, a bounded time.

use std::time::Duration;

use model::Secret;
use process::{Child, Command, GRACE, Guard};

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Its first line.
///
/// # Errors
/// Why there is none, without anything that it printed.
pub(crate) async fn run(argv: Vec<String>) -> Result<Secret, String> {
    let (program, args) = argv.split_first().ok_or("the command is empty")?;
    let guard = Guard::start(std::path::Path::new("/proc/self/exe"), super::GUARD_ARG)
        .map_err(|error| format!("the guard does not start: {error}"))?;
    let mut command = Command::new("master key", program);
    command.args = args.to_vec();
    command.line_bytes_max = 4096;
    let mut child = Child::spawn(&command, &guard).map_err(|error| error.to_string())?;
    child.stdin = None;
    let read = async {
        let line = match child.stdout.as_mut() {
            Some(stdout) => stdout.next_line().await.map_err(|error| error.to_string())?,
            None => None,
        };
        let exit = child.exit_status().await;
        if !exit.is_success() {
            return Err(format!("it ended with {exit}"));
        }
        let line = line.ok_or("it printed nothing")?;
        String::from_utf8(line.to_vec()).map(Secret::new).map_err(|_| "it did not print text".to_owned())
    };
    let answer = tokio::time::timeout(TIMEOUT, read).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("it did not end within {} s", TIMEOUT.as_secs())));
    child.stop(GRACE).await;
    answer
}
