//! `pagination` of a tool.

use super::super::fields::{Fields, Reading};
use crate::api::{Form, Pagination, Path, Size, Source, Spot};

/// Words of the forms.
const FORMS: &[(&str, Word)] = &[
    ("page", Word::Page),
    ("offset", Word::Offset),
    ("cursor", Word::Cursor),
    ("link", Word::Link),
    ("next_url", Word::NextUrl),
    ("auto", Word::Auto),
    ("range", Word::Range),
    ("window", Word::Window),
];

#[derive(Clone, Copy)]
enum Word {
    Page,
    Offset,
    Cursor,
    Link,
    NextUrl,
    Auto,
    Range,
    Window,
}

pub(super) fn read(tool: &mut Fields<'_>, reading: &mut Reading) -> Option<Pagination> {
    let mut fields = tool.map("pagination", "tools.pagination.", reading)?;
    if fields.node("form").is_none() {
        let words: Vec<&str> = FORMS.iter().map(|(word, _)| *word).collect();
        reading.error(fields.at, "tools.pagination.form", "missing", format!("one of: {}", words.join(", ")));
    }
    let word = fields.choice("form", FORMS, reading);
    let items = Path::parse(&fields.text("items", 256, reading).unwrap_or_default());
    let total = fields.text("total", 256, reading).map(|text| Path::parse(&text));
    let size = size(&mut fields, reading);
    let form = word.and_then(|word| form(word, &mut fields, reading));
    let is_short_last = fields
        .flag("short_is_last", reading)
        .unwrap_or(matches!(form, Some(Form::Page { .. } | Form::Offset { .. } | Form::Range { .. })));
    fields.finish(reading);
    if matches!(form, Some(Form::Range { .. })) && size.is_none() {
        reading.error(fields.at, "tools.pagination.size", "missing", "a range has to have a length");
    }
    Some(Pagination { form: form?, items, total, size, is_short_last })
}

fn form(word: Word, fields: &mut Fields<'_>, reading: &mut Reading) -> Option<Form> {
    Some(match word {
        Word::Page => Form::Page {
            start: fields.count("start", 0, 1, reading).unwrap_or(1),
            last: fields.text("last", 256, reading).map(|text| Path::parse(&text)),
            spot: spot(fields, "put", "page", reading)?,
        },
        Word::Offset => Form::Offset {
            start: fields.count("start", 0, 1, reading).unwrap_or(0),
            spot: spot(fields, "put", "offset", reading)?,
        },
        Word::Cursor => Form::Cursor {
            spot: spot(fields, "put", "cursor", reading)?,
            from: source(fields, reading)?,
            more: fields.text("more", 256, reading).map(|text| Path::parse(&text)),
        },
        Word::Link => Form::Link,
        Word::NextUrl => Form::NextUrl { from: Path::parse(&fields.required_text("from", 256, reading)?) },
        Word::Auto => Form::Auto {
            spot: match fields.node("put") {
                None => None,
                Some(_) => Some(spot(fields, "put", "", reading)?),
            },
        },
        Word::Range => {
            Form::Range { unit: fields.text("unit", 64, reading).unwrap_or_else(|| "items".to_owned()) }
        }
        Word::Window => Form::Window {
            from: spot(fields, "put", "", reading)?,
            to: spot(fields, "put_end", "", reading)?,
            since: fields.required_text("since", 64, reading)?,
            until: fields.required_text("until", 64, reading)?,
            span_s: u32::try_from(fields.count("span", 60, 31_622_400, reading)?).ok()?,
        },
    })
}

fn size(fields: &mut Fields<'_>, reading: &mut Reading) -> Option<Size> {
    let mut size = fields.map("size", "tools.pagination.size.", reading)?;
    let max = size.count("max", 1, 100_000, reading);
    let default = size.count("default", 1, 100_000, reading);
    let spot = spot(&mut size, "put", "", reading);
    size.finish(reading);
    let max = max.or(default).unwrap_or(100);
    Some(Size { spot: spot?, default: default.unwrap_or(max).min(max), max })
}

/// `query.NAME`, `header.NAME` or `body.PATH`.
fn spot(fields: &mut Fields<'_>, key: &'static str, usual: &str, reading: &mut Reading) -> Option<Spot> {
    let Some(text) = fields.text(key, 256, reading) else {
        if usual.is_empty() {
            reading.error(fields.at, &fields.key(key), "missing", "query.NAME, header.NAME or body.PATH");
            return None;
        }
        return Some(Spot::Query(usual.to_owned()));
    };
    let found = parse_spot(&text);
    if found.is_none() {
        reading.unknown(
            fields.line(key),
            &fields.key(key),
            &text,
            &["query.NAME", "header.NAME", "body.PATH"],
        );
    }
    found
}

/// Reads `query.NAME`, `header.NAME` or `body.PATH`.
pub(super) fn parse_spot(text: &str) -> Option<Spot> {
    let (place, name) = text.split_once('.').filter(|(_, name)| !name.is_empty())?;
    match place {
        "query" => Some(Spot::Query(name.to_owned())),
        "header" => {
            Some(Spot::Header(if name.contains('{') { name.to_owned() } else { name.to_ascii_lowercase() }))
        }
        "body" => Some(Spot::Body(Path::parse(name))),
        _ => None,
    }
}

/// `body.PATH`, `header.NAME` or `last.PATH`.
pub(super) fn source(fields: &mut Fields<'_>, reading: &mut Reading) -> Option<Source> {
    let text = fields.required_text("from", 256, reading)?;
    let found = match text.split_once('.') {
        Some(("body", path)) => Some(Source::Body(Path::parse(path))),
        Some(("header", name)) => Some(Source::Header(name.to_ascii_lowercase())),
        Some(("last", path)) => Some(Source::LastItem(Path::parse(path))),
        _ => None,
    };
    if found.is_none() {
        reading.unknown(
            fields.line("from"),
            &fields.key("from"),
            &text,
            &["body.PATH", "header.NAME", "last.PATH"],
        );
    }
    found
}
