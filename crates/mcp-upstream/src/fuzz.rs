//! Fuzz targets of this room: what servers answer and offer, and parameters between the eras.

use ::fuzz::{parts, target};
use bytes::Bytes;
use connector::{Outcome, Peer};
use model::{CallKind, Era};
use serde_json::Value;
use wire::{Envelope, Object, meta};

use crate::answer::{Answer, outcome};
use crate::{inventory, params, remember};

fn value(raw: &[u8]) -> Option<Value> {
    serde_json::from_slice(raw).ok()
}

fn peers() -> [Peer; 2] {
    [Era::Legacy, Era::Modern].map(|era| Peer { era: Some(era), ..Peer::plain() })
}

/// `_meta` and everything else.
fn split_meta(mut params: Value) -> (Value, Value) {
    let meta = params.as_object_mut().expect("an object").remove("_meta").unwrap_or_default();
    (meta, params)
}

target!(
    /// Parameters for the other era stay JSON and keep what belongs to neither; a client's progress token
    /// never goes up on a channel that others share.
    parameters,
    |input: &[u8]| {
        let raw = Bytes::copy_from_slice(input);
        let Some(before) = value(input).filter(Value::is_object) else { return };
        let (old_meta, old_rest) = split_meta(before.clone());
        for peer in peers() {
            let legacy = params::for_legacy(&peer, &raw, 77);
            let modern = params::for_modern(&peer, "2026-07-28", &raw, Some(77), false);
            for (prepared, is_modern) in [(legacy, false), (modern, true)] {
                let Ok(prepared) = prepared else {
                    let is_odd = Object::scan(input).is_err()
                        || Object::scan(old_meta.to_string().as_bytes()).is_err()
                        || Object::scan(input).is_ok_and(|all| all.get("_meta").is_some_and(|m| Object::scan(m).is_err()));
                    assert!(is_odd, "refused for nothing");
                    continue;
                };
                if Object::scan(input).is_err() {
                    continue;
                }
                let (new_meta, new_rest) = split_meta(value(&prepared.params).expect("still JSON"));
                let token = new_meta.get(meta::PROGRESS_TOKEN);
                assert!(token.is_none_or(|token| *token == 77), "the client's own token goes up: {token:?}");
                assert_eq!(token.is_some(), prepared.client_token.is_some());
                if let Some(own) = &prepared.client_token {
                    assert_eq!(value(own).as_ref(), old_meta.get(meta::PROGRESS_TOKEN));
                }
                if is_modern {
                    assert!(new_meta.get(meta::PROTOCOL_VERSION).is_some());
                    assert_eq!(new_rest, old_rest);
                } else if peer.era == Some(Era::Modern) {
                    for modern in [meta::PROTOCOL_VERSION, meta::CLIENT_INFO, meta::CLIENT_CAPABILITIES, meta::LOG_LEVEL] {
                        assert!(new_meta.get(modern).is_none(), "{modern}");
                    }
                    let mut rest = old_rest.clone();
                    for modern in ["inputResponses", "requestState"] {
                        rest.as_object_mut().expect("an object").remove(modern);
                    }
                    assert_eq!(new_rest, rest);
                }
            }
        }
    }
);

target!(
    /// An answer is taken for the request that it names and for no other, and its bytes are passed on as
    /// they are.
    answers,
    |input: &[u8]| {
        let frame = Bytes::copy_from_slice(input);
        for id in [&b"7"[..], b"70", b"\"7\""] {
            let Ok(answer) = Answer::from_frame(&frame, id) else { continue };
            match (Envelope::parse(input), &answer) {
                (Ok(Envelope::Response { id: answered, result }), Answer::Result(taken)) => {
                    assert!(answered == id && taken == result);
                }
                (Ok(Envelope::Error { id: answered, error }), Answer::Error(taken)) => {
                    assert!(answered.is_none_or(|answered| answered == id) && taken == error);
                }
                (other, answer) => panic!("{answer:?} from {other:?}"),
            }
            for (era, peer) in [Era::Legacy, Era::Modern].into_iter().flat_map(|era| peers().map(|peer| (era, peer))) {
                for kind in [CallKind::Tool, CallKind::Resource] {
                    let (Answer::Result(raw) | Answer::Error(raw)) = &answer;
                    match outcome(era, kind, &peer, answer.clone()) {
                        Ok(Outcome::Complete { result, .. } | Outcome::Task { result }) => assert_eq!(result, raw),
                        Ok(Outcome::RpcError { error }) => assert_eq!(error, raw),
                        Ok(Outcome::InputRequired { result }) if result == raw => assert_eq!(era, Era::Modern),
                        Ok(Outcome::InputRequired { result }) => {
                            let question = value(&result).expect("a question of ours is JSON");
                            let asked = question["inputRequests"].as_object().expect("an object");
                            assert!((1..=8).contains(&asked.len()));
                            assert!(asked.values().all(|one| one["method"] == "elicitation/create" && one["params"]["mode"] == "url"));
                        }
                        Err(_) => {}
                    }
                }
            }
        }
    }
);

target!(
    /// What is offered is kept byte for byte under a name that clients can use; and it comes back from
    /// where inventories are kept over a restart.
    offers,
    |input: &[u8]| {
        let raw: Vec<Bytes> = parts(input).into_iter().map(Bytes::copy_from_slice).collect();
        let mut inventory = connector::Inventory::default();
        for raw in raw.iter().filter(|raw| value(raw).is_some()) {
            if let Ok(tool) = inventory::tool(raw) {
                let all = value(raw).expect("checked");
                assert_eq!(all["name"], *tool.name);
                assert!(tool.name.is_ascii() && !tool.name.contains(char::is_whitespace) && tool.name.len() <= 128);
                assert_eq!(value(&tool.input_schema).as_ref(), all.get("inputSchema"));
                assert!(all["inputSchema"].is_object());
                assert_eq!(tool.claims_read_only, all["annotations"]["readOnlyHint"] == true && Object::scan(raw).is_ok_and(|o| o.get("annotations").is_some_and(|a| Object::scan(a).is_ok())));
                assert_eq!(tool.raw, raw);
                inventory.tools.push(tool.into());
            }
        }
        let usable: Vec<Bytes> = raw.iter().filter(|raw| value(raw).is_some()).cloned().collect();
        inventory.prompts = inventory::offered(&usable, "name");
        inventory.resources = inventory::offered(&usable, "uri");
        let kept = remember::load(&remember::save(&inventory).expect("an inventory can be kept")).expect("and read back");
        let trimmed = |raw: &Bytes| raw.trim_ascii().to_vec();
        let names = |tools: &[std::sync::Arc<connector::Tool>]| tools.iter().map(|tool| trimmed(&tool.raw)).collect::<Vec<_>>();
        assert_eq!(names(&kept.tools), names(&inventory.tools));
        let ids = |items: &[std::sync::Arc<connector::Offered>]| items.iter().map(|item| (item.id.clone(), trimmed(&item.raw))).collect::<Vec<_>>();
        assert_eq!(ids(&kept.prompts), ids(&inventory.prompts));
        assert_eq!(ids(&kept.resources), ids(&inventory.resources));
        let _nothing_or_something = remember::load(&raw[0]);
    }
);
