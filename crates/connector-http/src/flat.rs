//! Values as the texts that URLs and forms hold, and their percent-encoding (RFC 3986 §2).

use catalog::api::{Path, Style};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How deep a member of a body may be set.
const DEPTH_MAX: usize = 16;

/// One segment of a path, one name or one value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `a=1&b=2`, encoded.
pub(crate) fn pairs(all: &[(String, String)]) -> String {
    let one = |(name, value): &(String, String)| format!("{}={}", encoded_name(name), encoded(value));
    all.iter().map(one).collect::<Vec<_>>().join("&")
}

/// Names keep their brackets, as every API that uses them writes them.
fn encoded_name(name: &str) -> String {
    const NAME: &AsciiSet = &RESERVED.remove(b'[').remove(b']').remove(b'$').remove(b':');
    utf8_percent_encode(name, NAME).to_string()
}

/// The text of a value that is one; a list of such with commas; `None` for nothing and for maps.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => Some(items.iter().filter_map(text).collect::<Vec<_>>().join(",")),
    }
}

/// A value under a name, as pairs of a query or a form.
pub(crate) fn spread(name: &str, value: &Value, style: Style, out: &mut Vec<(String, String)>) {
    match (value, style) {
        (Value::Null, _) => {}
        (Value::Array(_) | Value::Object(_), Style::Json) => out.push((name.to_owned(), value.to_string())),
        (Value::Array(items), Style::Comma | Style::Space) if items.iter().all(is_plain) => {
            let between = if style == Style::Comma { "," } else { " " };
            let texts: Vec<String> = items.iter().filter_map(text).collect();
            out.push((name.to_owned(), texts.join(between)));
        }
        (Value::Array(items), _) => {
            for (n, item) in items.iter().enumerate() {
                let name = match (style, is_plain(item)) {
                    (Style::Repeat, _) => name.to_owned(),
                    (_, true) => format!("{name}[]"),
                    (_, false) => format!("{name}[{n}]"),
                };
                spread(&name, item, style, out);
            }
        }
        (Value::Object(members), _) => {
            for (member, value) in members {
                spread(&format!("{name}[{member}]"), value, style, out);
            }
        }
        (plain, _) => out.extend(text(plain).map(|text| (name.to_owned(), text))),
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Puts a value where `path` says, making maps on the way. A member that is no map is replaced.
pub(crate) fn set(body: &mut Value, path: &Path, value: Value) {
    let mut at = body;
    for step in path.0.iter().take(DEPTH_MAX) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(members) = at.as_object_mut() else { return };
        at = members.entry(step.clone()).or_insert(Value::Null);
    }
    *at = value;
}

/// A text inside of XML.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use catalog::api::{Path, Style};
    use serde_json::json;

    use super::{encoded, pairs, set, spread};

    fn spread_of(value: &serde_json::Value, style: Style) -> String {
        let mut out = Vec::new();
        spread("a", value, style, &mut out);
        pairs(&out)
    }

    #[test]
    fn lists_and_maps_are_written_as_each_api_wants_them() {
        let list = json!([1, "b c", true]);
        assert_eq!(spread_of(&list, Style::Comma), "a=1%2Cb%20c%2Ctrue");
        assert_eq!(spread_of(&list, Style::Space), "a=1%20b%20c%20true");
        assert_eq!(spread_of(&list, Style::Repeat), "a=1&a=b%20c&a=true");
        assert_eq!(spread_of(&list, Style::Brackets), "a[]=1&a[]=b%20c&a[]=true");
        assert_eq!(spread_of(&json!([{ "p": 1, "q": [2] }]), Style::Brackets), "a[0][p]=1&a[0][q][]=2");
        assert_eq!(
            spread_of(&json!({ "b": { "c": 1 } }), Style::Json),
            "a=%7B%22b%22%3A%7B%22c%22%3A1%7D%7D"
        );
        assert_eq!(spread_of(&json!(null), Style::Comma), "");
    }

    #[test]
    fn nothing_breaks_out_of_a_segment() {
        assert_eq!(encoded("a/b?c#d&e=f g%2f"), "a%2Fb%3Fc%23d%26e%3Df%20g%252f");
    }

    #[test]
    fn members_are_made_on_the_way() {
        let mut body = json!({ "a": 1 });
        set(&mut body, &Path(vec!["b".into(), "c".into()]), json!(2));
        set(&mut body, &Path(vec!["a".into(), "d".into()]), json!(3));
        assert_eq!(body, json!({ "a": { "d": 3 }, "b": { "c": 2 } }));
    }
}
