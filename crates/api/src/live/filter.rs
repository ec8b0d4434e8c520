//! `types=connection.*,call.*`: which events a reader wants.

use super::event::{CALL_FINISHED, Event, GAP, STORE_CHANGED, TYPES};

/// The types that are wanted; `None` for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter(Option<Vec<&'static str>>);

impl Filter {
    /// Reads a list of types, or of `noun.*`, between commas. Nothing, or `*`, is everything.
    ///
    /// # Errors
    /// Which part names nothing that there is.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(Self(None)) };
        let mut wanted = Vec::new();
        for part in text.split(',').map(str::trim) {
            if part == "*" {
                return Ok(Self(None));
            }
            let noun = part.strip_suffix('*').filter(|noun| noun.ends_with('.'));
            let before = wanted.len();
            let fits = |kind: &&&str| noun.map_or(**kind == part, |noun| kind.starts_with(noun));
            wanted.extend(TYPES.iter().filter(fits).copied());
            if wanted.len() == before {
                let part: String = part.chars().take(64).collect();
                return Err(format!("types: `{part}` is no type of event, and no `noun.*` of one"));
            }
        }
        // What other nodes change is told without saying what it is: it may be what is wanted.
        if wanted.iter().any(|kind| *kind != CALL_FINISHED && *kind != GAP) {
            wanted.push(STORE_CHANGED);
        }
        Ok(Self(Some(wanted)))
    }

    /// Whether calls are wanted.
    pub(crate) fn has_calls(&self) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted.contains(&CALL_FINISHED))
    }

    /// Whether this one is wanted. That something is missing is always told.
    pub(crate) fn passes(&self, event: &Event) -> bool {
        event.kind == GAP || self.0.as_ref().is_none_or(|wanted| wanted.contains(&event.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::live::event::{CALL_FINISHED, Data, Event, GAP, KEY_MADE, STORE_CHANGED};

    fn passes(types: &str, kind: &'static str) -> bool {
        let event = Event {
            id: model::id::EventId::from_uuid(uuid::Uuid::from_u128(1)),
            kind,
            at: model::Timestamp(0),
            data: Data::Told(serde_json::Value::Null),
            workspace: None,
        };
        Filter::parse(Some(types)).unwrap().passes(&event)
    }

    #[test]
    fn a_filter_takes_types_nouns_and_everything() {
        assert!(passes("key.*", KEY_MADE) && passes("call.finished, key.made", KEY_MADE));
        assert!(passes("*", KEY_MADE) && passes("", CALL_FINISHED) && passes("call.*,*", KEY_MADE));
        assert!(!passes("key.*", CALL_FINISHED) && !passes("key.revoked", KEY_MADE));
        assert!(passes("call.*", GAP), "a gap is always told");
        assert!(passes("key.*", STORE_CHANGED) && !passes("call.*", STORE_CHANGED));
        assert!(!Filter::parse(Some("key.*")).unwrap().has_calls());
        assert!(Filter::parse(None).unwrap().has_calls());
    }

    #[test]
    fn what_names_nothing_is_refused_by_name() {
        for bad in ["key", "key.", "key*", "*.made", "key.*,nothing.*", "KEY.*", ",", "key.*,"] {
            assert!(Filter::parse(Some(bad)).unwrap_err().contains("is no type of event"), "{bad}");
        }
    }
}
