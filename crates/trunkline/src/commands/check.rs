//! `trunkline check`: what is wrong with a configuration, without starting anything.

use std::path::Path;

use crate::cli::Shared;
use crate::commands::{configuration, env};
use crate::config::problem::Severity;
use crate::config::{Wanted, load};
use crate::say::{Quit, note, out};

/// Prints every finding; exits with 2 when one of them is an error.
pub(crate) fn run(shared: &Shared, file: Option<&Path>) -> Result<(), Quit> {
    let config = match file {
        Some(file) => load(&Wanted { file: Some(file.to_owned()), listen: None }, &env),
        None => configuration(shared, None),
    };
    let count = |severity| config.problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if shared.json {
        let report = serde_json::json!({
            "ok": errors == 0,
            "file": config.file,
            "errors": errors,
            "warnings": warnings,
            "integrations": config.entries.len(),
            "not_looked_up": config.references.iter().map(|used| serde_json::json!({
                "reference": used.external.to_string(), "key": used.key, "line": used.line,
            })).collect::<Vec<_>>(),
            "problems": config.problems.iter().map(crate::config::problem::Problem::json).collect::<Vec<_>>(),
        });
        out(&report.to_string());
    } else {
        for problem in &config.problems {
            out(&problem.to_string());
        }
        for used in &config.references {
            let (key, reference) = (&used.key, &used.external);
            out(&format!(
                "note: line {}: {key}: {reference} is not looked up here, and what it stands for is not judged; `trunkline doctor` tries it",
                used.line
            ));
        }
        let name = config
            .file
            .as_ref()
            .map_or_else(|| "the built-in defaults".to_owned(), |f| f.display().to_string());
        note(&match (errors, warnings) {
            (0, 0) => format!("{name}: fine, {} integrations", config.entries.len()),
            _ => {
                let (errors, warnings) = (plural(errors, "error"), plural(warnings, "warning"));
                format!("{name}: {errors}, {warnings}, {} integrations", config.entries.len())
            }
        });
    }
    if errors > 0 { Err(Quit::silent(2)) } else { Ok(()) }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
