//! Manifests in, requests out: every way to prove oneself, and what hostile values become; pages and jobs in a file of
//! their own.

use std::sync::Arc;

use crate::verify;

mod pages;

/// A manifest with these ways to prove oneself and tools, and the errors and pace of an ordinary API.
fn manifest(auth: &str, tools: &str) -> String {
    format!(
        r#"
slug: acme
name: Acme
type: vendor
category: other
description: An API of nobody.
version: 1.0.0
sources: ["https://example.com/docs"]
config_schema:
  type: object
  properties:
    region: {{ type: string, examples: [eu] }}
api:
  base_url: https://{{config.region}}.acme.test/v1
  errors: {{ message: [error.message], code: [error.code] }}
auth: [{auth}]
test: {{ kind: call, tool: ping }}
tools:
  - {{ name: ping, title: Ping, description: Pings., method: GET, path: /ping }}
{tools}
"#
    )
}

const PING: &str = r#"
- name: ping
  tool: ping
  exchanges:
    - request: { method: GET, url: "https://eu.acme.test/v1/ping" }
      response: { body: { ok: true } }
  result: { ok: true }
"#;

fn entry(manifest: &str, fixtures: &str) -> Arc<catalog::Entry> {
    let mut entry =
        catalog::Entry::read("acme", "m.yaml", manifest, "<svg/>").unwrap_or_else(|all| panic!("{all}"));
    entry.fixture_files.push(("f.yaml".to_owned(), format!("{PING}{fixtures}").into()));
    entry.fixtures().unwrap_or_else(|all| panic!("{all}"));
    Arc::new(entry)
}

async fn proves(auth: &str, tools: &str, fixtures: &str) {
    let proof = verify(&entry(&manifest(auth, tools), fixtures)).await;
    assert!(proof.is_whole(), "{proof:#?}");
    assert!(proof.passed > 1);
}

async fn fails(auth: &str, tools: &str, fixtures: &str, why: &str) {
    let proof = verify(&entry(&manifest(auth, tools), fixtures)).await;
    assert!(proof.failed.iter().any(|failed| failed.contains(why)), "{proof:#?}");
}

#[tokio::test]
async fn values_stay_where_they_are_put() {
    let tools = r#"
  - name: get
    title: Get
    description: Gets.
    method: GET
    path: /items/{input.id}
    parameters:
      id: { in: path, type: string, description: Which. }
      tags: { type: array, items: { type: string }, style: repeat, description: Tags. }
      trace: { in: header, as: x-trace, type: string, description: Trace. }
  - name: put
    title: Put
    description: Puts.
    method: PUT
    path: /items
    body: { fixed: 1, label: "of {input.name}", same: "{input.count}" }
    parameters:
      name: { in: template, type: string, description: Name. }
      count: { in: template, type: integer, description: Count. }
      email: { as: properties.email, type: string, description: Mail. }
"#;
    let fixtures = r#"
- name: a segment stays one
  tool: get
  arguments: { id: "../admin?x=1#y", tags: ["a&b", "c=d"], trace: t }
  exchanges:
    - request: { method: GET, url: "https://eu.acme.test/v1/items/..%2Fadmin%3Fx%3D1%23y?tags=a%26b&tags=c%3Dd", headers: { x-trace: t } }
      response: { body: {} }
  result: {}
- name: dots are refused
  tool: get
  arguments: { id: ".." }
  exchanges: []
  error: "no segment of a path"
- name: a body with parts left out
  tool: put
  arguments: { count: 3, email: "a\"b" }
  exchanges:
    - request: { method: PUT, url: "https://eu.acme.test/v1/items", body: { fixed: 1, same: 3, properties: { email: "a\"b" } } }
      response: { status: 204 }
  result: done
"#;
    proves("{ type: none }", tools, fixtures).await;
}

#[tokio::test]
async fn every_way_to_prove_oneself() {
    let signed = |header: &str, value: &str| {
        format!(
            r#"
- name: signed
  tool: ping
  exchanges:
    - request: {{ method: GET, url: "https://eu.acme.test/v1/ping", headers: {{ {header}: "{value}" }} }}
      response: {{ body: 1 }}
  result: 1
"#
        )
    };
    proves("{ type: bearer }", "", &signed("authorization", "Bearer test-token")).await;
    proves(
        "{ type: api_key, put: { header.X-Key: \"k {secret.key}\" } }",
        "",
        &signed("x-key", "k test-key"),
    )
    .await;
    proves("{ type: basic }", "", &signed("authorization", "Basic dGVzdC11c2VybmFtZTp0ZXN0LXBhc3N3b3Jk"))
        .await;
    proves(
        "{ type: oauth2, grants: [client_credentials], token_url: \"https://acme.test/token\" }",
        "",
        &signed("authorization", "Bearer test-access_token"),
    )
    .await;
    // printf 'GET/v1/ping1767225600' | openssl dgst -sha256 -hmac test-secret
    let over = "{ type: hmac, over: \"{sign.method}{sign.path}{sign.time}\", put: { header.x-sig: \"v1={sign.signature}\" } }";
    let signature = model::hex(&credential::sign::keyed_hash(
        credential::sign::Hash::Sha256,
        b"test-secret",
        b"GET/v1/ping1767225600",
    ));
    proves(over, "", &signed("x-sig", &format!("v1={signature}"))).await;
    let jwt = "{ type: jwt, algorithm: HS256, claims: { iss: \"{config.region}\" } }";
    let entry = entry(&manifest(jwt, ""), &signed("authorization", "Bearer nothing"));
    let proof = verify(&entry).await;
    // Header and claims of the token that would have been sent: alg, typ; iat, exp, jti, iss.
    assert!(proof.failed[0].contains("Bearer eyJ"), "{proof:#?}");
    fails("{ type: bearer }", "", &signed("authorization", "Bearer other"), "sends the header authorization")
        .await;
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let oauth = "{ type: oauth2, grants: [client_credentials], token_url: \"https://acme.test/token\" }";
    let request = "request: { method: GET, url: \"https://eu.acme.test/v1/ping\" }";
    let refused = "response: { status: 401, body: { error: { message: expired } } }";
    let fixtures = format!(
        r#"
- name: once more
  tool: ping
  exchanges:
    - {{ {request}, {refused} }}
    - {{ {request}, response: {{ body: 1 }} }}
  result: 1
- name: and not for ever
  tool: ping
  exchanges:
    - {{ {request}, {refused} }}
    - {{ {request}, {refused} }}
  error: "Acme answered 401: expired"
"#
    );
    proves(oauth, "", &fixtures).await;
}

#[tokio::test]
async fn failures_are_told_as_what_they_are() {
    let request = "request: { method: GET, url: \"https://eu.acme.test/v1/ping\" }";
    let fixtures = format!(
        r#"
- name: too much
  tool: ping
  exchanges:
    - {{ {request}, response: {{ status: 429, headers: {{ retry-after: "7" }}, body: {{ error: {{ message: slow down }} }} }} }}
  error: "Acme answered 429: slow down (wait 7 s"
- name: down
  tool: ping
  exchanges:
    - {{ {request}, response: {{ status: 503, body: "<html>" }} }}
  error: "Acme answered 503: <html>"
- name: not there
  tool: ping
  exchanges:
    - {{ {request}, response: {{ status: 404, body: {{ error: {{ message: no such item, code: missing }} }} }} }}
  error: "Acme answered 404: no such item (missing)"
"#
    );
    proves("{ type: none }", "", &fixtures).await;
}

#[test]
fn a_setting_inside_of_a_url_leads_to_no_other_host() {
    let entry = entry(&manifest("{ type: none }", ""), "");
    let api = entry.api.as_ref().unwrap();
    for bad in ["evil.test/", "evil.test#", "a@evil.test", "a:b", "", "a b", "..", "eu.acme.test%2f"] {
        let config = serde_json::json!({ "region": bad });
        assert!(crate::build::base(&api.base_url, config.as_object().unwrap()).is_err(), "{bad}");
    }
}

#[test]
fn mistakes_of_a_manifest_are_told_with_their_lines() {
    for (auth, tools, what) in [
        ("{ type: bearrer }", "", "did you mean `bearer`"),
        ("{ type: api_key, put: { header.x: \"{secret.kee}\" } }", "", "kee"),
        (
            "{ type: none }",
            "  - { name: a, title: A, description: A., method: GET, path: \"/{input.id}\" }",
            "`id` is unknown",
        ),
        (
            "{ type: none }",
            "  - { name: a, title: A, description: A., method: GIT, path: / }",
            "did you mean `GET`",
        ),
        ("{ type: none }", "  - { name: ping, title: A, description: A., method: GET, path: / }", "twice"),
        (
            "{ type: none }",
            "  - { name: a, title: A, description: A., method: GET, path: /, parameters: { b: { type: string } } }",
            "description",
        ),
        (
            "{ type: none }",
            "  - { name: a, title: A, description: A., method: GET, path: /, pagination: { form: cursor } }",
            "from",
        ),
        (
            "{ type: none }",
            "  - { name: a, title: A, description: A., method: GET, path: \"/{config.regon}\" }",
            "did you mean `region`",
        ),
    ] {
        let read = catalog::Entry::read("acme", "m.yaml", &manifest(auth, tools), "<svg/>");
        let told = read.unwrap_err().to_string();
        assert!(told.contains(what) && told.contains("m.yaml:"), "{what}: {told}");
    }
}

#[tokio::test]
async fn every_built_in_entry_is_shown_by_its_exchanges() {
    let shelf = catalog::built_in();
    assert!(shelf.broken.is_empty(), "{:?}", shelf.broken);
    let mut shown = 0;
    for entry in shelf.entries.into_iter().filter(|entry| entry.api.is_some()) {
        let entry = Arc::new(entry);
        let proof = verify(&entry).await;
        assert!(proof.is_whole(), "{}: {proof:#?}", entry.slug);
        shown += 1;
    }
    assert!(shown > 20, "{shown}");
}
