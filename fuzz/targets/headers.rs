//! Header values that repeat the body, arguments that become headers, and the key in a header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fuzz::{parts, target};
use serde_json::Value;
use wire::{header, param_header};

/// What may stand in a header line without ending it or changing on the way.
fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) && text.trim_matches([' ', '\t']) == text
}

target!(
    /// Every value survives the way through a header, and a header stands for a value in one way only:
    /// as it is, or as canonical base64 of it.
    repeated_value,
    |input: &[u8]| {
        let text = String::from_utf8_lossy(input);
        let encoded = header::encode(&text);
        assert!(is_header_text(&encoded), "{encoded:?}");
        assert_eq!(header::decode(&encoded).as_deref(), Some(&*text));

        let Some(value) = header::decode(&text) else { return };
        let shown = text.trim_matches([' ', '\t']);
        let wrapped = format!("=?base64?{}?=", STANDARD.encode(value.as_bytes()));
        assert!(shown == value || shown == wrapped, "{shown:?} is read as {value:?}");
        assert!(!(shown == value && shown.len() >= 11 && shown.starts_with("=?base64?") && shown.ends_with("?=")));
    }
);

target!(
    /// Annotations are found where `properties` alone lead, are tokens, and no two are the same header.
    /// Parts: the schema, the arguments.
    annotated_arguments,
    |input: &[u8]| {
        let parts = parts(input);
        let Ok(schema) = serde_json::from_slice::<Value>(parts[0]) else { return };
        let Ok(found) = param_header::annotations(&schema) else {
            assert!(schema.to_string().contains("x-mcp-header"), "refused, with nothing to refuse");
            return;
        };
        let mut names: Vec<_> = found.iter().map(|header| header.name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), found.len());
        let arguments = parts.get(1).and_then(|raw| serde_json::from_slice::<Value>(raw).ok()).unwrap_or_default();
        for header in &found {
            let is_token = header.name.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&b));
            assert!(is_token && !header.name.is_empty(), "{:?}", header.name);
            let place = header.path.iter().try_fold(&schema, |at, key| at.get("properties")?.get(key));
            assert_eq!(place.and_then(|place| place["x-mcp-header"].as_str()), Some(header.name.as_str()));
            if let Some(value) = param_header::value_of(&arguments, header) {
                assert!(is_header_text(&header::encode(&value)));
            }
        }
    }
);

target!(
    /// A key is found, or refused without being repeated. Parts: `Authorization`, `X-Api-Key`; one that is
    /// empty is not sent.
    presented_key,
    |input: &[u8]| {
        let parts: Vec<_> = parts(input).into_iter().map(String::from_utf8_lossy).collect();
        let sent = |at: usize| parts.get(at).map(|text| &**text).filter(|text| !text.is_empty());
        let (authorization, x_api_key) = (sent(0), sent(1));
        let trimmed = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let bearer = trimmed(authorization).map(|value| {
            let (scheme, key) = value.split_at(value.find(' ').unwrap_or(value.len()));
            trimmed(Some(key)).filter(|_| scheme.eq_ignore_ascii_case("bearer"))
        });
        let wanted = match (bearer, trimmed(x_api_key)) {
            (None, other) => other,
            (Some(key), None) => key,
            (Some(key), Some(other)) => key.filter(|key| *key == other),
        };
        match identity::bearer(authorization, x_api_key) {
            Ok(key) => assert_eq!(Some(key), wanted.as_deref()),
            Err(fault) => {
                assert_eq!(wanted, None);
                assert_eq!(fault.code, model::Code::UNAUTHENTICATED);
                assert!(!fault.to_string().contains("s3cr3t") && !fault.hint.contains("s3cr3t"));
            }
        }
    }
);
