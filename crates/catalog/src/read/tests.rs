//! Each kind of mistake, with its line.

use serde_json::json;

use crate::{Entry, built_in, read_folder};

const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d=\"M0 0h1\"/></svg>";

const WHOLE: &str = r#"slug: files
name: Files
type: mcp
category: storage
description: Files of a folder.
version: 1.0.0
sources: ["https://example.com/files"]
config_schema:
  type: object
  required: [folders]
  additionalProperties: false
  properties:
    folders: { type: array, items: { type: string }, examples: [["/srv"]] }
    level: { type: string, default: low, enum: [low, high] }
    quiet: { type: boolean }
    env: { type: object }
    timeout: { type: number, x-order: 9, x-visible-when: { quiet: true } }
preset:
  protocol: stdio
  command: npx
  args: ["-y", "files@1", [--level, "{config.level}"], { flag: -q, when: quiet }, "{config.folders}"]
  env: { MODE: fixed, LEVEL: "{config.level}" }
credentials:
  - { field: env.TOKEN, title: Token, help: From the site. }
test: { kind: inventory, min_tools: 2 }
health: { interval: 60 }
"#;

fn read(manifest: &str) -> Result<Entry, String> {
    Entry::read("files", "integration.yaml", manifest, ICON).map_err(|problems| problems.to_string())
}

#[test]
fn a_whole_manifest_becomes_what_a_connection_says() {
    let entry = read(WHOLE).unwrap();
    let config = json!({ "folders": ["/a", "/b c"], "quiet": true, "timeout": 5, "env": { "MODE": "mine" } });
    let wanted = json!({
        "protocol": "stdio",
        "command": "npx",
        "args": ["-y", "files@1", "--level", "low", "-q", "/a", "/b c"],
        "env": { "MODE": "mine", "LEVEL": "low" },
        "timeout": 5,
    });
    assert_eq!(entry.resolve(&config).unwrap(), wanted);
    let refused = entry.resolve(&json!({ "folders": "x", "command": "sh" })).unwrap_err().to_string();
    assert!(refused.contains("connection_config.folders") && refused.contains("command"), "{refused}");
    assert!(entry.resolve(&json!([])).is_err());
    assert_eq!(entry.example(), json!({ "folders": ["/srv"] }));
    assert_eq!(entry.missing_credential(model::AuthMethod::None, |_| false).unwrap().field, "env.TOKEN");
    assert!(entry.missing_credential(model::AuthMethod::None, |field| field == "env.TOKEN").is_none());
}

#[test]
fn every_mistake_is_told_with_its_line_and_what_was_meant() {
    for (from, to, line, said) in [
        ("name: Files", "nmae: Files", 2, "nmae: `nmae` is unknown; did you mean `name`?"),
        ("type: mcp", "type: mpc", 3, "type: `mpc` is unknown; did you mean `mcp`?"),
        ("category: storage", "category: storag", 4, "did you mean `storage`?"),
        ("slug: files", "slug: other", 1, "is called `files` where it stands"),
        ("slug: files", "slug: Files!", 1, "a-z"),
        ("version: 1.0.0\n", "", 1, "version: missing"),
        ("sources: [\"https://example.com/files\"]\n", "", 1, "sources: missing"),
        ("https://example.com", "http://example.com", 7, "no https:// link"),
        ("  type: object", "  type: objekt", 8, "config_schema: has to say"),
        ("items: { type: string }", "items: { type: strin }", 8, "config_schema: does not compile"),
        ("{ quiet: true }", "{ quite: true }", 8, "did you mean `quiet`?"),
        ("x-order: 9", "x-order: last", 8, "x-order: is not a whole number"),
        ("    env: {", "    nothing: {", 8, "it would do nothing"),
        ("command: npx", "comand: npx", 20, "preset.comand: `comand` is unknown; did you mean `command`?"),
        (
            "{config.folders}",
            "{config.folder}",
            21,
            "preset.args: `folder` is unknown; did you mean `folders`?",
        ),
        ("{config.folders}", "{folders}", 21, "no `{config.NAME}`"),
        ("when: quiet", "when: quite", 21, "did you mean `quiet`?"),
        ("LEVEL: \"{config.level}\"", "LEVEL: [1]", 22, "preset.env.LEVEL: expected a text, found a list"),
        ("env.TOKEN", "TOKEN", 24, "no place for a secret"),
        ("help: From", "halp: From", 24, "credentials.halp: `halp` is unknown; did you mean `help`?"),
        ("test: { kind: inventory, min_tools: 2 }\n", "", 1, "test: missing"),
        ("kind: inventory", "kind: ping", 25, "test.kind"),
        ("min_tools: 2", "min_tools: -1", 25, "test.min_tools: expected a whole number"),
        ("interval: 60", "interval: 1", 26, "health.interval: expected a whole number from 5"),
        ("name: Files", "name: [", 4, ""),
    ] {
        let told = read(&WHOLE.replacen(from, to, 1)).expect_err(to);
        let at = format!("integration.yaml:{line}: ");
        assert!(told.lines().any(|one| one.starts_with(&at) && one.contains(said)), "{to}: {told}");
    }
}

#[test]
fn every_built_in_entry_is_whole_and_its_example_resolves() {
    let shelf = built_in();
    assert!(shelf.broken.is_empty(), "{:?}", shelf.broken);
    assert!(shelf.entries.len() >= 7, "{}", shelf.entries.len());
    for entry in &shelf.entries {
        if entry.api.is_some() {
            let settled = entry.settle(&entry.example());
            assert!(settled.is_ok(), "{}: {:?}", entry.slug, settled.err());
            let fixtures = entry.fixtures().unwrap_or_else(|all| panic!("{all}"));
            assert_eq!(entry.unproved(&fixtures), Vec::<&str>::new(), "{}", entry.slug);
            // What a start leaves out for the program's own.
            Entry::read(&entry.slug, "", &entry.manifest, &entry.icon).unwrap_or_else(|all| panic!("{all}"));
            continue;
        }
        if let Some(native) = &entry.native {
            let settled = entry.settle(&entry.example());
            assert!(settled.is_ok(), "{}: {:?}", entry.slug, settled.err());
            assert!(!native.ways.is_empty() && !entry.docs_url.is_empty(), "{}", entry.slug);
            continue;
        }
        let resolved =
            entry.resolve(&entry.example()).unwrap_or_else(|problems| panic!("{}: {problems}", entry.slug));
        let is_reachable = resolved.get("command").or_else(|| resolved.get("url")).is_some();
        assert!(is_reachable, "{}: {resolved}", entry.slug);
    }
}

#[test]
fn a_broken_entry_of_a_folder_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let put = |slug: &str, manifest: &str, icon: Option<&str>| {
        let place = folder.path().join(slug);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join(crate::MANIFEST), manifest).unwrap();
        if let Some(icon) = icon {
            std::fs::write(place.join(crate::ICON), icon).unwrap();
        }
    };
    put("files", WHOLE, Some(ICON));
    put("bad", "slug: bad\n", Some(ICON));
    put("blind", &WHOLE.replace("slug: files", "slug: blind"), None);
    put("sly", &WHOLE.replace("slug: files", "slug: sly"), Some("<svg onload=\"x()\"/>"));
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    let shelf = read_folder(folder.path()).unwrap();
    let slugs: Vec<_> = shelf.entries.iter().map(|entry| entry.slug.as_str()).collect();
    assert_eq!(slugs, ["files"]);
    let broken: Vec<_> = shelf.broken.iter().map(|(slug, _)| slug.as_str()).collect();
    assert_eq!(broken, ["bad", "blind", "sly"]);
    assert!(shelf.broken[1].1.to_string().contains("icon.svg: cannot be read"));
    assert!(shelf.broken[2].1.to_string().contains("icon.svg: has the attribute `onload`"));
    assert!(read_folder(&folder.path().join("absent")).is_err());
}
