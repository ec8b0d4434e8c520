//! The plainest checks: files open with what they are for, hold no marks of unfinished work, no `mod.rs`,
//! no trailing blanks.

use super::Finding;
use super::rust;
use super::tree::{File, Tree};

/// A first line that only names the file says nothing; one that quotes a command or a path says which.
const HEADER_WORDS_MIN: usize = 2;
const CODE_MARKS: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave the feature out"),
    ("unimplemented!", "finish it, or leave the feature out"),
    ("#[ignore", "make the test run everywhere: `make test` starts what it needs"),
];
const COMMENT_MARKS: &[&str] = &["TODO", "FIXME", "XXX:", "HACK:"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !is_foreign(file)) {
        header(file, &mut findings);
        blanks(file, &mut findings);
        marks(file, &mut findings);
        if file.path.ends_with("/mod.rs") {
            let what = "no `mod.rs`: name the file after its module and put it beside the folder";
            findings.push(Finding::new(&file.path, 1, what));
        }
    }
    findings
}

/// Corpora, fixtures and snapshots are kept byte for byte.
fn is_foreign(file: &File) -> bool {
    file.path == "LICENSE" || file.path.contains("/corpus/") || file.path.contains("/fixtures/data/")
}

/// How a comment of the file's language begins; `None` for languages without a rule.
fn comment_of(file: &File) -> Option<&'static [&'static str]> {
    let has_ending =
        file.path.rsplit('/').next().is_some_and(|name| name.trim_start_matches('.').contains('.'));
    if file.is("rs") {
        Some(&["//!"])
    } else if file.is("sh") || file.path == "Makefile" {
        Some(&["#"])
    } else if file.is("py") {
        Some(&["#", "\"\"\""])
    } else if file.is("mjs") || file.is("ts") || file.is("tsx") || file.is("js") {
        Some(&["//", "/*"])
    } else if !has_ending && file.text.starts_with("#!") {
        Some(&["#"])
    } else {
        None
    }
}

fn header(file: &File, findings: &mut Vec<Finding>) {
    let Some(starts) = comment_of(file) else { return };
    let first = file.text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
    let said = starts.iter().find_map(|start| first.strip_prefix(start));
    if said.is_none_or(|said| said.split_whitespace().count() < HEADER_WORDS_MIN && !said.contains('`')) {
        let what = format!(
            "does not open with what it is for: begin with a `{}` line that says so",
            starts.join("` or `")
        );
        findings.push(Finding::new(&file.path, 1, what));
    }
}

fn blanks(file: &File, findings: &mut Vec<Finding>) {
    // In Markdown two blanks at the end are a line break; we write paragraphs without them. The text is
    // cut at `\n` alone, because `str::lines` would hide a carriage return.
    let lines = file.text.split('\n').enumerate().map(|(i, text)| (i + 1, text));
    // A string that runs over several lines is data, blanks and all.
    let parts = if file.is("rs") { rust::split(&file.text) } else { rust::Parts::default() };
    let data: Vec<_> =
        parts.strings.iter().map(|(start, text)| *start..start + text.matches('\n').count()).collect();
    let is_data = |line: usize| data.iter().any(|lines| lines.contains(&line));
    for (line, _) in lines.filter(|(line, text)| text.ends_with([' ', '\t', '\r']) && !is_data(*line)) {
        findings.push(Finding::new(&file.path, line, "blanks at the end of the line: take them away"));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let line = file.text.lines().count();
        findings.push(Finding::new(&file.path, line, "the last line has no end: add a newline"));
    }
}

fn marks(file: &File, findings: &mut Vec<Finding>) {
    if file.is("rs") {
        let parts = rust::split(&file.text);
        for (number, line) in parts.code.lines().enumerate() {
            for (mark, remedy) in CODE_MARKS.iter().filter(|(mark, _)| line.contains(mark)) {
                findings.push(Finding::new(&file.path, number + 1, format!("`{mark}`: {remedy}")));
            }
        }
        comment_marks(&file.path, &parts.comments, findings);
    } else if comment_of(file).is_some() {
        comment_marks(&file.path, &file.text, findings);
    }
}

fn comment_marks(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in text.lines().enumerate() {
        for mark in COMMENT_MARKS.iter().filter(|mark| line.contains(**mark)) {
            let what = format!("`{mark}` in the code: do it, or open an issue and leave the code whole");
            findings.push(Finding::new(path, number + 1, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn well_kept_files_are_silent() {
        for (path, text) in [
            ("crates/a/src/lib.rs", "//! What this file is for.\n\nfn f() { g(\"todo! TODO\") }\n"),
            ("run.sh", "#!/bin/sh\n# What this script does.\ntrue\n"),
            (".ci/run", "#!/bin/sh\n# What this script does.\ntrue\n"),
            ("a.py", "#!/usr/bin/env python3\n\"\"\"What this program does.\"\"\"\n"),
            ("a.mjs", "// What this module does.\n"),
            ("crates/a/tests/keys.rs", "//! `/api/v1/keys`.\n"),
            ("data.json", "{}\n"),
        ] {
            assert_eq!(findings(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_caught() {
        for (path, text) in [
            ("crates/a/src/lib.rs", "use std::fmt;\n"),
            ("crates/a/src/lib.rs", "//! model\n"),
            ("crates/a/src/lib.rs", "// An ordinary comment is not one.\n"),
            ("run.sh", "#!/bin/sh\nset -e\n"),
            (".ci/run", "#!/bin/sh\nset -e\n"),
            ("a.py", "import os\n"),
            ("a.ts", "export {};\n"),
        ] {
            assert!(findings(path, text).iter().any(|f| f.contains("what it is for")), "{path} {text}");
        }
    }

    #[test]
    fn unfinished_work_is_caught_with_its_line() {
        for (line, expected) in [
            ("fn f() { todo!() }", "`todo!`"),
            ("fn f() { unimplemented!() }", "`unimplemented!`"),
            ("#[ignore]", "`#[ignore`"),
            ("// TODO later", "`TODO`"),
            ("/* FIXME */", "`FIXME`"),
        ] {
            let found = findings("crates/a/src/lib.rs", &format!("//! What this is for.\n{line}\n"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("crates/a/src/lib.rs:2: ") && found[0].contains(expected),
                "{found:?}"
            );
        }
        assert_eq!(findings("run.sh", "#!/bin/sh\n# What it does here.\n# TODO\n").len(), 1);
    }

    #[test]
    fn blanks_at_line_ends_missing_newlines_and_mod_rs_are_caught() {
        assert!(findings("a.md", "one \n")[0].contains("blanks"));
        assert!(findings("a.md", "one\r\n")[0].contains("blanks"));
        assert!(findings("a.md", "one")[0].contains("newline"));
        let literal = "//! What this file is for.\nconst A: &str = \"one \n two\"; \n";
        let found = findings("crates/a/src/lib.rs", literal);
        assert_eq!(found.len(), 1, "only the code's own blanks count: {found:?}");
        assert!(found[0].starts_with("crates/a/src/lib.rs:3: "), "{found:?}");
        assert!(findings("crates/a/src/b/mod.rs", "//! What this is for.\n")[0].contains("mod.rs"));
    }
}
