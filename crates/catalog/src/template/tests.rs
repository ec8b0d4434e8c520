//! What templates become.

use serde_json::{Value, json};

use super::{Arg, Template};

fn expand(arg: &Arg, config: &Value) -> Result<Vec<Value>, String> {
    let mut out = Vec::new();
    arg.expand(config.as_object().unwrap(), &mut out).map_err(|problem| problem.to_string())?;
    Ok(out)
}

fn one(text: &str) -> Arg {
    Arg::One(Template::parse(text).unwrap())
}

#[test]
fn a_list_becomes_several_arguments_and_what_is_missing_none() {
    let config = json!({ "folders": ["/a b", "/c;rm -rf"], "n": 3, "on": true });
    assert_eq!(expand(&one("{config.folders}"), &config).unwrap(), ["/a b", "/c;rm -rf"]);
    assert_eq!(expand(&one("--n={config.n}"), &config).unwrap(), ["--n=3"]);
    assert!(expand(&one("--x={config.absent}"), &config).unwrap().is_empty());
    assert_eq!(expand(&one("{{literal}}"), &config).unwrap(), ["{literal}"]);
    let pair = |name| {
        let value = Template::parse(name).unwrap();
        Arg::Group(vec![Template::parse("--root").unwrap(), value])
    };
    assert_eq!(
        expand(&pair("{config.folders}"), &config).unwrap(),
        ["--root", "/a b", "--root", "/c;rm -rf"]
    );
    assert!(expand(&pair("{config.absent}"), &config).unwrap().is_empty());
    let flag = |when: &str| Arg::Flag { text: "--on".to_owned(), when: when.to_owned() };
    assert_eq!(expand(&flag("on"), &config).unwrap(), ["--on"]);
    assert!(expand(&flag("n"), &config).unwrap().is_empty());
}

#[test]
fn a_value_stays_a_value() {
    let config =
        json!({ "path": "--config=/etc/passwd", "braces": "{config.path}", "map": {}, "list": ["a"] });
    assert!(expand(&one("{config.path}"), &config).unwrap_err().contains("option"));
    assert_eq!(expand(&one("--p={config.path}"), &config).unwrap(), ["--p=--config=/etc/passwd"]);
    assert_eq!(expand(&one("{config.braces}"), &config).unwrap(), ["{config.path}"], "nothing is read twice");
    assert!(expand(&one("{config.map}"), &config).unwrap_err().contains("map"));
    let alone = Template::parse("{config.list}").unwrap();
    assert!(alone.text(config.as_object().unwrap()).is_err(), "a list is no text");
}

#[test]
fn braces_that_are_no_place_are_told() {
    for text in ["{config.}", "{folders}", "a}", "{config.a", "{config.a-b}", "{"] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}
