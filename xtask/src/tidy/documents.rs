//! Documents: no path of somebody's machine, and no link inside the repository that leads nowhere.

use super::Finding;
use super::tree::{File, Tree};

/// Beginnings of paths that exist on one machine only. Examples use /srv, /etc and /usr.
const MACHINE_PATHS: &[&str] = &["/root/", "/home/", "/work/", "/Users/", "C:\\Users", "/tmp/"];
const ENDINGS: &[&str] = &["md", "yaml", "yml", "toml"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| ENDINGS.iter().any(|ending| file.is(ending))) {
        machine_paths(file, &mut findings);
        if file.is("md") {
            links(tree, file, &mut findings);
        }
    }
    findings
}

fn machine_paths(file: &File, findings: &mut Vec<Finding>) {
    for (line, text) in file.lines() {
        for path in MACHINE_PATHS.iter().filter(|path| names(text, path)) {
            let what =
                format!("`{path}` is a place on one machine: say it relative to the repository, or use /srv");
            findings.push(Finding::new(&file.path, line, what));
        }
    }
}

/// True when a path in the text begins so; `src/work/` and `https://x/home/` do not.
fn names(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}' | '~' | '/'))
    })
}

fn links(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    let mut in_block = false;
    for (line, text) in file.lines() {
        in_block ^= text.trim_start().starts_with("```");
        if in_block {
            continue;
        }
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let resolved = resolve(&file.path, path);
            let folder = format!("{resolved}/");
            if !tree.files.iter().any(|f| f.path == resolved || f.path.starts_with(&folder)) {
                let what = format!("the link `{target}` leads nowhere: there is no {resolved}");
                findings.push(Finding::new(&file.path, line, what));
            }
        }
    }
}

/// The path from the root that `link` in the document at `from` means.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[(path, text), ("docs/guides/a.md", "# A\n"), ("README.md", "# R\n")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_documents_are_silent() {
        let text = "[a](guides/a.md#x) [r](../README.md) [g](guides) [w](https://x.org/home/) [h](#here)\n`src/work/x` /srv/docs\n";
        assert_eq!(findings("docs/index.md", text), Vec::<String>::new());
        assert_eq!(findings("docs/b.md", "```\n[not](a-link.md)\n```\n"), Vec::<String>::new());
    }

    #[test]
    fn paths_of_one_machine_are_caught() {
        for text in ["see /root/x\n", "`/home/ada/x`\n", "(/Users/ada)/\n", "dir: /tmp/x\n"] {
            assert_eq!(findings("docs/c.md", text).len(), 1, "{text}");
        }
        assert_eq!(findings("config.yaml", "data: /home/ada\n").len(), 1);
    }

    #[test]
    fn links_that_lead_nowhere_are_caught_with_their_line() {
        let found = findings("docs/d.md", "# D\n\n[x](guides/missing.md)\n");
        assert!(found[0].starts_with("docs/d.md:3: the link `guides/missing.md`"), "{found:?}");
    }
}
