//! Icons are pictures and nothing else: an SVG of shapes, without script, handlers, or anything from
//! elsewhere. What is not on the list is refused; nothing is repaired.

/// The largest icon, in bytes.
pub const ICON_BYTES_MAX: usize = 16 * 1024;

const ELEMENTS: &[&str] = &[
    "svg",
    "g",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "title",
    "desc",
    "defs",
    "linearGradient",
    "radialGradient",
    "stop",
    "clipPath",
    "mask",
    "text",
    "tspan",
];

const ATTRIBUTES: &[&str] = &[
    "xmlns",
    "viewBox",
    "width",
    "height",
    "fill",
    "fill-rule",
    "fill-opacity",
    "stroke",
    "stroke-width",
    "stroke-linecap",
    "stroke-linejoin",
    "stroke-miterlimit",
    "stroke-dasharray",
    "stroke-opacity",
    "opacity",
    "d",
    "x",
    "y",
    "x1",
    "y1",
    "x2",
    "y2",
    "cx",
    "cy",
    "r",
    "rx",
    "ry",
    "points",
    "transform",
    "id",
    "class",
    "offset",
    "stop-color",
    "stop-opacity",
    "gradientUnits",
    "gradientTransform",
    "clip-path",
    "clip-rule",
    "mask",
    "role",
    "aria-label",
    "aria-hidden",
    "version",
    "font-size",
    "font-family",
    "font-weight",
    "text-anchor",
];

/// Checks that `svg` is an icon.
///
/// # Errors
/// The first thing in it that an icon may not have.
pub fn check_icon(svg: &str) -> Result<(), String> {
    if svg.len() > ICON_BYTES_MAX {
        return Err(format!("has {} bytes, at most {ICON_BYTES_MAX} are taken", svg.len()));
    }
    let mut rest = svg.trim_start_matches('\u{feff}').trim();
    let mut open: Vec<&str> = Vec::new();
    let mut is_begun = false;
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            let text = rest.get(..end).unwrap_or_default();
            if open.is_empty() && !text.trim().is_empty() {
                return Err("has text outside of `<svg>`".to_owned());
            }
            check_entities(text)?;
            rest = rest.get(end..).unwrap_or_default();
            continue;
        };
        if tag.starts_with(['!', '?']) {
            return Err(
                "has a declaration, comment, CDATA or processing instruction; leave it out".to_owned()
            );
        }
        let end = end_of(tag).ok_or("has a tag without an end")?;
        let (inside, after) = (tag.get(..end).unwrap_or_default(), tag.get(end + 1..).unwrap_or_default());
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            if open.pop() != Some(name.trim()) {
                return Err(format!("closes `{}`, which is not open", cut(name)));
            }
            continue;
        }
        let (inside, is_closed) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let name_end = inside.find(char::is_whitespace).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at(name_end);
        if !ELEMENTS.contains(&name) {
            return Err(format!("has the element `{}`, which an icon may not have", cut(name)));
        }
        if open.is_empty() && (is_begun || name != "svg") {
            return Err("has to be one `<svg>`".to_owned());
        }
        is_begun = true;
        check_attributes(attributes)?;
        if !is_closed {
            open.push(name);
        }
        if open.len() > 32 {
            return Err("is nested deeper than 32".to_owned());
        }
    }
    match open.last() {
        Some(name) => Err(format!("does not close `{name}`")),
        None if is_begun => Ok(()),
        None => Err("is empty".to_owned()),
    }
}

/// Where a tag ends: the first `>` outside of quotes.
fn end_of(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(begun), c) if begun == c => quote = None,
            _ => {}
        }
    }
    None
}

fn check_attributes(text: &str) -> Result<(), String> {
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) =
            rest.split_once('=').ok_or_else(|| format!("has `{}` without a value", cut(rest)))?;
        let name = name.trim();
        if !ATTRIBUTES.contains(&name) {
            return Err(format!("has the attribute `{}`, which an icon may not have", cut(name)));
        }
        let after = after.trim_start();
        let quote =
            after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or("has a value without quotes")?;
        let (value, after) = after
            .get(1..)
            .and_then(|after| after.split_once(quote))
            .ok_or("has a value whose quote does not end")?;
        check_entities(value)?;
        let folded: String = value.to_ascii_lowercase().split_whitespace().collect();
        let outside = folded.contains("://") && name != "xmlns";
        let elsewhere = folded
            .match_indices("url(")
            .any(|(at, _)| !folded.get(at..).is_some_and(|from| from.starts_with("url(#")));
        if outside || elsewhere || folded.contains("javascript:") || folded.contains("data:") {
            return Err(format!("`{name}` refers to something outside of the icon"));
        }
        if name == "xmlns" && value != "http://www.w3.org/2000/svg" {
            return Err("`xmlns` is not that of SVG".to_owned());
        }
        rest = after.trim_start();
    }
    Ok(())
}

/// Entities spell what a check of the text would not see.
fn check_entities(text: &str) -> Result<(), String> {
    let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"];
    let bad = text.match_indices('&').any(|(at, _)| {
        !text.get(at..).is_some_and(|from| known.iter().any(|entity| from.starts_with(entity)))
    });
    if bad || text.contains(['\\', '\0']) {
        return Err("has an entity, a backslash or a NUL; write the character itself".to_owned());
    }
    Ok(())
}

fn cut(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::{ICON_BYTES_MAX, check_icon};

    fn svg(inside: &str) -> String {
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\">{inside}</svg>")
    }

    #[test]
    fn shapes_are_an_icon() {
        let inside = "<title>A &amp; B</title><defs><linearGradient id='a'><stop offset='0'/></linearGradient></defs>\
                      <g fill=\"none\"><path d=\"M0 0h2\" stroke='url(#a)'/></g>";
        assert_eq!(check_icon(&svg(inside)), Ok(()));
    }

    #[test]
    fn whatever_could_act_or_reach_out_is_refused() {
        for inside in [
            "<script>alert(1)</script>",
            "<SCRIPT/>",
            "<g onload=\"x()\"/>",
            "<g ONLOAD='x()'/>",
            "<a href=\"https://example.com\"/>",
            "<path href=\"#a\"/>",
            "<image x='0'/>",
            "<use x='0'/>",
            "<foreignObject/>",
            "<style>@import url(x)</style>",
            "<g style=\"fill:url(https://example.com)\"/>",
            "<g fill=\"url(https://example.com/a)\"/>",
            "<g fill=\"url( 'x.svg#a' )\"/>",
            "<g fill=\"u&#114;l(//x)\"/>",
            "<g fill=\"java script:x\" mask=\"javascript:x\"/>",
            "<!-- x -->",
            "<![CDATA[x]]>",
            "<g fill=red/>",
            "<g",
            "<g>",
            "</g>",
        ] {
            assert!(check_icon(&svg(inside)).is_err(), "{inside}");
        }
        assert!(check_icon("<!DOCTYPE svg [<!ENTITY x 'y'>]><svg/>").is_err());
        assert!(check_icon("<svg/><svg/>").is_err());
        assert!(check_icon("").is_err());
        assert!(check_icon(&svg(&" ".repeat(ICON_BYTES_MAX))).unwrap_err().contains("at most"));
    }
}
