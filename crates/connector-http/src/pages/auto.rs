//! Pages of an API that nobody has described: what answers usually look like, by name. Nothing is guessed from values.

use serde_json::Value;

/// Members that hold the list, where the answer is none itself.
const LISTS: &[&str] = &["data", "items", "results", "records", "entries", "values", "value", "objects"];
/// Places of the next URL.
const URLS: &[&str] = &[
    "/next",
    "/next_url",
    "/nextUrl",
    "/next_page_url",
    "/links/next",
    "/links/next/href",
    "/_links/next",
    "/_links/next/href",
    "/paging/next",
    "/paging/next/link",
    "/pagination/next",
    "/pagination/next_url",
    "/meta/next",
    "/@odata.nextLink",
    "/@nextLink",
];
/// Places of a cursor, and the query parameter that it is handed back in.
const CURSORS: &[(&str, &str)] = &[
    ("/next_cursor", "cursor"),
    ("/nextCursor", "cursor"),
    ("/meta/next_cursor", "cursor"),
    ("/meta/nextCursor", "cursor"),
    ("/pagination/next_cursor", "cursor"),
    ("/pagination/nextCursor", "cursor"),
    ("/response_metadata/next_cursor", "cursor"),
    ("/cursor/next", "cursor"),
    ("/paging/cursors/after", "after"),
    ("/paging/next/after", "after"),
    ("/next_page_token", "page_token"),
    ("/nextPageToken", "pageToken"),
    ("/next_token", "next_token"),
    ("/nextToken", "nextToken"),
    ("/continuation_token", "continuation_token"),
    ("/continuationToken", "continuationToken"),
];
/// Where it is said that there is no more.
const MORE: &[&str] = &["/has_more", "/hasMore", "/has_next_page", "/hasNextPage", "/meta/has_more"];

/// The list in an answer: itself, a member with a usual name, or the only list that there is.
pub(super) fn list(body: &Value) -> Option<&Value> {
    if body.is_array() {
        return Some(body);
    }
    let members = body.as_object()?;
    let named = LISTS.iter().filter_map(|name| members.get(*name)).find(|value| value.is_array());
    named.or_else(|| {
        let mut lists = members.values().filter(|value| value.is_array());
        lists.next().filter(|_| lists.next().is_none())
    })
}

/// The next URL, whole or as a path.
pub(super) fn next_url(body: &Value) -> Option<&str> {
    if is_over(body) {
        return None;
    }
    let texts = URLS.iter().filter_map(|place| body.pointer(place).and_then(Value::as_str));
    // `next` may be a cursor or a number too: a URL is told by its form.
    let mut texts = texts;
    texts.find(|text| text.starts_with("http://") || text.starts_with("https://") || text.starts_with('/'))
}

/// The parameter and the value that ask for the next page.
pub(super) fn cursor(body: &Value) -> Option<(&'static str, &Value)> {
    if is_over(body) {
        return None;
    }
    let is_one = |value: &&Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(_) => true,
        _ => false,
    };
    CURSORS.iter().find_map(|(place, name)| Some((*name, body.pointer(place).filter(is_one)?)))
}

fn is_over(body: &Value) -> bool {
    MORE.iter().any(|place| body.pointer(place) == Some(&Value::Bool(false)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{cursor, list, next_url};

    #[test]
    fn lists_urls_and_cursors_are_found_by_their_usual_names_and_nothing_else_is() {
        assert_eq!(list(&json!([1])), Some(&json!([1])));
        assert_eq!(list(&json!({ "data": [1], "tags": [2] })), Some(&json!([1])));
        assert_eq!(list(&json!({ "customers": [1], "count": 1 })), Some(&json!([1])));
        assert_eq!(list(&json!({ "a": [1], "b": [2] })), None, "which one nobody can tell");

        assert_eq!(next_url(&json!({ "next": "https://x/2" })), Some("https://x/2"));
        assert_eq!(next_url(&json!({ "_links": { "next": { "href": "/2" } } })), Some("/2"));
        assert_eq!(next_url(&json!({ "@odata.nextLink": "https://x/2" })), Some("https://x/2"));
        assert_eq!(next_url(&json!({ "next": "abc" })), None, "no URL");
        assert_eq!(next_url(&json!({ "next": "/2", "has_more": false })), None);

        assert_eq!(cursor(&json!({ "next_cursor": "c" })), Some(("cursor", &json!("c"))));
        assert_eq!(cursor(&json!({ "nextPageToken": "t" })), Some(("pageToken", &json!("t"))));
        for none in [json!({ "next_cursor": "" }), json!({ "next_cursor": null }), json!({}), json!([])] {
            assert_eq!(cursor(&none), None, "{none}");
        }
    }
}
