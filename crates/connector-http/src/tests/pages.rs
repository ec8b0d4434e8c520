//! Every form in which lists are handed out, and results that come later.

use super::{fails, proves};

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
