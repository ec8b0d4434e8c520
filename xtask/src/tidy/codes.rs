//! Every error code has its page, and every page its code, with the same title and HTTP status.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::Tree;

const SOURCE: &str = "crates/model/src/fault.rs";
const PAGES: &str = "docs/errors/TL-";

/// A code as the source defines it.
struct Code {
    line: usize,
    status: String,
    title: String,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let codes = codes(tree);
    if codes.is_empty() {
        findings.push(Finding::new(SOURCE, 1, "no `codes! {` table: `tidy` reads the error codes from it"));
    }
    for (number, code) in &codes {
        let path = format!("{PAGES}{number}.md");
        let Some(page) = tree.find(&path) else {
            let what =
                format!("TL-{number} has no page: write {path} (what happened, why, what to do, an example)");
            findings.push(Finding::new(SOURCE, code.line, what));
            continue;
        };
        let title = format!("# TL-{number}: {}", code.title);
        if page.text.lines().next() != Some(title.as_str()) {
            findings.push(Finding::new(
                &path,
                1,
                format!("the first line must be `{title}`, as in {SOURCE}"),
            ));
        }
        if !page.text.contains(&format!("HTTP {}", code.status)) {
            let what = format!("does not name its status: write `HTTP {}`, as in {SOURCE}", code.status);
            findings.push(Finding::new(&path, 1, what));
        }
    }
    for file in &tree.files {
        let number = file.path.strip_prefix(PAGES).and_then(|rest| rest.strip_suffix(".md"));
        if number.is_some_and(|number| !codes.contains_key(number)) {
            findings.push(Finding::new(
                &file.path,
                1,
                format!("no such code in {SOURCE}: take the page out"),
            ));
        }
    }
    findings
}

/// The rows `NAME = 1001, 401, "Title";` of the table, by their four digits.
fn codes(tree: &Tree) -> BTreeMap<String, Code> {
    let mut codes = BTreeMap::new();
    let lines = tree.find(SOURCE).into_iter().flat_map(|file| file.lines());
    for (line, text) in lines.skip_while(|(_, text)| *text != "codes! {").take_while(|(_, text)| *text != "}")
    {
        let Some((_, row)) = text.split_once(" = ") else { continue };
        let mut parts = row.trim_end_matches(';').splitn(3, ", ");
        if let (Some(number), Some(status), Some(title)) = (parts.next(), parts.next(), parts.next()) {
            let title = title.trim_matches('"').to_owned();
            codes.insert(format!("{number:0>4}"), Code { line, status: status.to_owned(), title });
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{SOURCE, check};

    const CODES: &str = "//! x\ncodes! {\n    /// Doc.\n    NOT_FOUND = 1101, 404, \"Not found\";\n}\n";
    const PAGE: &str = "# TL-1101: Not found\n\nHTTP 404\n";

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_code_with_its_page_is_silent() {
        assert!(findings(&[(SOURCE, CODES), ("docs/errors/TL-1101.md", PAGE)]).is_empty());
    }

    #[test]
    fn a_missing_page_a_page_too_many_and_a_page_that_differs_are_caught() {
        assert!(
            findings(&[(SOURCE, CODES)])[0].starts_with("crates/model/src/fault.rs:4: TL-1101 has no page")
        );
        let both = [(SOURCE, CODES), ("docs/errors/TL-1101.md", PAGE), ("docs/errors/TL-1999.md", PAGE)];
        assert!(findings(&both)[0].contains("no such code"));
        let other = findings(&[(SOURCE, CODES), ("docs/errors/TL-1101.md", "# TL-1101: Gone\n\nHTTP 410\n")]);
        assert_eq!(other.len(), 2, "{other:?}");
    }

    #[test]
    fn a_source_without_the_table_is_not_taken_for_one_without_codes() {
        assert!(findings(&[(SOURCE, "//! x\n")])[0].contains("no `codes! {` table"));
    }
}
