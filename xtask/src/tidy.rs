//! `cargo xtask tidy`: every check that keeps the documents true and the rooms apart.
//! A check is a pure function from the tree (and cargo's facts) to findings, one module each.

mod cargo_facts;
mod codes;
mod dependencies;
mod documents;
mod fences;
mod floors;
mod imports;
mod licences;
mod rust;
mod size;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use tree::Tree;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Runs every check on the workspace at `root`. Answers the findings, in order of path and line, and
/// how many files were read.
///
/// # Errors
/// When the tree cannot be read or cargo does not answer.
pub(crate) fn run(root: &Path) -> anyhow::Result<(Vec<Finding>, usize)> {
    let tree = Tree::read(root)?;
    let facts = cargo_facts::read(root)?;
    let mut findings = Vec::new();
    findings.extend(text::check(&tree));
    findings.extend(size::check(&tree));
    findings.extend(imports::check(&tree, &facts.rooms));
    findings.extend(fences::check(&tree));
    findings.extend(dependencies::check_owned(&tree, &facts.rooms));
    findings.extend(dependencies::check_pure(&facts));
    findings.extend(dependencies::check_banned(&cargo_facts::default_graph(root)?));
    findings.extend(floors::check(&tree));
    findings.extend(licences::check(&tree, &facts.packages));
    findings.extend(codes::check(&tree));
    findings.extend(documents::check(&tree));
    findings.sort();
    findings.dedup();
    Ok((findings, tree.files.len()))
}
