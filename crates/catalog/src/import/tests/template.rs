//! Templates in the place of schemas.

use model::{AuthMethod, Category, IntegrationKind};
use serde_json::{Value, json};

use super::super::{About, is_template, template};
use super::{Imported, NEUTRAL_ICON, Refused};
use crate::Entry;
use crate::api::Scheme;

fn about(kind: IntegrationKind) -> About {
    About {
        slug: "theirs".to_owned(),
        name: "Theirs".to_owned(),
        kind,
        category: Category::Productivity,
        description: String::new(),
        docs_url: String::new(),
        version: "1.0.0".to_owned(),
    }
}

fn made(kind: IntegrationKind, content: &Value) -> (Entry, Imported) {
    assert!(is_template(content), "{content}");
    let imported = template(&about(kind), content).unwrap_or_else(|why| panic!("{why}"));
    let read = Entry::read("theirs", "integration.yaml", &imported.manifest, NEUTRAL_ICON);
    (read.unwrap_or_else(|problems| panic!("{problems}\n{}", imported.manifest)), imported)
}

fn refusal(content: &Value) -> String {
    let Err(Refused(why)) = template(&about(IntegrationKind::Vendor), content) else { panic!("was taken") };
    why
}

#[test]
fn a_schema_is_told_from_a_template() {
    for schema in
        [json!({}), json!({ "type": "object", "properties": { "url": {} } }), json!({ "title": "url" })]
    {
        assert!(!is_template(&schema), "{schema}");
    }
    assert!(is_template(&json!({ "scopes": [] })));
}

#[test]
fn a_server_begins_with_what_its_template_says() {
    let content = json!({ "protocol": "stdio", "command": "node", "args": ["server.js", 8080], "cwd": "/srv",
        "env": { "LOG": "debug", "API_KEY": "${API_KEY}" }, "auth": { "type": "bearer", "credentials": { "token": "" } },
        "colour": "blue" });
    let (entry, imported) = made(IntegrationKind::Mcp, &content);
    let settings = &entry.config_schema["properties"];
    assert_eq!(settings["command"]["default"], "node");
    assert_eq!(settings["args"]["default"], json!(["server.js", "8080"]));
    assert_eq!(settings["env"]["default"], json!({ "LOG": "debug" }), "a secret is no setting");
    let fields: Vec<&str> = entry.credentials.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["env.API_KEY", "auth.credentials.token"]);
    let places: Vec<&str> = imported.report.iter().map(|note| note.place.as_str()).collect();
    assert_eq!(places, ["colour", "auth.type"]);
    let config = entry.resolve(&json!({})).unwrap();
    assert_eq!((&config["command"], &config["args"]), (&json!("node"), &json!(["server.js", "8080"])));
    let config = entry.resolve(&json!({ "command": "deno" })).unwrap();
    assert_eq!(config["command"], "deno", "whoever connects may say another");
}

#[test]
fn an_api_is_the_entry_for_apis_with_its_address_filled_in() {
    let content = json!({ "api_url": "https://{subdomain}.vendor.example/{api_version}", "api_version": "v3",
        "oauth_provider": "google", "scopes": ["read", "write"], "webhook_url": "",
        "rate_limit": { "requests_per_minute": 60 }, "custom_headers": { "X-Client": "{hub}" } });
    let (entry, imported) = made(IntegrationKind::Vendor, &content);
    let settings = &entry.config_schema["properties"];
    assert_eq!(entry.config_schema["required"], json!(["subdomain", "api_version"]));
    assert_eq!(settings["api_version"]["default"], "v3");
    assert!(settings.get("base_url").is_none());
    assert_eq!(settings["scopes"]["default"], "read write");
    assert!(settings["token_url"]["default"].as_str().unwrap().contains("googleapis.com"), "{settings}");
    let api = entry.api.as_ref().unwrap();
    assert!(matches!(api.auth[0].scheme, Scheme::OAuth(_)), "the usual way comes first");
    assert!(api.auth.iter().any(|one| one.method == AuthMethod::ApiKey));
    assert_eq!(api.tools.len(), 2);
    assert!(imported.manifest.contains("{{hub}}"), "a header is no template");
    let places: Vec<&str> = imported.report.iter().map(|note| note.place.as_str()).collect();
    assert_eq!(places, ["webhook_url"]);
}

#[test]
fn what_cannot_be_taken_is_told_by_its_member() {
    for (content, said) in [
        (json!({ "api_url": "vendor.example" }), "api_url: has to be a whole URL"),
        (json!({ "api_url": "https://{a" }), "api_url: a `{` without"),
        (json!({ "api_url": "https://a}.example" }), "api_url: a `}` without"),
        (json!({ "api_url": "https://{header}.example" }), "api_url: `{header}` is no name"),
        (json!({ "api_url": "https://a.example", "webhook_secret": "s3" }), "webhook_secret: is a secret"),
        (
            json!({ "api_url": "https://a.example", "rate_limit": { "requests_per_minute": 0 } }),
            "rate_limit.requests_per_minute",
        ),
        (
            json!({ "api_url": "https://a.example", "custom_headers": { "Authorization": "Bearer x" } }),
            "custom_headers.Authorization",
        ),
        (json!({ "command": "x", "env": { "GITHUB_TOKEN": "ghp_real" } }), "env.GITHUB_TOKEN: is a secret"),
    ] {
        assert!(refusal(&content).contains(said), "{content}: {}", refusal(&content));
    }
}
