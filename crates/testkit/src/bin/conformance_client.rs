//! `conformance-client URL`: what the conformance suite starts to put the hub's upstream room on trial. Also the guard
//! that the room asks for, as the hub's own program is.

use std::io::Write as _;
use std::process::ExitCode;

use testkit::conformance::{driver, report};

fn main() -> ExitCode {
    let Some(last) = std::env::args().next_back() else { return ExitCode::FAILURE };
    if last == driver::GUARD {
        return ExitCode::from(u8::try_from(process::guard_main()).unwrap_or(1));
    }
    match run(&last) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed output is no reason to end otherwise.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str) -> anyhow::Result<()> {
    let context = std::env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or_else(|_| "{}".to_owned());
    let context = serde_json::from_str(&context)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(driver::drive(url, &context, &mut |line| {
        let _ = writeln!(std::io::stdout(), "{line}");
    }))?;
    writeln!(std::io::stdout(), "{}", report::DONE)?;
    Ok(())
}
