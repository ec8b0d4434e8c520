//! Pagination, where the document leaves no doubt: a numbered page, a size, and a list as the answer.

use serde_json::{Value, json};

use super::super::members;
use super::super::write::Tree;
use super::Reading;
use super::argument::Argument;
use super::operation::Operation;
use super::schema::Schemas;

const SIZES: &[&str] = &["per_page", "perPage", "page_size", "pageSize", "limit"];

/// Takes the arguments that ask for pages, and says how they are asked for.
pub(super) fn pagination(
    operation: &Operation<'_>,
    arguments: &mut Vec<Argument>,
    reading: &mut Reading<'_>,
) -> Option<Tree> {
    if operation.method != "GET" || !answers_a_list(operation, reading) {
        return None;
    }
    let in_query = |one: &&Argument, names: &[&str]| {
        one.place == "query"
            && !one.is_required
            && one.kind() == Some("integer")
            && names.contains(&one.wire.as_str())
    };
    let page = arguments.iter().find(|one| in_query(one, &["page"]))?.clone();
    let size = arguments.iter().find(|one| in_query(one, SIZES))?.clone();
    // Where counting begins has to be said: off by one, a page would be skipped.
    let number = |one: &Argument, key: &str| one.schema.get(key).and_then(Value::as_u64);
    let first = number(&page, "default").or_else(|| number(&page, "minimum"));
    let Some(start @ (0 | 1)) = first else {
        reading.report.add(&operation.place, "looks as if it had pages; whether the first is 0 or 1 is not said, so callers turn them themselves");
        return None;
    };
    let max = number(&size, "maximum")
        .or_else(|| number(&size, "default"))
        .filter(|max| (1..=100_000).contains(max));
    let mut members = vec![
        ("form", Tree::text("page")),
        ("put", Tree::text("query.page")),
        ("start", Tree::Value(json!(start))),
    ];
    arguments.retain(|one| one.place != "query" || one.wire != "page");
    if let Some(max) = max {
        let default = number(&size, "default").filter(|default| (1..=max).contains(default)).unwrap_or(max);
        let put = Tree::text(format!("query.{}", size.wire));
        members.push((
            "size",
            Tree::map(vec![
                ("put", put),
                ("default", Tree::Value(json!(default))),
                ("max", Tree::Value(json!(max))),
            ]),
        ));
        arguments.retain(|one| one.place != "query" || one.wire != size.wire);
    }
    Some(Tree::map(members))
}

/// Whether what comes back when all is well is a list.
fn answers_a_list(operation: &Operation<'_>, reading: &mut Reading<'_>) -> bool {
    let document = reading.document;
    let mut silent = super::super::report::Report::default();
    let good = members(operation.own, "responses").find(|(status, _)| status.starts_with('2'));
    let Some(response) = good.and_then(|(_, response)| document.resolve(response, "", &mut silent)) else {
        return false;
    };
    let json = members(response, "content").find(|(kind, _)| kind.contains("json"));
    let Some(schema) = json.and_then(|(_, content)| content.get("schema")) else { return false };
    Schemas::new(document, &mut silent).opened(schema, "").get("type") == Some(&json!("array"))
}
