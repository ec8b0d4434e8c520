//! `trunkline call`: one tool, once.

use std::io::Read;

use serde_json::{Map, Value};

use super::client::{Remote, block_on, escape};
use crate::cli::Shared;
use crate::say::{Quit, note, out};

/// The largest arguments that are read, in bytes; the hub has its own limit.
const ARGUMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is to be called.
pub(crate) struct Wanted<'a> {
    pub(crate) connection: &'a str,
    pub(crate) tool: &'a str,
    pub(crate) pairs: &'a [String],
    pub(crate) args: Option<&'a str>,
    pub(crate) idempotency: Option<&'a str>,
}

/// Calls it and prints the result; exits with 1 when the tool says that it failed.
pub(crate) fn run(shared: &Shared, wanted: &Wanted<'_>) -> Result<(), Quit> {
    let arguments = match wanted.args {
        Some(args) => object(args)?,
        None => of_pairs(wanted.pairs)?.to_string(),
    };
    let path = format!("/call/{}/{}", escape(wanted.connection), escape(wanted.tool));
    let hub = Remote::of(shared);
    let answer = block_on(hub.call(&path, &arguments, wanted.idempotency))?;
    let is_error = answer.get("is_error").and_then(Value::as_bool).unwrap_or(false);
    if shared.json {
        out(&answer.to_string());
    } else {
        let result = answer.get("result").cloned().unwrap_or(Value::Null);
        match &result {
            Value::String(text) => out(text),
            other => out(&serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string())),
        }
        if is_error {
            note("the tool says that it failed");
        }
    }
    if is_error { Err(Quit::silent(1)) } else { Ok(()) }
}

/// `--args`: a JSON object, `@FILE` with one, or `-` for standard input.
pub(super) fn object(text: &str) -> Result<String, Quit> {
    let read = |source: &mut dyn Read| {
        let mut text = String::new();
        source.take(ARGUMENT_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    };
    let text = match text.strip_prefix('@') {
        _ if text == "-" => read(&mut std::io::stdin().lock())
            .map_err(|error| Quit::usage(format!("standard input: {error}")))?,
        Some(path) => std::fs::File::open(path)
            .and_then(|mut file| read(&mut file))
            .map_err(|error| Quit::usage(format!("{path}: {error}")))?,
        None => text.to_owned(),
    };
    match serde_json::from_str::<Map<String, Value>>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Quit::usage(format!("--args is not a JSON object: {error}"))
            .with_hint("write for example --args '{\"path\": \"/srv\"}'")),
    }
}

/// `key=value` pairs: a value that is JSON is taken as JSON, anything else as text.
pub(super) fn of_pairs(pairs: &[String]) -> Result<Value, Quit> {
    let mut map = Map::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Quit::usage(format!("`{pair}` is not key=value"))
                .with_hint("or give all arguments with --args '{...}'"));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        if map.insert(key.to_owned(), value).is_some() {
            return Err(Quit::usage(format!("`{key}` is there twice")));
        }
    }
    Ok(Value::Object(map))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{object, of_pairs};

    #[test]
    fn pairs_become_an_object_and_json_stays_json() {
        let pairs = ["a=1", "b=x=y", "c=[1,2]", "d=\"1\"", "e=", "f=true"].map(str::to_owned);
        assert_eq!(
            of_pairs(&pairs).unwrap(),
            json!({ "a": 1, "b": "x=y", "c": [1, 2], "d": "1", "e": "", "f": true })
        );
        assert_eq!(of_pairs(&["=1".to_owned()]).unwrap_err().code, 2);
        assert_eq!(of_pairs(&["a=1".to_owned(), "a=2".to_owned()]).unwrap_err().code, 2);
        assert!(object("{\"big\": 12345678901234567890123}").unwrap().contains("12345678901234567890123"));
        assert_eq!(object("[1]").unwrap_err().code, 2);
    }
}
