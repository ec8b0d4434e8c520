//! Fuzz target of the call door: arguments on their way in, whatever a server answers on its way out.

use ::fuzz::target;
use bytes::Bytes;
use model::Code;
use model::id::CallId;
use model::{ManualClock, SeededEntropy, Timestamp};
use serde_json::value::RawValue;

use super::{json, params, rpc_fault, shape};

target!(
    /// The answer is JSON with its six members or a fault; arguments go in byte for byte or not at all.
    answers,
    |input: &[u8]| {
        let raw: Option<&RawValue> = serde_json::from_slice(input).ok();
        let id = CallId::new(&ManualClock::at(Timestamp(7)), &SeededEntropy::new(7));
        match json(id, &(Bytes::copy_from_slice(input), false), 3) {
            Ok(answer) => {
                let whole: &RawValue = serde_json::from_slice(&answer).expect("the answer is JSON");
                assert!(whole.get().ends_with("\"duration_ms\":3}"));
                let result = shape(input).expect("it was shaped before");
                assert!(whole.get().contains(&format!("\"result\":{},\"is_error\":false", result.get())));
            }
            Err(fault) => assert_eq!(fault.code, Code::BAD_ANSWER),
        }
        let fault = rpc_fault("up", input);
        assert!([Code::BAD_ANSWER, Code::BAD_ARGUMENTS].contains(&fault.code));
        assert!(fault.detail.len() < 10_000);

        let name = "a \"quoted\" tool";
        match params(name, input) {
            Ok(made) => {
                #[derive(serde::Deserialize)]
                struct Made<'a> {
                    name: String,
                    #[serde(borrow)]
                    arguments: &'a RawValue,
                }
                let made: Made<'_> = serde_json::from_slice(&made).expect("parameters are JSON");
                assert_eq!(made.name, name);
                assert_eq!(raw.map(RawValue::get), Some(made.arguments.get()), "other arguments than were sent");
            }
            Err(fault) => assert!(raw.is_none() && fault.code == Code::BAD_MESSAGE),
        }
    }
);
