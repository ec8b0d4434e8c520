//! The size ratchet: a file over 500 lines is asking whether it holds two nouns. Those that may be so
//! large stand in a list with a ceiling and a reason, and the list only shrinks.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::Tree;

const WAIVERS: &str = "xtask/tidy-waivers.txt";
const LINES_MAX: usize = 500;
const ENDINGS: &[&str] = &["rs", "sh", "py", "mjs", "js", "ts", "tsx"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let waivers = waivers(tree, &mut findings);
    for file in tree.files.iter().filter(|file| ENDINGS.iter().any(|ending| file.is(ending))) {
        let lines = file.text.lines().count();
        let ceiling = waivers.get(file.path.as_str()).map_or(LINES_MAX, |(_, ceiling)| *ceiling);
        if lines > ceiling {
            let what = format!("{lines} lines, over {ceiling}: split it by noun, or give {WAIVERS} a reason");
            findings.push(Finding::new(&file.path, lines, what));
        }
    }
    for (path, (line, _)) in waivers {
        let lines = tree.find(path).map_or(0, |file| file.text.lines().count());
        if lines <= LINES_MAX {
            let what =
                format!("`{path}` needs no waiver ({lines} lines): take the row out, the list only shrinks");
            findings.push(Finding::new(WAIVERS, line, what));
        }
    }
    findings
}

/// `path | lines at most | reason` per row: path -> (row, ceiling).
fn waivers<'t>(tree: &'t Tree, findings: &mut Vec<Finding>) -> BTreeMap<&'t str, (usize, usize)> {
    let mut waivers = BTreeMap::new();
    let rows = tree.find(WAIVERS).into_iter().flat_map(|file| file.lines());
    for (line, row) in rows.filter(|(_, row)| !row.is_empty() && !row.starts_with('#')) {
        let mut parts = row.split('|').map(str::trim);
        let (path, ceiling, reason) = (parts.next(), parts.next(), parts.next());
        match (path, ceiling.and_then(|text| text.parse().ok()), reason) {
            (Some(path), Some(ceiling), Some(reason)) if reason.split_whitespace().count() >= 3 => {
                waivers.insert(path, (line, ceiling));
            }
            _ => {
                findings.push(Finding::new(WAIVERS, line, "not a row: write `path | lines at most | reason`"))
            }
        }
    }
    waivers
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{WAIVERS, check};

    fn findings(lines: usize, waivers: &str) -> Vec<String> {
        let text = "// line\n".repeat(lines);
        let tree = Tree::of(&[("crates/a/src/lib.rs", &text), (WAIVERS, waivers)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn small_files_and_large_ones_with_a_reason_are_silent() {
        assert!(findings(500, "# comment\n").is_empty());
        assert!(findings(700, "crates/a/src/lib.rs | 720 | one table of cases\n").is_empty());
    }

    #[test]
    fn a_new_large_file_and_one_that_grew_past_its_ceiling_are_caught() {
        assert!(findings(501, "")[0].contains("501 lines, over 500"));
        assert!(findings(721, "crates/a/src/lib.rs | 720 | one table of cases\n")[0].contains("over 720"));
    }

    #[test]
    fn a_waiver_without_reason_or_without_need_is_caught() {
        let found = findings(700, "crates/a/src/lib.rs | 720\n");
        assert!(found.iter().any(|f| f.contains("not a row")), "{found:?}");
        assert!(
            findings(400, "crates/a/src/lib.rs | 720 | one table of cases\n")[0].contains("needs no waiver")
        );
        assert!(findings(400, "crates/gone.rs | 720 | one table of cases\n")[0].contains("needs no waiver"));
    }
}
