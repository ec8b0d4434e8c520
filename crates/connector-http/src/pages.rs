//! Long lists: what the next request has to say, from what the last answer said. A function of values.

use catalog::api::{Form, Pagination, Source, Spot};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Answer;
use crate::build::Draft;

mod auto;

/// Where reading stands: what is asked for next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct At {
    /// The next page; `None` for the first one.
    #[serde(rename = "n")]
    pub(crate) next: Option<Next>,
    /// How many items are asked for at once.
    #[serde(rename = "s")]
    pub(crate) size: Option<u64>,
    /// Items of the next page that were given out already.
    #[serde(rename = "k")]
    pub(crate) skip: usize,
}

/// What asks for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Next {
    /// A number: of the page, or of items before it.
    #[serde(rename = "n")]
    Number(u64),
    /// A value to hand back.
    #[serde(rename = "v")]
    Value(Value),
    /// A path with its query, of the same origin.
    #[serde(rename = "p")]
    Path(String),
    /// A query parameter, by a name that the answer implied.
    #[serde(rename = "q")]
    Parameter(String, Value),
    /// A span of time, seconds since 1970: its beginning, and the end of all.
    #[serde(rename = "w")]
    Span(i64, i64),
}

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) total: Option<u64>,
    /// What asks for the one after it; `None` for the last one.
    pub(crate) next: Option<Next>,
}

/// Where reading begins.
pub(crate) fn begin(
    paging: &Pagination,
    max_items: Option<u64>,
    arguments: &Map<String, Value>,
    now: i64,
) -> At {
    let size = paging.size.as_ref().map(|size| max_items.unwrap_or(size.default).clamp(1, size.max));
    let next = match &paging.form {
        Form::Page { start, .. } | Form::Offset { start, .. } => Some(Next::Number(*start)),
        Form::Range { .. } => Some(Next::Number(0)),
        Form::Window { since, until, .. } => {
            let time = |name: &String| arguments.get(name).and_then(Value::as_str).and_then(time::parse);
            let until = time(until).unwrap_or(now);
            Some(Next::Span(time(since).unwrap_or(until), until))
        }
        Form::Cursor { .. } | Form::Link | Form::NextUrl { .. } | Form::Auto { .. } => None,
    };
    At { next, size, skip: 0 }
}

/// Makes a request ask for the page that `at` stands before.
pub(crate) fn ask(paging: &Pagination, at: &At, draft: &mut Draft) {
    if let (Some(size), Some(count)) = (&paging.size, at.size) {
        draft.put(&size.spot, number_for(&size.spot, count));
    }
    match (&paging.form, &at.next) {
        // The first page is what an API gives unasked; some refuse to be asked for it.
        (Form::Page { spot, start, .. } | Form::Offset { spot, start }, Some(Next::Number(number)))
            if number != start =>
        {
            draft.put(spot, number_for(spot, *number));
        }
        (Form::Range { unit }, Some(Next::Number(first))) => {
            let last = first + at.size.unwrap_or(1) - 1;
            draft.put_header("range", format!("{unit}={first}-{last}"));
        }
        (Form::Cursor { spot, .. } | Form::Auto { spot: Some(spot) }, Some(Next::Value(value))) => {
            draft.put(spot, value.clone());
        }
        (Form::Auto { .. }, Some(Next::Parameter(name, value))) => {
            draft.put(&Spot::Query(name.clone()), value.clone());
        }
        (Form::Link | Form::NextUrl { .. } | Form::Auto { .. }, Some(Next::Path(path))) => {
            go_to(draft, path);
        }
        (Form::Window { from, to, span_s, .. }, Some(Next::Span(begin, until))) => {
            let end = (begin + i64::from(*span_s)).min(*until);
            draft.put(from, time::write(*begin).into());
            draft.put(to, time::write(end).into());
        }
        _ => {}
    }
}

/// Makes a request go to a path with its query, in the place of its own.
pub(crate) fn go_to(draft: &mut Draft, path: &str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    draft.path = path.to_owned();
    draft.query.clear();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        draft.query.push((plain(name), plain(value)));
    }
}

fn number_for(spot: &Spot, number: u64) -> Value {
    match spot {
        Spot::Body(_) => number.into(),
        Spot::Query(_) | Spot::Header(_) => number.to_string().into(),
    }
}

/// Reads a page.
///
/// # Errors
/// When there is no list where the manifest says; or the next page would be elsewhere.
pub(crate) fn read(
    paging: &Pagination,
    at: &At,
    origin: &str,
    answer: &Answer,
    body: &Value,
) -> Result<Page, String> {
    let listed = match &paging.form {
        Form::Auto { .. } if paging.items.0.is_empty() => auto::list(body),
        _ => paging.items.find(body),
    };
    let items = match listed {
        Some(Value::Array(items)) => items.clone(),
        // An empty page may have no body, or null for its list.
        None | Some(Value::Null) if answer.status == 204 || body.is_null() || !paging.items.0.is_empty() => {
            Vec::new()
        }
        _ => return Err("its answer has no list where the catalogue says that one is".to_owned()),
    };
    let total = paging.total.as_ref().and_then(|path| path.find(body)).and_then(whole);
    let count = items.len() as u64;
    let is_short = paging.is_short_last && at.size.is_some_and(|size| count < size);
    let next = match (&paging.form, &at.next) {
        (Form::Page { last, .. }, Some(Next::Number(page))) => {
            let last = last.as_ref().and_then(|path| path.find(body)).and_then(whole);
            let is_last = last.is_some_and(|last| *page >= last);
            (count > 0 && !is_short && !is_last).then_some(Next::Number(page + 1))
        }
        (Form::Offset { start, .. }, Some(Next::Number(offset))) => {
            let after = offset + count;
            let is_all = total.is_some_and(|total| after - start >= total);
            (count > 0 && !is_short && !is_all).then_some(Next::Number(after))
        }
        (Form::Range { .. }, Some(Next::Number(first))) => {
            let after = first + count;
            let said = answer.header("content-range").and_then(|range| range.rsplit_once('/'));
            let is_all =
                said.and_then(|(_, total)| total.parse().ok()).is_some_and(|total: u64| after >= total);
            (count > 0 && !is_short && !is_all).then_some(Next::Number(after))
        }
        (Form::Cursor { from, more, .. }, _) => {
            let is_over = more.as_ref().is_some_and(|path| !path.find(body).is_some_and(is_yes));
            let value = match from {
                Source::Body(path) => path.find(body).cloned(),
                Source::Header(name) => answer.header(name).map(Value::from),
                Source::LastItem(path) => items.last().and_then(|item| path.find(item)).cloned(),
            };
            let value =
                value.filter(|value| !matches!(value, Value::Null | Value::Bool(false)) && value != "");
            // Without a word about more, the last record's id means more as long as pages are full.
            let is_end = matches!(from, Source::LastItem(_)) && more.is_none() && (is_short || count == 0);
            value.filter(|_| !is_over && !is_end).map(Next::Value)
        }
        (Form::Link, _) => linked(answer).map(|url| within(origin, url)).transpose()?,
        (Form::Auto { spot }, _) => match linked(answer).or_else(|| auto::next_url(body)) {
            Some(url) => Some(within(origin, url)?),
            None => auto::cursor(body).filter(|_| count > 0).map(|(name, value)| match spot {
                Some(_) => Next::Value(value.clone()),
                None => Next::Parameter(name.to_owned(), value.clone()),
            }),
        },
        (Form::NextUrl { from }, _) => {
            let url = from.find(body).and_then(Value::as_str).filter(|url| !url.is_empty());
            url.map(|url| within(origin, url)).transpose()?
        }
        (Form::Window { span_s, .. }, Some(Next::Span(begin, until))) => {
            let end = begin + i64::from(*span_s);
            (end < *until).then_some(Next::Span(end, *until))
        }
        _ => None,
    };
    // The same question again would be answered the same way, for ever.
    let next = next.filter(|next| Some(next) != at.next.as_ref());
    Ok(Page { items, total, next })
}

fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn is_yes(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::Null => false,
        Value::String(text) => !matches!(text.as_str(), "" | "false" | "0"),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// Where the answer's `Link` headers say that the next page is.
fn linked(answer: &Answer) -> Option<&str> {
    let mut lines = answer.headers.iter().filter(|(name, _)| name == "link");
    lines.find_map(|(_, value)| next_link(value))
}

/// The target of `rel="next"` in a `Link` header (RFC 8288 §3).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (url, after) = after.split_once('>')?;
        let params = after.split_once('<').map_or(after, |(params, _)| params);
        let is_next = params.split(';').any(|param| {
            let Some((name, value)) = param.split_once('=') else { return false };
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(url);
        }
        rest = after;
    }
    None
}

/// A next URL as a path; it has to be in the same origin, for the credential goes there.
fn within(origin: &str, url: &str) -> Result<Next, String> {
    let what = "its next page would be on another host, where its credential does not go";
    path_of(origin, url).map(|path| Next::Path(path.to_owned())).ok_or_else(|| what.to_owned())
}

/// The path of a URL of this origin; `None` for one of another.
pub(crate) fn path_of<'u>(origin: &str, url: &'u str) -> Option<&'u str> {
    match url.strip_prefix(origin) {
        Some(path) if path.starts_with(['/', '?']) => Some(path),
        _ if url.starts_with('/') && !url.starts_with("//") => Some(url),
        _ => None,
    }
}

/// RFC 3339 times, seconds, UTC.
mod time {
    /// Seconds since 1970 of `2026-11-20T10:00:00Z` or `2026-11-20`.
    pub(super) fn parse(text: &str) -> Option<i64> {
        model::Timestamp::from_rfc3339(text).map(|time| time.0.div_euclid(1000))
    }

    /// The other way round.
    pub(super) fn write(seconds: i64) -> String {
        model::Timestamp(seconds * 1000).to_rfc3339()
    }
}
