//! Manifests in, requests out: every form of pagination, every way to prove oneself, and what hostile values
//! become.

use std::sync::Arc;

use crate::verify;

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

const LIST: &str = "name: list, title: List, description: Lists., method: GET, path: /items";

/// One tool that reads a list in `form`, and two pages of it: what each asks for, and what each answers.
async fn pages(form: &str, asked: [&str; 2], answers: [&str; 2], items: &str) {
    let tools = format!("  - {{ {LIST}, pagination: {{ {form} }} }}");
    let fixtures = format!(
        r#"
- name: two pages
  tool: list
  arguments: {{ max_items: 3 }}
  exchanges:
    - request: {{ method: GET, url: "https://eu.acme.test/v1/items{}" }}
      response: {{ {} }}
    - request: {{ method: GET, url: "https://eu.acme.test/v1/items{}" }}
      response: {{ {} }}
  result: {items}
"#,
        asked[0], answers[0], asked[1], answers[1]
    );
    proves("{ type: none }", &tools, &fixtures).await;
}

#[tokio::test]
async fn pages_with_numbers_offsets_and_ranges() {
    let done = "{ items: [1, 2, 3], next_cursor: null }";
    pages(
        "form: page, items: data, size: { put: query.per_page, default: 2, max: 2 }",
        ["?per_page=2", "?per_page=2&page=2"],
        ["body: { data: [1, 2] }", "body: { data: [3] }"],
        done,
    )
    .await;
    pages(
        "form: page, put: query.p, start: 0, items: data, last: meta.last",
        ["", "?p=1"],
        ["body: { data: [1, 2], meta: { last: 1 } }", "body: { data: [3], meta: { last: 1 } }"],
        done,
    )
    .await;
    pages(
        "form: offset, put: query.skip, items: data, total: total, size: { put: query.take, default: 2, max: 2 }",
        ["?take=2", "?take=2&skip=2"],
        ["body: { data: [1, 2], total: 3 }", "body: { data: [3], total: 3 }"],
        "{ items: [1, 2, 3], next_cursor: null, total: 3 }",
    )
    .await;
    let range = |first: u32, last: u32| format!("headers: {{ content-range: items {first}-{last}/3 }}");
    pages(
        "form: range, size: { put: header.x-size, default: 2, max: 2 }",
        ["", ""],
        [
            &format!("status: 206, body: [1, 2], {}", range(0, 1)),
            &format!("status: 206, body: [3], {}", range(2, 2)),
        ],
        done,
    )
    .await;
}

#[tokio::test]
async fn pages_with_cursors_links_and_urls() {
    let done = "{ items: [1, 2, 3], next_cursor: null }";
    pages(
        "form: cursor, from: body.next, items: data",
        ["", "?cursor=abc%2F%3D"],
        ["body: { data: [1, 2], next: abc/= }", "body: { data: [3], next: '' }"],
        done,
    )
    .await;
    pages(
        "form: cursor, put: query.after, from: header.x-next",
        ["", "?after=n2"],
        ["headers: { x-next: n2 }, body: [1, 2]", "body: [3]"],
        done,
    )
    .await;
    pages(
        "form: cursor, put: query.after, from: last.id, more: more, items: data",
        ["", "?after=2"],
        ["body: { data: [{ id: 1 }, { id: 2 }], more: true }", "body: { data: [{ id: 3 }], more: false }"],
        "{ items: [{ id: 1 }, { id: 2 }, { id: 3 }], next_cursor: null }",
    )
    .await;
    pages(
        "form: link",
        ["", "?page=2&x=a%20b"],
        [
            r#"headers: { link: '<https://eu.acme.test/v1/items?page=1>; rel="prev", <https://eu.acme.test/v1/items?page=2&x=a+b>; rel="next"' }, body: [1, 2]"#,
            "body: [3]",
        ],
        done,
    )
    .await;
    pages(
        "form: next_url, from: links.next, items: data",
        ["", "/more?token=t"],
        [
            "body: { data: [1, 2], links: { next: /v1/items/more?token=t } }",
            "body: { data: [3], links: { next: null } }",
        ],
        done,
    )
    .await;
}

#[tokio::test]
async fn pages_that_nobody_has_described() {
    let done = "{ items: [1, 2, 3], next_cursor: null }";
    let link = r#"headers: { link: '<https://eu.acme.test/v1/items?page=2>; rel="next"' }, body: [1, 2]"#;
    pages("form: auto", ["", "?page=2"], [link, "body: [3]"], done).await;
    pages(
        "form: auto",
        ["", "/more?token=t"],
        ["body: { results: [1, 2], next: /v1/items/more?token=t }", "body: { results: [3], next: null }"],
        done,
    )
    .await;
    pages(
        "form: auto",
        ["", "?pageToken=t"],
        ["body: { files: [1, 2], nextPageToken: t }", "body: { files: [3] }"],
        done,
    )
    .await;
    pages(
        "form: auto, put: query.from, size: { put: query.n, default: 2, max: 2 }",
        ["?n=2", "?n=2&from=c2"],
        [
            "body: { data: [1, 2], meta: { next_cursor: c2 } }",
            "body: { data: [3], has_more: false, next_cursor: c3 }",
        ],
        done,
    )
    .await;
    fails(
        "{ type: none }",
        &format!("  - {{ {LIST}, pagination: {{ form: auto }} }}"),
        r#"
- name: led away
  tool: list
  arguments: { max_items: 3 }
  exchanges:
    - request: { method: GET, url: "https://eu.acme.test/v1/items" }
      response: { body: { data: [1], next: "https://evil.test/2" } }
  result: { items: [1], next_cursor: null }
"#,
        "on another host",
    )
    .await;
}

#[tokio::test]
async fn results_that_come_later() {
    const ORDER: &str =
        "name: list, title: Export, description: Exports., method: POST, path: /exports, body: { kind: all }";
    let tools = |job: &str| format!("  - {{ {ORDER}, job: {{ {job} }}, output: {{ from: rows }} }}");
    let ordered = r#"
- name: an export
  tool: list
  arguments: {}
  exchanges:
    - request: { method: POST, url: "https://eu.acme.test/v1/exports", body: { kind: all } }
"#;
    // By an id, a word for the state, and a place of the result; asked for patience on the way.
    let by_id = tools(
        "from: body.id, path: '/exports/{id}', state: status, done: [completed], failed: [failed], result: { path: '/exports/{id}/rows' }, every: 1",
    );
    let steps = r#"      response: { status: 202, body: { id: a/b, status: queued } }
    - request: { method: GET, url: "https://eu.acme.test/v1/exports/a%2Fb" }
      response: { body: { status: running } }
    - request: { method: GET, url: "https://eu.acme.test/v1/exports/a%2Fb" }
      response: { status: 429, headers: { retry-after: "1" }, body: {} }
    - request: { method: GET, url: "https://eu.acme.test/v1/exports/a%2Fb" }
      response: { body: { status: completed } }
    - request: { method: GET, url: "https://eu.acme.test/v1/exports/a%2Fb/rows" }
      response: { body: { rows: [1, 2] } }
  result: [1, 2]
"#;
    proves("{ type: none }", &by_id, &format!("{ordered}{steps}")).await;
    // It comes to nothing: the API's own words are the tool's answer.
    let failed = r#"      response: { status: 202, body: { id: 7 } }
    - request: { method: GET, url: "https://eu.acme.test/v1/exports/7" }
      response: { body: { status: failed } }
  error: "ended as `failed`"
"#;
    proves("{ type: none }", &by_id, &format!("{ordered}{failed}")).await;
    // By a URL and the status 202 alone; the last answer is the result.
    let by_url = tools("from: header.location, polls: 2");
    let steps = r#"      response: { status: 202, headers: { location: "https://eu.acme.test/v1/jobs/1?x=y" } }
    - request: { method: GET, url: "https://eu.acme.test/v1/jobs/1?x=y" }
      response: { status: 202 }
    - request: { method: GET, url: "https://eu.acme.test/v1/jobs/1?x=y" }
      response: { body: { rows: [3] } }
  result: [3]
"#;
    proves("{ type: none }", &by_url, &format!("{ordered}{steps}")).await;
    let never = steps.replace(
        "response: { body: { rows: [3] } }\n  result: [3]",
        "response: { status: 202 }\n  error: asked 2 times",
    );
    proves("{ type: none }", &by_url, &format!("{ordered}{never}")).await;
    let elsewhere = r#"      response: { status: 202, headers: { location: "https://evil.test/1" } }
  error: on another host
"#;
    proves("{ type: none }", &by_url, &format!("{ordered}{elsewhere}")).await;
}

#[tokio::test]
async fn pages_of_spans_of_time_and_of_bodies() {
    let tools = r"
  - name: list
    title: List
    description: Lists.
    method: GET
    path: /items
    parameters:
      since: { in: template, type: string, required: true, description: From when on. }
      until: { in: template, type: string, description: Until when. }
    pagination: { form: window, put: query.from, put_end: query.to, since: since, until: until, span: 86400, items: data }
  - name: search
    title: Search
    description: Searches.
    method: POST
    path: /search
    effect: read
    body: { filter: { kind: a } }
    pagination: { form: cursor, put: body.page.after, from: body.page.end, items: data, size: { put: body.page.first, default: 2, max: 5 } }
";
    let fixtures = r#"
- name: two days
  tool: list
  arguments: { since: "2026-01-01", until: "2026-01-02T12:00:00Z", max_items: 9 }
  exchanges:
    - request: { method: GET, url: "https://eu.acme.test/v1/items?from=2026-01-01T00%3A00%3A00Z&to=2026-01-02T00%3A00%3A00Z" }
      response: { body: { data: [] } }
    - request: { method: GET, url: "https://eu.acme.test/v1/items?from=2026-01-02T00%3A00%3A00Z&to=2026-01-02T12%3A00%3A00Z" }
      response: { body: { data: [1] } }
  result: { items: [1], next_cursor: null }
- name: in the body
  tool: search
  arguments: { max_items: 3 }
  exchanges:
    - request: { method: POST, url: "https://eu.acme.test/v1/search", body: { filter: { kind: a }, page: { first: 3 } } }
      response: { body: { data: [1, 2], page: { end: e } } }
    - request: { method: POST, url: "https://eu.acme.test/v1/search", body: { filter: { kind: a }, page: { first: 3, after: e } } }
      response: { body: { data: [3, 4], page: { end: f } } }
  result: { items: [1, 2, 3], next_cursor: '{"n":{"v":"e"},"s":3,"k":1}' }
- name: and on from there
  tool: search
  arguments: { cursor: '{"n":{"v":"e"},"s":3,"k":1}' }
  exchanges:
    - request: { method: POST, url: "https://eu.acme.test/v1/search", body: { filter: { kind: a }, page: { first: 3, after: e } } }
      response: { body: { data: [3, 4], page: { end: null } } }
  result: { items: [4], next_cursor: null }
"#;
    proves("{ type: none }", tools, fixtures).await;
}

#[tokio::test]
async fn a_next_page_is_never_on_another_host_and_never_the_same_again() {
    let next_url = format!("  - {{ {LIST}, pagination: {{ form: next_url, from: next, items: data }} }}");
    for elsewhere in [
        "https://evil.test/v1/items",
        "//evil.test/x",
        "https://eu.acme.test.evil.test/",
        "http://eu.acme.test/v1",
    ] {
        let fixtures = format!(
            r#"
- name: elsewhere
  tool: list
  arguments: {{ max_items: 9 }}
  exchanges:
    - request: {{ method: GET, url: "https://eu.acme.test/v1/items" }}
      response: {{ body: {{ data: [1], next: "{elsewhere}" }} }}
  error: another host
"#
        );
        proves("{ type: none }", &next_url, &fixtures).await;
    }
    let cursor = format!("  - {{ {LIST}, pagination: {{ form: cursor, from: body.next, items: data }} }}");
    let fixtures = r#"
- name: the same again
  tool: list
  arguments: { max_items: 9 }
  exchanges:
    - request: { method: GET, url: "https://eu.acme.test/v1/items" }
      response: { body: { data: [1], next: a } }
    - request: { method: GET, url: "https://eu.acme.test/v1/items?cursor=a" }
      response: { body: { data: [2], next: a } }
  result: { items: [1, 2], next_cursor: null }
"#;
    proves("{ type: none }", &cursor, fixtures).await;
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
    let signature = credential::sign::hex(&credential::sign::keyed_hash(
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
