//! Documents that mean no good, or were never looked at.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;

fn around(paths: &Value, schemas: &Value) -> String {
    json!({
        "openapi": "3.0.0", "info": { "title": "Hostile", "version": "1" }, "servers": [{ "url": "https://a.example" }],
        "paths": paths, "components": { "schemas": schemas },
    })
    .to_string()
}

fn with_body(schema: &Value, schemas: &Value) -> String {
    let paths = json!({
        "/a": { "get": { "responses": {} }, "post": { "operationId": "make", "responses": {},
                "requestBody": { "content": { "application/json": { "schema": schema } } } } },
    });
    around(&paths, schemas)
}

#[test]
fn circles_end() {
    let schemas = json!({
        "Self": { "$ref": "#/components/schemas/Self" },
        "A": { "allOf": [{ "$ref": "#/components/schemas/B" }] },
        "B": { "allOf": [{ "$ref": "#/components/schemas/A" }], "properties": { "a": { "$ref": "#/components/schemas/A" } } },
        "List": { "type": "array", "items": { "$ref": "#/components/schemas/List" } },
    });
    for (name, place) in [("Self", ""), ("A", "requestBody"), ("List", "requestBody")] {
        let body = json!({ "$ref": format!("#/components/schemas/{name}") });
        let (entry, imported) = taken(&with_body(&body, &schemas));
        assert!(entry.api.unwrap().tool("make").is_some());
        assert!(
            place.is_empty() || says(&imported, place, "refers to itself"),
            "{name}: {:?}",
            imported.report
        );
    }
    let paths = json!({
        "/a": { "$ref": "#/paths/~1a" },
        "/b": { "get": { "parameters": [{ "$ref": "#/paths/~1b/get/parameters/0" }], "responses": {} } },
    });
    let (_, imported) = taken(&around(&paths, &json!({})));
    assert_says(&imported, "paths./a", "on and on");
}

#[test]
fn nothing_outside_of_the_document_is_looked_at() {
    for reference in
        ["https://evil.example/a.json", "file:///etc/passwd", "other.yaml#/a", "//evil.example", "#/nowhere"]
    {
        let body = json!({ "properties": { "a": { "$ref": reference } } });
        let (_, imported) = taken(&with_body(&body, &json!({})));
        assert_says(&imported, "requestBody.a", reference);
    }
}

#[test]
fn what_is_deep_or_wide_is_cut_and_told() {
    // Each level names the next one twice: 2^40 schemas if nobody counted.
    let mut schemas = json!({});
    for n in 0..40 {
        let next = json!({ "$ref": format!("#/components/schemas/S{}", n + 1) });
        schemas[format!("S{n}")] = json!({ "type": "object", "properties": { "a": next, "b": next } });
    }
    let (_, imported) = taken(&with_body(&json!({ "$ref": "#/components/schemas/S0" }), &schemas));
    assert_says(&imported, "requestBody", "takes any value");

    // A chain of `allOf`s, by reference.
    let mut schemas = json!({});
    for n in 0..5_000 {
        schemas[format!("S{n}")] =
            json!({ "allOf": [{ "$ref": format!("#/components/schemas/S{}", n + 1) }] });
    }
    let (_, imported) = taken(&with_body(&json!({ "$ref": "#/components/schemas/S0" }), &schemas));
    assert_says(&imported, "requestBody", "merged into each other");

    // Nested in the text itself: no JSON reader goes there.
    let deep = format!("{}{}", "{\"allOf\":[".repeat(3_000), "]}".repeat(3_000));
    assert!(refusal(&with_body(&json!("HERE"), &json!({})).replace("\"HERE\"", &deep)).contains("recursion"));

    let mut wide = json!({ "type": "object", "properties": {} });
    for n in 0..100_000 {
        wide["properties"][format!("p{n}")] = json!({ "type": "string" });
    }
    let (entry, imported) = taken(&with_body(&wide, &json!({})));
    assert_eq!(entry.api.as_ref().unwrap().tool("make").unwrap().parameters[0].wire, ".");
    assert_says(&imported, "requestBody", "one argument");

    let mut yaml = String::from(
        "openapi: 3.0.0\ninfo: { title: a, version: '1' }\npaths:\n  /a: { get: { responses: {} } }\ncomponents:\n",
    );
    (0..50_000).for_each(|n| writeln!(yaml, "  k{n}: {n}").unwrap());
    assert!(taken(&yaml).0.api.is_some());
}

#[test]
fn only_the_first_hundred_become_tools_and_a_manifest_never_grows_too_large() {
    let mut paths = json!({});
    for n in 0..250 {
        paths[format!("/p{n:03}")] =
            json!({ "get": { "operationId": format!("get{n:03}"), "responses": {} } });
    }
    let (entry, imported) = taken(&around(&paths, &json!({})));
    assert_eq!(entry.api.unwrap().tools.len(), 100);
    assert_says(&imported, "get249", "first 100");
    assert_eq!(imported.report.iter().filter(|note| note.what.contains("first 100")).count(), 150);

    let words: Vec<String> = (0..400).map(|n| format!("{n:040}")).collect();
    for n in 0..100 {
        let schema = json!({ "type": "string", "enum": words });
        paths[format!("/p{n:03}")]["get"]["parameters"] =
            json!([{ "name": "a", "in": "query", "schema": schema }]);
    }
    let (entry, imported) = taken(&around(&paths, &json!({})));
    assert!((10..100).contains(&entry.api.unwrap().tools.len()));
    assert_says(&imported, "paths", "too large");
}

#[test]
fn names_and_paths_that_nobody_meant_to_be_said() {
    let paths = json!({
        "no/slash": { "get": { "operationId": "twice", "responses": {} } },
        "/b": { "get": { "operationId": "twice", "summary": "a\u{0}b\u{2028}c: [x] #", "responses": {} } },
        "/ünï code/🦀": { "get": { "operationId": "получить", "responses": {} } },
        "/open/{brace": { "get": { "responses": {} } },
        "/close/brace}": { "get": { "responses": {} } },
        "/hash#tag": { "get": { "responses": {} } },
        "/{}": { "get": { "responses": {} } },
        "/{a}/{a}": { "get": { "responses": {} } },
        "/in{{ject": { "get": { "responses": {} } },
        "/{config.secret}": { "get": { "responses": {} } },
        "/q": { "get": { "responses": {}, "parameters": [
            { "name": "ключ", "in": "query", "schema": { "type": "string" } },
            { "name": "", "in": "query", "schema": { "type": "string" } },
            { "name": "*", "in": "query", "schema": { "type": "string" } },
            { "name": "a".repeat(400), "in": "query", "schema": { "type": "string" } },
            { "name": "host", "in": "header", "schema": { "type": "string" } },
            { "name": "a b", "in": "query", "schema": true },
            { "name": "a-b", "in": "query", "schema": { "type": "file" } },
            { "name": "matrix", "in": "query", "style": "matrix", "schema": { "type": "string" } },
            { "in": "query" }, 7, null,
        ] } },
        "/long": { "get": { "operationId": "x".repeat(300), "description": "w".repeat(9_000), "responses": {} } },
        "/null": null, "/list": [], "/odd": { "get": 5, "post": { "requestBody": 5, "responses": 5, "parameters": 5, "security": 5 } },
    });
    let (entry, imported) = taken(&around(&paths, &json!({})));
    let api = entry.api.unwrap();
    let names: Vec<&str> = api.tools.iter().map(|tool| tool.name.as_str()).collect();
    for name in ["twice", "twice_2", "get_n_code", "get_q", "get_a_a"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(names.iter().all(|name| name.len() <= 64));
    assert_says(&imported, "/open/{brace", "not closed");
    assert_says(&imported, "/hash#tag", "`#`");
    assert_says(&imported, "GET no/slash", "twice");
    let q = api.tool("get_q").unwrap();
    let wires: Vec<&str> = q.parameters.iter().map(|one| one.wire.as_str()).collect();
    assert_eq!(wires, ["ключ", "a b", "a-b"], "{:?}", imported.report);
    for gone in ["get_hash_tag", "get_open_brace"] {
        assert!(!names.contains(&gone), "{gone}");
    }
}

#[test]
fn words_of_the_document_never_become_templates_or_keys_of_ours() {
    let document = json!({
        "openapi": "3.0.0",
        "info": { "title": "{config.x}\nslug: other", "version": "{x}", "description": "- a: b\n{secret.key}" },
        "servers": [{ "url": "https://{host}.a.example/{base}", "variables": {
            "host": { "default": "x" }, "base": { "default": "a/{config.host}" } } }],
        "paths": { "/a": { "get": { "operationId": "{input.x}", "summary": "{config.y}", "responses": {} } } },
        "components": { "securitySchemes": { "k: [": { "type": "apiKey", "in": "query", "name": "a{config.host}" } } },
    });
    let (entry, imported) = taken(&document.to_string());
    assert_eq!(entry.name, "{config.x} slug: other");
    assert_says(&imported, "servers variable base", "no setting");
    let base =
        entry.api.unwrap().base_url.fill(|hole| Ok::<_, ()>(Some(format!("<{}>", hole.name)))).unwrap();
    assert_eq!(base.unwrap(), "https://<host>.a.example/a/{config.host}");
}
