//! Documents of others, and the entries that they become. Each entry is read as the hub reads it.

use super::{Imported, Kind, NEUTRAL_ICON, Options, Refused, kind, read};
use crate::Entry;
use crate::api::{Api, Effect, Form, Place, Scheme, Style};

mod api;
mod hostile;
mod servers;
mod template;

/// Imports, and reads what came out.
fn taken(document: &str) -> (Entry, Imported) {
    taken_with(document, &Options::default())
}

fn taken_with(document: &str, options: &Options) -> (Entry, Imported) {
    let imported = read(document.as_bytes(), options).unwrap_or_else(|why| panic!("{why}"));
    let entry = Entry::read(&imported.slug, "integration.yaml", &imported.manifest, NEUTRAL_ICON);
    (entry.unwrap_or_else(|problems| panic!("{problems}\n{}", imported.manifest)), imported)
}

fn refusal(document: &str) -> String {
    let Err(Refused(why)) = read(document.as_bytes(), &Options::default()) else { panic!("was taken") };
    why
}

/// Whether the report says it about that place.
fn says(imported: &Imported, place: &str, what: &str) -> bool {
    imported.report.iter().any(|note| note.place.contains(place) && note.what.contains(what))
}

#[track_caller]
fn assert_says(imported: &Imported, place: &str, what: &str) {
    assert!(says(imported, place, what), "{place}: {what}: {:#?}", imported.report);
}

#[test]
fn what_a_document_is_is_told_by_its_content() {
    for (text, wanted) in [
        (r#"{"openapi": "3.1.0"}"#, Kind::OpenApi),
        ("swagger: '2.0'", Kind::OpenApi),
        (r#"{"manifest_version": "0.3"}"#, Kind::Mcpb),
        (r#"{"dxt_version": "0.1"}"#, Kind::Mcpb),
        (r#"{"name": "a/b", "remotes": []}"#, Kind::ServerJson),
        (r#"{"server": {"name": "a/b", "packages": []}}"#, Kind::ServerJson),
    ] {
        assert_eq!(kind(text.as_bytes()), Ok(wanted), "{text}");
    }
    assert_eq!(kind(b"PK\x03\x04..."), Ok(Kind::Mcpb));
    for (text, said) in [
        ("{\"mcpServers\": {}}", "trunkline import"),
        ("{}", "is no OpenAPI document"),
        ("", "is no OpenAPI document"),
        ("{", "is no JSON"),
        ("a: [", "is no YAML"),
        ("swagger: '2.0'", "Swagger"),
        ("openapi: 4.0.0", "3.0 and 3.1 are read"),
    ] {
        assert!(refusal(text).contains(said), "{text}: {}", refusal(text));
    }
    assert!(read(b"\xff\xfe", &Options::default()).unwrap_err().0.contains("UTF-8"));
    let bad = Options { slug: Some("No Slug".to_owned()), ..Options::default() };
    assert!(read(include_bytes!("tests/desk.yaml"), &bad).unwrap_err().0.contains("a-z"));
}
