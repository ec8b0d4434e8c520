//! The house's own tools, run as `cargo xtask <word>`. Nothing here is part of the product.

mod tidy;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask: the house's own tools

    cargo xtask tidy     check what a machine can check: the import table of ARCHITECTURE.md against
                         cargo metadata, the fences between rooms, file headers, file sizes, error
                         pages, links, licences and dependency floors
    cargo xtask client   make clients/typescript/src/api.ts anew, of the document of the hub in target/debug
    cargo xtask help     print this

One finding per line, as `path:line: what, and what to do instead`. Exit code 1 when there is any.
";

fn main() -> anyhow::Result<ExitCode> {
    // The root is known at build time: this crate lives in it, and is run from it only.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy_up(root),
        Some("client") => make_client(root),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => {
            eprintln!("cargo xtask: there is no `{other}`\n\n{HELP}");
            Ok(ExitCode::from(2))
        }
    }
}

/// The scene that compares the file with what the hub's document makes writes it first, when it is asked to.
#[expect(clippy::disallowed_methods, reason = "a tool of the house stands outside the product")]
fn make_client(root: &Path) -> anyhow::Result<ExitCode> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(arguments).current_dir(root).env("TRUNKLINE_WRITE_CLIENT", "1").status()
    };
    let is_made = cargo(&["build", "--locked", "-p", "trunkline"])?.success()
        && cargo(&["test", "--locked", "-p", "scenes", "--", "the_generated_types"])?.success();
    Ok(if is_made { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tidy_up(root: &Path) -> anyhow::Result<ExitCode> {
    let (findings, file_count) = tidy::run(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {file_count} files, nothing to say");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("tidy: {} findings in {file_count} files", findings.len());
    Ok(ExitCode::FAILURE)
}
