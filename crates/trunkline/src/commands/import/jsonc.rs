//! JSON as editors keep it: comments and commas too many are taken out, everything else stays.

/// Blanks out `//` and `/* */` comments and commas before a closing bracket, outside of strings.
/// Lines and columns stay what they were.
pub(super) fn strip(text: &str) -> String {
    let mut out: Vec<char> = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut is_in_string = false;
    while let Some(c) = chars.next() {
        if is_in_string {
            out.push(c);
            match c {
                '\\' => out.extend(chars.next()),
                '"' => is_in_string = false,
                _ => {}
            }
            continue;
        }
        match (c, chars.peek()) {
            ('"', _) => {
                is_in_string = true;
                out.push(c);
            }
            ('/', Some('/')) => {
                out.push(' ');
                while let Some(skipped) = chars.next_if(|c| *c != '\n') {
                    out.push(if skipped == '\t' { '\t' } else { ' ' });
                }
            }
            ('/', Some('*')) => {
                // The star that opens the comment does not close it.
                chars.next();
                out.extend([' ', ' ']);
                let mut last = ' ';
                for skipped in chars.by_ref() {
                    out.push(if skipped == '\n' { '\n' } else { ' ' });
                    if last == '*' && skipped == '/' {
                        break;
                    }
                    last = skipped;
                }
            }
            (']' | '}', _) => {
                if let Some(comma) = out.iter().rposition(|c| !c.is_whitespace())
                    && let Some(slot) = out.get_mut(comma)
                    && *slot == ','
                {
                    *slot = ' ';
                }
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn comments_and_spare_commas_go_and_strings_stay() {
        let text = "{ // x \"y\"\n \"u\": \"http://h/*a*/,}\", /* , */ \"v\": [1, 2, ], }";
        let json: serde_json::Value = serde_json::from_str(&strip(text)).unwrap();
        assert_eq!(json, serde_json::json!({ "u": "http://h/*a*/,}", "v": [1, 2] }));
        assert_eq!(strip("/**/1"), "    1");
        assert!(serde_json::from_str::<serde_json::Value>(&strip("\"a\\\"//b\"")).is_ok());
    }
}
