//! What people write, and what they are told about it.

use super::entry::{Shape, Transport, Type};
use super::problem::{Problem, Scope, Severity};
use super::{Config, DEFAULT_FILE, parse};

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "s3cret".to_owned())
}

fn read(text: &str) -> Config {
    parse(Some(std::path::Path::new("trunkline.yaml")), text, &env)
}

fn lines(config: &Config) -> Vec<String> {
    config.problems.iter().map(Problem::to_string).collect()
}

fn errors(config: &Config) -> Vec<&Problem> {
    config.problems.iter().filter(|p| p.severity == Severity::Error).collect()
}

/// The example of the original, as it is written there.
const ORIGINAL: &str = "integrations:
  my_integration:
    type: api
    endpoint: https://api.example.com
    auth:
      type: oauth2
      credentials:
        client_id: your_client_id
        client_secret: your_client_secret
    timeout: 30
    retry_count: 3
    
  other_integration:
    type: database
    connection:
      host: localhost
      port: 5432
      database: mydb
    auth:
      type: basic
      credentials:
        username: user
        password: pass
";

#[test]
fn the_original_example_loads_as_written_and_its_literal_secrets_are_named_with_their_lines() {
    let config = read(ORIGINAL);
    assert!(errors(&config).is_empty(), "{:?}", lines(&config));
    let keys: Vec<_> = config.entries.iter().map(|e| (e.key.as_str(), e.kind)).collect();
    assert_eq!(keys, [("my-integration", Some(Type::Api)), ("other-integration", Some(Type::Database))]);
    let Shape::Api(api) = &config.entries[0].shape else { panic!("no API") };
    assert_eq!((api.integration.as_str(), api.method), ("rest", Some(model::AuthMethod::Oauth)));
    assert!(api.config.get("token_url").is_none() && api.secrets.len() == 2, "a token URL is wanting");
    let other = &config.entries[1].shape;
    assert!(matches!(other, Shape::Later(later) if later.reason.contains("later version")));
    assert_eq!(
        lines(&config).iter().map(|l| l.split(" (").next().unwrap().to_owned()).collect::<Vec<_>>(),
        [
            "trunkline.yaml:9:24: warning: integrations.my_integration.auth.credentials.client_secret: a secret is written out in the file",
            "trunkline.yaml:23:19: warning: integrations.other_integration.auth.credentials.password: a secret is written out in the file",
        ]
    );
    assert!(!lines(&config).join("").contains("your_client_secret"), "a warning never repeats the secret");
}

#[test]
fn the_default_file_says_every_setting_and_parses_to_the_defaults() {
    let (default, empty) = (read(DEFAULT_FILE), read(""));
    assert_eq!(lines(&default), Vec::<String>::new());
    assert_eq!(format!("{:?}", default.hub), format!("{:?}", empty.hub));
    assert!(default.entries.is_empty() && default.toolsets.is_empty());

    // With its examples uncommented it is a valid file that asks for every setting there is.
    let at = DEFAULT_FILE.find("integrations: {}").unwrap();
    let examples: String = DEFAULT_FILE[at..]
        .lines()
        .map(|line| match line.strip_prefix("#  ") {
            Some(example) => format!("  {example}\n"),
            None => format!(
                "{}\n",
                line.replace("integrations: {}", "integrations:").replace("toolsets: {}", "toolsets:")
            ),
        })
        .collect();
    let all = |name: &str| Some(format!("value-of-{name}"));
    let examples = format!("{}{examples}", &DEFAULT_FILE[..at]);
    let full = parse(None, &examples, &all);
    assert_eq!(lines(&full), Vec::<String>::new());
    assert_eq!((full.entries.len(), full.toolsets.len()), (5, 1));
    for setting in &full.known {
        let name = setting.rsplit('.').next().unwrap();
        let is_said = examples.contains(&format!("{name}:")) || examples.contains(&format!("{name} is"));
        assert!(is_said, "{setting} is not in the default file");
    }
    assert!(full.known.len() > 60, "{} settings", full.known.len());
}

#[test]
fn a_misspelt_key_a_wrong_type_and_an_unknown_value_each_name_place_and_remedy() {
    let config = read(
        "integrations:\n  files:\n    type: mcp\n    protcol: stdio\n    command: x\n    timeout: soon\n    era: modem\n  odd:\n    type: mpc\n    url: http://127.0.0.1/\n",
    );
    let lines = lines(&config);
    assert_eq!(
        lines[0],
        "trunkline.yaml:4:5: integrations.files.protcol: unknown key (did you mean `protocol`?)"
    );
    assert_eq!(lines[1], "trunkline.yaml:6:14: integrations.files.timeout: expected a number, found a text");
    assert!(lines[2].starts_with("trunkline.yaml:7:10: integrations.files.era: `modem` is not a known value (did you mean `modern`?"), "{}", lines[2]);
    assert!(
        lines[3].contains("integrations.odd.type: `mpc` is not a known value (did you mean `mcp`?"),
        "{}",
        lines[3]
    );
    assert!(
        config.problems.iter().all(|p| matches!(&p.scope, Scope::Entry(_)))
            && !config.is_fatal()
            && config.has_errors()
    );
}

#[test]
fn one_bad_entry_carries_its_reason_and_the_others_run() {
    let config = read(
        "integrations:\n  good: { command: cat }\n  bad: { type: mcp, url: \"${NOPE}\" }\n  worse: 7\n  empty:\n  Not A Key: { command: x }\n  also: { url: \"https://x.example/mcp\", auth: { type: bearer, credentials: { token: \"${TOKEN}\" } } }\n",
    );
    assert!(!config.is_fatal());
    let shape = |name: &str| &config.entries.iter().find(|e| e.name == name).unwrap().shape;
    assert!(matches!(shape("good"), Shape::Mcp(_)) && matches!(shape("also"), Shape::Mcp(_)));
    let Shape::Broken(reason) = shape("bad") else { panic!("not broken") };
    assert!(reason.contains("trunkline.yaml:3:") && reason.contains("NOPE is not set"), "{reason}");
    assert!(matches!(shape("worse"), Shape::Broken(_)) && matches!(shape("empty"), Shape::Broken(_)));
    assert!(config.entries.iter().all(|e| e.name != "Not A Key"));
    assert!(
        lines(&config)
            .iter()
            .any(|line| line.contains("`Not A Key` is not a key") && line.contains("not-a-key"))
    );
}

#[test]
fn references_are_replaced_and_secrets_never_show() {
    let config = read(
        "integrations:\n  a:\n    url: https://x.example/mcp\n    headers: { X-Api-Key: \"${TOKEN}\", X-Plain: yes }\n    auth: { type: basic, credentials: { username: me, password: \"${TOKEN}\" } }\n",
    );
    assert_eq!(lines(&config), Vec::<String>::new());
    let Shape::Mcp(entry) = &config.entries[0].shape else { panic!("not ready") };
    let said: Vec<_> = entry.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(said, [("x-api-key", "s3cret"), ("x-plain", "yes"), ("authorization", "Basic bWU6czNjcmV0")]);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn problems_say_what_the_file_says_and_never_what_a_reference_stands_for() {
    let text = include_str!("__fuzz__/config__fuzz__files/corpus/references");
    let value = |name: &str| Some(if name == "NUMBER" { "98765432.125" } else { "s3cret" }.to_owned());
    let config = parse(None, text, &value);
    let told = lines(&config);
    assert!(told.iter().all(|line| !line.contains("s3cret") && !line.contains("98765432")), "{told:#?}");
    for wanted in [
        "listen: `${TOKEN}` is not an address",
        "public_url: `${TOKEN}` is not an http or https URL",
        "allowed_hosts: `${TOKEN}/` is not a host",
        "allowed_origins: `${TOKEN}` is not an origin",
        "trusted_proxies: `${TOKEN}` is not an address",
        "limits.body_bytes: ${NUMBER} is not a whole number",
        "log.level: `${TOKEN}=${TOKEN}` does not give a level",
        "log.format: `${TOKEN}` is not a known value",
        "integrations.a.url: `a: ${TOKEN}\nhttps://u:pw@x` is not a URL",
        "integrations.a.timeout: ${NUMBER} is outside of",
        "integrations.a.era: `${TOKEN}` is not a known value",
        "integrations.b.type: `${TOKEN}` is not a known value",
        "integrations.c.url: `${TOKEN}` is not host:port",
        "integrations.d.url: `${TOKEN}` is not the absolute path",
        "write `command: x` and `args: [${TOKEN}, y]`",
        "limits.memory: `${TOKEN}` is not a size",
        "integrations.f.endpoint: `${TOKEN} x` is not a URL",
        "credentials.header: `${TOKEN} x` is not a header's name",
        "`${TOKEN}` names no connection",
        "there is no connection `${TOKEN}` in this file",
        "`${TOKEN}__x` is in the set twice",
        "`X ${TOKEN}__x` does not give the key of a connection",
        "`${TOKEN} x` is not a tool's name",
        "`${TOKEN}` is in the set twice",
    ] {
        assert!(told.iter().any(|line| line.contains(wanted)), "{wanted}: {told:#?}");
    }
    for entry in &config.entries {
        let Shape::Broken(reason) = &entry.shape else { continue };
        assert!(!reason.contains("s3cret"), "{reason}");
    }
}

#[test]
fn arguments_stay_a_list_and_private_addresses_only_open_where_they_are_written_out() {
    let config = read(
        "integrations:\n  a: { command: /opt/my server, args: [\"/srv/my docs\", 8080, no], env: { PORT: 080 }, idle_stop: null }\n  b: { url: \"http://127.0.0.1:9/mcp\" }\n  c: { url: \"http://${TOKEN}:9/mcp\" }\n  d: { protocol: tcp, url: \"[::1]:99\", egress: { private: false } }\n  e: { protocol: unix, url: /run/x.sock }\n",
    );
    assert_eq!(lines(&config), Vec::<String>::new());
    let mcp = |index: usize| match &config.entries[index].shape {
        Shape::Mcp(entry) => entry,
        other => panic!("{other:?}"),
    };
    let Transport::Stdio { command, args, env, idle_stop_ms, .. } = &mcp(0).transport else {
        panic!("not stdio")
    };
    assert_eq!(
        (command.as_str(), args.as_slice()),
        ("/opt/my server", &["/srv/my docs".to_owned(), "8080".into(), "no".into()][..])
    );
    assert_eq!((env[0].1.expose(), *idle_stop_ms), ("080", None));
    assert_eq!([mcp(1), mcp(2), mcp(3)].map(|e| e.private_allowed), [true, false, false]);
    assert!(matches!(&mcp(3).transport, Transport::Tcp { host, port: 99 } if host == "::1"));
    assert!(matches!(&mcp(4).transport, Transport::Unix(_)));
}

#[test]
fn hub_wide_mistakes_are_fatal_and_name_their_place() {
    for (text, wanted) in [
        ("listn: 1", "trunkline.yaml:1:1: listn: unknown key (did you mean `listen`?)"),
        ("listen: here", "trunkline.yaml:1:9: listen: `here` is not an address"),
        ("limits: { body_bytes: 3 }", "trunkline.yaml:1:23: limits.body_bytes: 3 is outside of 1024 to"),
        ("store: mysql", "store: not a known store (write sqlite, memory or postgres"),
        ("cache: redis://x", "cache: only `local` is served by this version"),
        ("tls: { cert: /x }", "tls.key: missing beside tls.cert"),
        ("integrations: []", "integrations: expected a map"),
        ("a: [1", "trunkline.yaml:"),
        ("public_url: ${HOST}x: y", "trunkline.yaml:1:"),
        ("a: 1\na: 2", "trunkline.yaml:2:1:"),
    ] {
        let config = read(text);
        assert!(config.is_fatal(), "{text}");
        assert!(lines(&config).iter().any(|line| line.contains(wanted)), "{text}: {:?}", lines(&config));
    }
}

#[test]
fn an_entry_is_the_same_wherever_it_stands_and_different_when_a_secret_is() {
    let text = "integrations:\n  a: { command: x, env: { T_TOKEN: \"${TOKEN}\" } }\n";
    let (first, moved) = (read(text), read(&format!("# moved\n\n{text}")));
    assert!(first.entries[0].is_same_as(&moved.entries[0]));
    let other = parse(None, text, &|_| Some("another".to_owned()));
    assert!(!first.entries[0].is_same_as(&other.entries[0]));
}

#[test]
fn toolsets_are_whole_or_left_out() {
    let config = read(
        "integrations:\n  my_files: { command: x }\ntoolsets:\n  good: { tools: [my_files__read, { tool: my_files__list, as: ls, description: Lists. }] }\n  typo: { tools: [my_fils__read] }\n  bad: { tools: [read] }\n  twice: { tools: [my_files__a, my-files__a] }\n",
    );
    let keys: Vec<_> = config.toolsets.iter().map(|set| set.key.as_str()).collect();
    assert_eq!(keys, ["good", "typo"]);
    assert_eq!(config.toolsets[0].tools[0].connection.as_str(), "my-files");
    assert!(lines(&config).iter().any(|line| line.contains("did you mean `my-files`?")));
    assert!(!config.is_fatal());
}

#[test]
fn what_is_shown_hides_literal_secrets_and_keeps_references() {
    let config = read(
        "store: postgres://u:p4ss@h/db\nintegrations:\n  a: { url: https://x.example, headers: { authorization: abc }, auth: { type: bearer, credentials: { token: \"${TOKEN}\" } } }\n  b: { command: x, env: { A_TOKEN: lit, LEVEL: warn } }\n",
    );
    let shown = super::emit::json(&super::redact::redact(&config.tree, &|_| "****".to_owned())).to_string();
    assert!(shown.contains("${TOKEN}") && shown.contains("warn"));
    for secret in ["p4ss", "abc", "lit\"", "s3cret"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[test]
fn how_often_a_call_is_tried_again_and_which_tools_may_be_done_twice() {
    let config = read(
        "integrations:\n  a: { url: https://x.example/mcp, retry_count: 3, tools: { deny: [\"get_secret\"], repeatable: [\"get_*\"] } }\n  b: { url: https://x.example/mcp, retry_count: 11, tools: { repeatable: [\"a b\"] } }\n",
    );
    let Shape::Mcp(entry) = &config.entries[0].shape else { panic!("not ready") };
    let repeatable: Vec<_> = entry.usage.repeatable.iter().map(policy::Pattern::as_str).collect();
    assert_eq!((entry.usage.retry_count, repeatable), (3, vec!["get_*"]));
    assert_eq!(
        (entry.usage.tools.allow.as_deref(), entry.usage.tools.deny.as_slice()),
        (None, &["get_secret".into()][..])
    );
    let told = lines(&config);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("integrations.b.retry_count: 11 is outside of 0 to 10"), "{}", told[0]);
    assert!(told[1].contains("integrations.b.tools.repeatable: the pattern `a b`"), "{}", told[1]);
}

#[test]
fn what_a_source_keeps_is_not_judged_before_it_is_read() {
    let config = read(
        "integrations:
  remote:
    type: mcp
    url: \"${vault:remote#url}\"
    timeout: \"${vault:remote#timeout}\"
    era: \"${vault:remote#era}\"
    tools: { allow: [\"${vault:remote#tool}\"] }
  api:
    type: api
    endpoint: \"${aws-sm:api#url}\"
    retry_count: \"${aws-sm:api#retries}\"
",
    );
    assert!(config.problems.is_empty(), "{:?}", lines(&config));
    assert_eq!(config.references.len(), 6, "each is told: {:?}", config.references);

    // What stands beside it is, and so is what is known.
    let config = read(
        "integrations:
  remote: { type: mcp, url: \"${vault:remote#url}\", timeout: soon, erra: modern }
  other: { type: mcp, url: \"${TOKEN}\" }
",
    );
    let lines = lines(&config);
    assert_eq!(errors(&config).len(), 3, "{lines:?}");
    for words in ["remote.timeout", "remote.erra", "other.url"] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:?}");
    }
}
