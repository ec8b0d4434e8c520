//! Who may import whom: the table of ARCHITECTURE.md against the manifests, so that the drawing cannot lie.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::cargo_facts::Room;
use super::tree::Tree;

const DOCUMENT: &str = "ARCHITECTURE.md";
const HEADING: &str = "Who may import whom";
/// Members that are not part of the product: `*` does not mean them.
pub(super) const SHEDS: &[&str] = &["testkit", "bench", "scenes", "fuzz", "xtask"];

/// One row: a room and what it may import.
#[derive(Debug)]
struct Row {
    line: usize,
    /// `None` is `*`: everything but the sheds.
    imports: Option<Vec<String>>,
}

pub(super) fn check(tree: &Tree, rooms: &[Room]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let table = parse(tree, &mut findings);
    if table.is_empty() {
        let what =
            format!("no import table under a heading `{HEADING}`: write one, `room -> room room` per line");
        findings.push(Finding::new(DOCUMENT, 1, what));
        return findings;
    }
    let names: BTreeSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    table_names_what_exists(&table, &names, &mut findings);
    table_has_no_circle(&table, &mut findings);
    for room in rooms {
        manifest_keeps_to_table(tree, room, &table, &names, &mut findings);
    }
    findings
}

fn parse(tree: &Tree, findings: &mut Vec<Finding>) -> BTreeMap<String, Row> {
    let mut table = BTreeMap::new();
    let Some(document) = tree.find(DOCUMENT) else { return table };
    let (mut under_heading, mut in_block) = (false, false);
    for (line, text) in document.lines() {
        if text.starts_with('#') && !in_block {
            under_heading = text.contains(HEADING);
        } else if under_heading && text.starts_with("```") {
            in_block = !in_block;
            // Only the first block under the heading is the table.
            under_heading = in_block;
        } else if in_block && under_heading && !text.trim().is_empty() {
            let Some((room, imports)) = text.split_once("->") else {
                findings.push(Finding::new(DOCUMENT, line, "not a row: write `room -> room room`"));
                continue;
            };
            let imports = imports.split('(').next().unwrap_or_default().trim();
            let list = || imports.split_whitespace().map(str::to_owned).collect();
            let row = Row { line, imports: if imports == "*" { None } else { Some(list()) } };
            if table.insert(room.trim().to_owned(), row).is_some() {
                let what = format!("`{}` has two rows: keep one", room.trim());
                findings.push(Finding::new(DOCUMENT, line, what));
            }
        }
    }
    table
}

fn table_names_what_exists(
    table: &BTreeMap<String, Row>,
    names: &BTreeSet<&str>,
    findings: &mut Vec<Finding>,
) {
    for (room, row) in table {
        let imports = row.imports.iter().flatten();
        for name in std::iter::once(room).chain(imports).filter(|name| !names.contains(name.as_str())) {
            let what =
                format!("there is no room `{name}`: the table lists rooms that exist now, so take it out");
            findings.push(Finding::new(DOCUMENT, row.line, what));
        }
    }
}

/// Cargo refuses a circle of dependencies; this refuses one that is only planned.
fn table_has_no_circle(table: &BTreeMap<String, Row>, findings: &mut Vec<Finding>) {
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = settled.len();
        for (room, row) in table {
            let imports = row.imports.iter().flatten();
            // A room without a row of its own is reported elsewhere; here it blocks nobody.
            let is_settled = |name: &String| settled.contains(name.as_str()) || !table.contains_key(name);
            if imports.into_iter().all(is_settled) {
                settled.insert(room);
            }
        }
        if settled.len() == before {
            break;
        }
    }
    for (room, row) in table.iter().filter(|(room, _)| !settled.contains(room.as_str())) {
        let what = format!("`{room}` is part of, or behind, a circle of imports: one of them must go");
        findings.push(Finding::new(DOCUMENT, row.line, what));
    }
}

fn manifest_keeps_to_table(
    tree: &Tree,
    room: &Room,
    table: &BTreeMap<String, Row>,
    names: &BTreeSet<&str>,
    findings: &mut Vec<Finding>,
) {
    let Some(row) = table.get(&room.name) else {
        let what = format!("`{}` has no row in the import table of {DOCUMENT}: add one", room.name);
        findings.push(Finding::new(&room.manifest, 1, what));
        return;
    };
    for import in room.normal.iter().filter(|import| names.contains(import.as_str())) {
        let line = line_of(tree, &room.manifest, import);
        let is_shed = SHEDS.contains(&import.as_str());
        if is_shed && !SHEDS.contains(&room.name.as_str()) {
            let what = format!("`{import}` is for tests: move it under [dev-dependencies]");
            findings.push(Finding::new(&room.manifest, line, what));
        } else if row.imports.as_ref().is_some_and(|imports| !imports.contains(import)) {
            let what = format!(
                "`{}` may not import `{import}`: do without it, or decide it in docs/decisions/ and add the edge to {DOCUMENT}",
                room.name
            );
            findings.push(Finding::new(&room.manifest, line, what));
        }
    }
}

/// The line of a manifest that names the dependency; 1 when none does.
pub(super) fn line_of(tree: &Tree, manifest: &str, dependency: &str) -> usize {
    let names_it =
        |text: &str| text.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    tree.find(manifest)
        .and_then(|file| file.lines().find(|(_, text)| names_it(text)))
        .map_or(1, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::super::cargo_facts::Room;
    use super::super::tree::Tree;
    use super::check;

    fn room(name: &str, normal: &[&str], dev: &[&str]) -> Room {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Room {
            name: name.into(),
            manifest: format!("crates/{name}/Cargo.toml"),
            normal: owned(normal),
            dev: owned(dev),
        }
    }

    fn findings(table: &str, rooms: &[Room]) -> Vec<String> {
        let document = format!("# A\n## Who may import whom\n\n```\n{table}\n```\n\n```\nnot -> it\n```\n");
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", &document),
            ("crates/wire/Cargo.toml", "[dependencies]\nmodel.workspace = true\nstore.workspace = true\n"),
        ]);
        check(&tree, rooms).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_table_that_tells_the_truth_is_silent() {
        let rooms = [
            room("model", &["serde"], &["testkit"]),
            room("wire", &["model"], &["store"]),
            room("store", &["model"], &[]),
            room("trunkline", &["model", "wire", "store"], &["testkit"]),
            room("testkit", &["wire"], &[]),
        ];
        let table =
            "model ->\nwire  -> model\nstore -> model\ntrunkline -> *\ntestkit -> *   (only from tests)";
        assert_eq!(findings(table, &rooms), Vec::<String>::new());
    }

    #[test]
    fn an_edge_that_the_table_does_not_have_is_caught_where_it_stands() {
        let rooms =
            [room("model", &[], &[]), room("store", &[], &[]), room("wire", &["model", "store"], &[])];
        let found = findings("model ->\nstore ->\nwire -> model", &rooms);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("crates/wire/Cargo.toml:3: `wire` may not import `store`"), "{found:?}");
    }

    #[test]
    fn rooms_and_edges_that_do_not_exist_are_caught() {
        let rooms = [room("model", &[], &[])];
        let found = findings("model -> ghost\nphantom ->", &rooms);
        assert!(found.iter().any(|f| f.contains("no room `ghost`")), "{found:?}");
        assert!(found.iter().any(|f| f.contains("no room `phantom`")), "{found:?}");
    }

    #[test]
    fn a_room_without_a_row_and_a_table_without_rows_are_caught() {
        let rooms = [room("model", &[], &[]), room("wire", &[], &[])];
        assert!(findings("model ->", &rooms).iter().any(|f| f.contains("`wire` has no row")));
        assert!(findings("", &rooms).iter().any(|f| f.contains("no import table")));
    }

    #[test]
    fn testkit_is_for_tests_even_where_the_table_says_anything() {
        let rooms = [room("testkit", &[], &[]), room("trunkline", &["testkit"], &[])];
        let found = findings("testkit -> *\ntrunkline -> *", &rooms);
        assert!(found.iter().any(|f| f.contains("[dev-dependencies]")), "{found:?}");
    }

    #[test]
    fn a_planned_circle_is_caught() {
        let rooms = [room("a", &[], &[]), room("b", &[], &[])];
        assert_eq!(findings("a -> b\nb -> a", &rooms).iter().filter(|f| f.contains("circle")).count(), 2);
    }
}
