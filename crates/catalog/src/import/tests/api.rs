//! OpenAPI documents.

use serde_json::{Value, json};

use super::*;

const DESK: &str = include_str!("desk.yaml");

fn api(entry: &Entry) -> &Api {
    entry.api.as_ref().unwrap()
}

fn schema(tool: &crate::api::Tool) -> Value {
    serde_json::from_str(tool.input.get()).unwrap()
}

#[test]
fn a_vendors_document_becomes_an_entry_and_says_what_it_left_behind() {
    let (entry, imported) = taken(DESK);
    assert_eq!((entry.slug.as_str(), entry.name.as_str()), ("deskly-support-api", "Deskly Support API"));
    assert_eq!((entry.version.as_str(), entry.kind.to_string().as_str()), ("2024-11", "custom"));
    assert!(entry.description.ends_with("All times are UTC."));
    assert_eq!(entry.docs_url, "https://developers.deskly.example/reference");
    let api = api(&entry);
    let names: Vec<&str> = api.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "get_current_user",
            "list_tickets",
            "create_ticket",
            "import_tickets",
            "get_ticket",
            "update_ticket",
            "delete_ticket",
            "put_tickets_ticket_id_tags_tag",
            "make_token"
        ]
    );
    assert_eq!(api.test.tool, "get_current_user");
    assert_eq!(api.tool("delete_ticket").unwrap().effect, Effect::Delete);
    assert_eq!(api.errors.message.len() + api.errors.code.len(), 2);
    // The base URL asks for what it needs, and has what the document says for it.
    let properties = &entry.config_schema["properties"];
    assert_eq!(properties["version"]["enum"], json!(["v2", "v3"]));
    assert_eq!(properties["subdomain"]["default"], "acme");
    let settled =
        entry.settle(&json!({ "subdomain": "mine", "endpoint": "https://sandbox.example" })).unwrap();
    assert_eq!((settled.config.len(), settled.hubs.len()), (2, 1));
    assert_says(&imported, "servers https://sandbox", "`endpoint`");
    assert_says(&imported, "POST /attachments", "multipart/form-data");
    assert_says(&imported, "GET /files/{path}", "server of its own");
    assert_says(&imported, "parameter session", "cookie");
    assert_says(&imported, "parameter Authorization", "hub itself");
    assert_says(&imported, "PUT /tickets/{ticket-id}/tags/{tag}", "without a parameter");
}

#[test]
fn arguments_go_where_the_document_says_and_in_its_style() {
    let (entry, imported) = taken(DESK);
    let list = api(&entry).tool("list_tickets").unwrap();
    let styles: Vec<(&str, &str, Option<Style>)> =
        list.parameters.iter().map(|one| (one.name.as_str(), one.wire.as_str(), one.style)).collect();
    for wanted in [
        ("status", "status[]", Some(Style::Repeat)),
        ("ids", "ids", Some(Style::Comma)),
        ("words", "words", Some(Style::Space)),
        ("filter", "filter", None),
        ("more", "*", None),
        ("json", "json", Some(Style::Json)),
        ("tags", "tags", None),
        ("x_trace_id", "X-Trace-Id", None),
    ] {
        assert!(styles.contains(&wanted), "{wanted:?}: {styles:?}");
    }
    assert_eq!(schema(list)["properties"]["tags"]["type"], "string");
    let paging = list.pagination.as_ref().unwrap();
    assert!(matches!(&paging.form, Form::Page { start: 1, .. }));
    assert_eq!(paging.size.as_ref().map(|size| (size.default, size.max)), Some((25, 100)));
    assert_eq!(list.scopes, ["tickets.read"]);

    let create = api(&entry).tool("create_ticket").unwrap();
    let schema_of_create = schema(create);
    let properties = &schema_of_create["properties"];
    assert_eq!(schema_of_create["required"], json!(["requester", "subject"]));
    assert_eq!(properties["priority"]["enum"], json!(["low", "high", null]));
    assert_eq!(properties["priority"]["type"], json!(["string", "null"]));
    assert_eq!(properties["score"]["exclusiveMinimum"], json!(0));
    assert_eq!(properties["score"].get("minimum"), None);
    // A required map keeps its own `required`, and goes round no further.
    assert_eq!(properties["requester"]["allOf"], json!([{ "required": ["email"] }]));
    assert_eq!(properties["requester"]["properties"]["manager"]["type"], "object");
    assert_eq!(properties["due_at"].get("pattern"), None);
    let due = create.parameters.iter().find(|one| one.name == "due_at").unwrap();
    assert_eq!((due.wire.as_str(), due.place), (r"due\.at", Place::Body));
    assert_says(&imported, "due.at", "`pattern` is not taken over");
    assert_says(&imported, "requester", "refers to itself");

    let update = api(&entry).tool("update_ticket").unwrap();
    let ids: Vec<(&str, Place)> = update
        .parameters
        .iter()
        .filter(|one| one.name.starts_with("ticket_id"))
        .map(|one| (one.wire.as_str(), one.place))
        .collect();
    assert_eq!(ids, [("ticket_id", Place::Path), ("ticket-id", Place::Body)]);
    assert_eq!(update.parameters.iter().filter(|one| one.is_required).count(), 1);
    let status = update.parameters.iter().find(|one| one.name == "status").unwrap();
    assert_eq!(status.default, None, "a change would undo what is there");

    let import = api(&entry).tool("import_tickets").unwrap();
    assert_eq!(import.parameters[0].wire, ".");
    let token = api(&entry).tool("make_token").unwrap();
    let style = |name: &str| token.parameters.iter().find(|one| one.name == name).unwrap().style;
    assert_eq!(
        [style("scopes"), style("limits"), style("meta")],
        [Some(Style::Repeat), Some(Style::Json), None]
    );
}

#[test]
fn ways_to_prove_oneself_are_those_that_the_operations_need() {
    let (entry, imported) = taken(DESK);
    let auth = &api(&entry).auth;
    let words: Vec<String> = auth.iter().map(|one| one.method.to_string()).collect();
    assert_eq!(words, ["api_key", "oauth"]);
    assert_eq!(auth[0].fields[0].help, "An access token of your profile.");
    let Scheme::OAuth(oauth) = &auth[1].scheme else { panic!("no OAuth") };
    assert_eq!(
        (oauth.grants.len(), oauth.scopes.as_slice()),
        (2, &["tickets.read".to_owned(), "tickets.write".to_owned()][..])
    );
    assert_says(&imported, "securitySchemes.account+keyed", "one of each");
    assert_says(&imported, "securitySchemes.oauth", "`implicit`");
    assert_says(&imported, "securitySchemes.oidc", "names it");

    let keys = DESK.replace("  - bearer: []\n", "");
    let (entry, _) = taken(&keys);
    let Scheme::Key(placed) = &api(&entry).auth[1].scheme else { panic!("no keys") };
    let fields: Vec<&str> = api(&entry).auth[1].fields.iter().map(|one| one.name.as_str()).collect();
    assert_eq!((placed.len(), fields), (2, vec!["account", "keyed"]));
}

#[test]
fn every_kind_of_scheme_is_taken_or_told() {
    for (scheme, wanted, told) in [
        (json!({ "type": "http", "scheme": "basic" }), "basic", ""),
        (json!({ "type": "http", "scheme": "digest" }), "none", "digest"),
        (json!({ "type": "apiKey", "in": "query", "name": "api_key" }), "api_key", ""),
        (json!({ "type": "apiKey", "in": "header", "name": "Authorization" }), "api_key", "prefix"),
        (json!({ "type": "apiKey", "in": "cookie", "name": "sid" }), "none", "cookie"),
        (json!({ "type": "mutualTLS" }), "certificate", ""),
        (
            json!({ "type": "openIdConnect", "openIdConnectUrl": "https://a.example" }),
            "none",
            "nothing is fetched",
        ),
        (
            json!({ "type": "oauth2", "flows": { "password": { "tokenUrl": "https://a.example" } } }),
            "none",
            "`password`",
        ),
        (
            json!({ "type": "oauth2", "flows": { "clientCredentials": { "tokenUrl": "/token", "scopes": {} } } }),
            "oauth",
            "",
        ),
        (json!({ "type": "telepathy" }), "none", "telepathy"),
    ] {
        let document = json!({
            "openapi": "3.1.0", "info": { "title": "a", "version": "1" }, "servers": [{ "url": "https://a.example/v1" }],
            "paths": { "/a": { "get": { "responses": {} } } }, "components": { "securitySchemes": { "it": scheme } },
        });
        let (entry, imported) = taken(&document.to_string());
        assert_eq!(api(&entry).auth[0].method.to_string(), wanted, "{document}");
        assert!(
            told.is_empty() || says(&imported, "securitySchemes.it", told),
            "{told}: {:?}",
            imported.report
        );
    }
}

#[test]
fn a_document_of_3_1_without_a_server_asks_its_user_where_it_is() {
    let document = r##"
openapi: 3.1.0
info: { title: 設定, summary: Things., version: 1.0 }
servers: [{ url: /rest }]
paths:
  /things/{id}:
    get:
      parameters: [{ name: id, in: path, required: true, schema: { type: [string, "null"], examples: [t-1] } }]
      responses: { 200: { description: ok } }
    query: { responses: {} }
    trace: { responses: {} }
  things:
    post:
      requestBody:
        content:
          application/json:
            schema:
              oneOf: [{ $ref: "#/components/schemas/A" }, { type: "null" }]
      responses: {}
components:
  schemas:
    A: { type: object, description: An A., properties: { a: { $ref: "#/components/schemas/N", description: Mine } } }
    N: { type: number, exclusiveMaximum: 5, contentEncoding: x, frobs: 1 }
"##;
    let (entry, imported) = taken(document);
    assert_eq!(
        (entry.slug.as_str(), entry.name.as_str(), entry.version.as_str()),
        ("imported", "設定", "1.0")
    );
    assert_eq!(entry.config_schema["required"], json!(["base_url"]));
    assert!(entry.config_schema["properties"]["base_url"]["description"].as_str().unwrap().contains("/rest"));
    assert_eq!(api(&entry).test.arguments, json!({ "id": "t-1" }));
    assert_says(&imported, "test", "examples of the document");
    assert_says(&imported, "paths./things/{id}", "`trace`");
    assert_says(&imported, "POST things", "`/`");
    assert_says(&imported, "requestBody", "`frobs`");
    let post = api(&entry).tool("post_things").unwrap();
    assert_eq!(schema(post)["properties"]["body"]["oneOf"][0]["properties"]["a"]["description"], "Mine");
}

#[test]
fn operations_are_picked_by_id_or_by_method_and_path() {
    let pick = |all: &[&str]| Options {
        slug: Some("desk".to_owned()),
        operations: all.iter().map(|one| (*one).to_owned()).collect(),
    };
    let (entry, imported) =
        taken_with(DESK, &pick(&["getTicket", "put /tickets/{ticket-id}/tags/{tag}", "getTickets"]));
    assert_eq!((entry.slug.as_str(), api(&entry).tools.len()), ("desk", 2));
    assert_eq!(api(&entry).test.arguments, json!({ "ticket_id": 4711 }));
    assert_says(&imported, "paths", "no operation `getTickets`; did you mean `getTicket`?");
    let none = read(DESK.as_bytes(), &pick(&["nothing"])).unwrap_err();
    assert!(none.0.contains("none of the operations"), "{none}");
    let writes = read(DESK.as_bytes(), &pick(&["createTicket"])).unwrap_err();
    assert!(writes.0.contains("only reads"), "{writes}");
}
