//! The house's own tools, run as `cargo xtask <word>`. Nothing here is part of the product.

mod tidy;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask: the house's own tools

    cargo xtask tidy     check what a machine can check: the import table of ARCHITECTURE.md against
                         cargo metadata, the fences between rooms, file headers, file sizes, error
                         pages, links, licences and dependency floors
    cargo xtask help     print this

One finding per line, as `path:line: what, and what to do instead`. Exit code 1 when there is any.
";

fn main() -> anyhow::Result<ExitCode> {
    // The root is known at build time: this crate lives in it, and is run from it only.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy_up(root),
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
