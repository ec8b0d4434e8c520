//! `wire::Object`: what it sees and what it writes, held against serde_json.

use std::collections::HashSet;
use std::fmt;

use fuzz::{parts, target};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use wire::{Meta, Object, object};

/// The members of an object as serde_json reads them, repeated keys included.
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl Members {
    /// `None` for what is no JSON, no object, or has a key that is no text.
    pub(crate) fn of(raw: &[u8]) -> Option<Self> {
        serde_json::from_slice(raw).ok()
    }

    pub(crate) fn is_unique(&self) -> bool {
        let mut seen = HashSet::new();
        self.0.iter().all(|(key, _)| seen.insert(key.as_str()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.get())
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?).ok()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

pub(crate) fn is_json(raw: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(raw).is_ok()
}

target!(
    /// Members are what serde_json sees, byte for byte; a key that is there twice is refused.
    members,
    |input: &[u8]| {
        let scanned = Object::scan(input);
        if !is_json(input) {
            return;
        }
        let Some(expected) = Members::of(input) else {
            assert!(scanned.is_err(), "no object with readable keys");
            return;
        };
        let Ok(seen) = scanned else {
            assert!(!expected.is_unique() || expected.0.len() > Object::MEMBERS_MAX, "refused for nothing");
            return;
        };
        assert!(expected.is_unique(), "a key is there twice");
        assert_eq!(seen.is_empty(), expected.0.is_empty());
        let pairs: Vec<_> = seen.iter().map(|(key, raw)| (key, raw.to_vec())).collect();
        let wanted: Vec<_> =
            expected.0.iter().map(|(key, raw)| (key.as_str(), raw.get().as_bytes().to_vec())).collect();
        assert_eq!(pairs, wanted);
        for (key, raw) in &expected.0 {
            assert_eq!(seen.get(key), Some(raw.get().as_bytes()));
            assert_eq!(seen.get_str(key).map(|text| text.into_owned()), expected.text(key));
            assert_eq!(seen.is_true(key), raw.get() == "true");
        }
    }
);

target!(
    /// An edited object is JSON, has exactly the edits, and everything else stays byte for byte.
    /// Parts: the object, then key and value in turn; an empty value takes the member out.
    edits,
    |input: &[u8]| {
        let parts = parts(input);
        let Some((raw, rest)) = parts.split_first() else { return };
        let (true, Ok(before)) = (is_json(raw), Object::scan(raw)) else { return };
        let members = Members::of(raw).expect("what scans and is JSON is an object");
        let keys: Vec<_> = rest.chunks(2).map(|edit| String::from_utf8_lossy(edit[0]).into_owned()).collect();
        let mut edits: Vec<(&str, Option<&[u8]>)> = Vec::new();
        for (key, edit) in keys.iter().zip(rest.chunks(2)) {
            let value = edit.get(1).copied().unwrap_or_default();
            if edits.iter().all(|(known, _)| known != key) && (value.is_empty() || is_json(value)) {
                edits.push((key, Some(value).filter(|value| !value.is_empty())));
            }
        }
        let trimmed = |value: &[u8]| {
            let raw: &RawValue = serde_json::from_slice(value).expect("checked above");
            raw.get().to_owned()
        };
        let mut wanted: Vec<(String, String)> = Vec::new();
        for (key, raw) in &members.0 {
            match edits.iter().find(|(edited, _)| edited == key) {
                None => wanted.push((key.clone(), raw.get().to_owned())),
                Some((_, Some(value))) => wanted.push((key.clone(), trimmed(value))),
                Some((_, None)) => {}
            }
        }
        for (key, value) in &edits {
            if let (Some(value), None) = (value, members.get(key)) {
                wanted.push(((*key).to_owned(), trimmed(value)));
            }
        }
        let out = before.edit(&edits);
        let after = Members::of(&out).expect("an edited object is an object");
        let after: Vec<_> = after.0.into_iter().map(|(key, raw)| (key, raw.get().to_owned())).collect();
        assert_eq!(after, wanted);
    }
);

target!(
    /// Items of a list, texts, and quoting.
    values,
    |input: &[u8]| {
        let items: Option<Vec<Box<RawValue>>> = serde_json::from_slice(input).ok();
        let items = items.map(|items| items.iter().map(|item| item.get().to_owned()).collect::<Vec<_>>());
        let seen = object::items(input).map(|items| {
            items.iter().map(|item| String::from_utf8(item.to_vec()).unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(seen, items);
        let text = String::from_utf8_lossy(input);
        assert_eq!(object::as_str(&object::quoted(&text)).as_deref(), Some(&*text));
        if is_json(input.trim_ascii()) {
            let read = serde_json::from_slice::<String>(input.trim_ascii()).ok();
            assert_eq!(object::as_str(input.trim_ascii()).map(|text| text.into_owned()), read);
        }
    }
);

target!(
    /// `_meta` of a request: an object without repeated keys or nothing, and each member of its own kind.
    meta,
    |input: &[u8]| {
        let (true, Ok(params)) = (is_json(input), Object::scan(input)) else { return };
        let all = Members::of(input).expect("what scans and is JSON is an object");
        let read = Meta::of(&params);
        let Some(raw) = all.get("_meta") else {
            assert!(read.is_ok_and(|meta| meta.raw.is_none() && meta.protocol_version.is_none()));
            return;
        };
        let inner = Members::of(raw.as_bytes()).filter(Members::is_unique);
        let (Ok(meta), Some(inner)) = (&read, &inner) else {
            assert!(read.is_err() && inner.is_none());
            return;
        };
        assert_eq!(meta.protocol_version.as_deref(), inner.text(wire::meta::PROTOCOL_VERSION).as_deref());
        assert_eq!(meta.log_level.as_deref(), inner.text(wire::meta::LOG_LEVEL).as_deref());
        assert_eq!(meta.progress_token, inner.get(wire::meta::PROGRESS_TOKEN).map(str::as_bytes));
        for (seen, key) in [
            (meta.client_capabilities, wire::meta::CLIENT_CAPABILITIES),
            (meta.client_info, wire::meta::CLIENT_INFO),
        ] {
            assert_eq!(seen, inner.get(key).filter(|raw| raw.starts_with('{')).map(str::as_bytes));
        }
    }
);
