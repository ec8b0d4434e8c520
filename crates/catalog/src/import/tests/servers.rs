//! `server.json` and MCP bundles.

use std::io::Write as _;

use serde_json::json;

use super::*;

const WEATHER: &str = r#"{
  "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
  "name": "io.github.acme/weather-mcp",
  "title": "Weather",
  "description": "Forecasts and alerts.",
  "version": "1.4.2",
  "websiteUrl": "https://acme.example/weather",
  "repository": { "url": "https://github.com/acme/weather", "source": "github" },
  "packages": [
    { "registryType": "oci", "identifier": "ghcr.io/acme/weather", "version": "1.4.2", "transport": { "type": "stdio" } },
    { "registryType": "npm", "registryBaseUrl": "https://registry.npmjs.org", "identifier": "@acme/weather-mcp", "version": "1.4.2",
      "runtimeHint": "npx", "transport": { "type": "stdio" },
      "runtimeArguments": [{ "type": "named", "name": "-y" }],
      "packageArguments": [
        { "type": "positional", "value": "serve" },
        { "type": "named", "name": "--units", "choices": ["metric", "imperial"], "default": "metric", "description": "Units." },
        { "type": "named", "name": "--verbose", "format": "boolean" },
        { "type": "named", "name": "--cache", "value": "{folder}/cache{x}", "variables": { "folder": { "format": "filepath", "isRequired": true } } },
        { "type": "positional", "valueHint": "city", "isRepeated": true }
      ],
      "environmentVariables": [
        { "name": "WEATHER_KEY", "description": "From your profile.", "isRequired": true, "isSecret": true },
        { "name": "PORT", "format": "number", "default": "8080" },
        { "name": "MODE", "value": "prod" },
        { "name": "BAD-NAME" }
      ] }
  ],
  "remotes": [{ "type": "streamable-http", "url": "https://weather.acme.example/mcp" }]
}"#;

#[test]
fn a_package_of_the_registry_becomes_a_program_with_its_settings_and_secrets() {
    let (entry, imported) = taken(WEATHER);
    assert_eq!(
        (entry.slug.as_str(), entry.name.as_str(), entry.version.as_str()),
        ("weather-mcp", "Weather", "1.4.2")
    );
    assert_eq!(entry.sources[0], "https://www.npmjs.com/package/@acme/weather-mcp");
    let config = json!({ "folder": "/srv", "verbose": true, "city": ["Bern", "Oslo"], "port": 9000 });
    assert_eq!(
        entry.resolve(&config).unwrap(),
        json!({
            "protocol": "stdio", "command": "npx",
            "args": ["-y", "@acme/weather-mcp@1.4.2", "serve", "--units", "metric", "--verbose", "--cache", "/srv/cache{x}", "Bern", "Oslo"],
            "env": { "PORT": "9000", "MODE": "prod" },
        })
    );
    assert!(entry.resolve(&json!({})).unwrap_err().to_string().contains("folder"));
    let secret = &entry.credentials[0];
    assert_eq!(
        (secret.field.as_str(), secret.help.as_str(), secret.required),
        ("env.WEATHER_KEY", "From your profile.", true)
    );
    assert_says(&imported, "packages.0", "npm and pypi");
    assert_says(&imported, "remotes.0", "not used");
    assert_says(&imported, "env", "no name");
}

#[test]
fn a_python_package_starts_with_uvx_and_an_answer_of_the_registry_is_read_too() {
    let document = json!({ "server": { "name": "a.b/c", "description": "", "packages": [
        { "registryType": "pypi", "identifier": "c-mcp", "version": "0.2.0", "transport": { "type": "stdio" } } ] }, "_meta": {} });
    let (entry, _) = taken(&document.to_string());
    assert_eq!(
        entry.resolve(&json!({})).unwrap(),
        json!({ "protocol": "stdio", "command": "uvx", "args": ["c-mcp@0.2.0"] })
    );
}

#[test]
fn an_address_becomes_a_connection_over_http_and_a_secret_inside_of_a_header_a_whole_one() {
    let document = json!({ "name": "a.b/c", "description": "C", "version": "1", "remotes": [
        { "type": "carrier-pigeon", "url": "https://a.example" },
        { "type": "sse", "url": "https://{tenant}.a.example/sse", "variables": { "tenant": { "isRequired": true } }, "headers": [
            { "name": "Authorization", "value": "Bearer {token}", "variables": { "token": { "isSecret": true, "isRequired": true, "description": "A token." } } },
            { "name": "X-Region", "value": "eu" } ] } ] });
    let (entry, imported) = taken(&document.to_string());
    assert_eq!(
        entry.resolve(&json!({ "tenant": "acme" })).unwrap(),
        json!({ "protocol": "sse", "url": "https://acme.a.example/sse", "headers": { "X-Region": "eu" } })
    );
    let secret = &entry.credentials[0];
    assert_eq!((secret.field.as_str(), secret.required), ("headers.Authorization", true));
    assert!(secret.help.contains("Bearer {token}") && secret.help.contains("A token."), "{}", secret.help);
    assert_says(&imported, "remotes.0", "carrier-pigeon");
}

#[test]
fn packages_that_are_something_else_than_they_say_are_not_started() {
    let of =
        |package: serde_json::Value| refusal(&json!({ "name": "a.b/c", "packages": [package] }).to_string());
    for (name, version, said) in [
        ("--help", "1", "no name of a package"),
        ("https://evil.example/x.tgz", "1", "no name of a package"),
        ("../x", "1", "no name of a package"),
        ("@a/../b", "1", "no name of a package"),
        ("x@npm:evil", "1", "no name of a package"),
        ("x", "latest", "none that is pinned"),
        ("x", "^1.0.0", "none that is pinned"),
        ("x", "npm:evil@1", "none that is pinned"),
        ("x", "--evil", "none that is pinned"),
    ] {
        let told = of(json!({ "registryType": "npm", "identifier": name, "version": version }));
        assert!(told.contains(said), "{name} {version}: {told}");
    }
    let elsewhere = json!({ "registryType": "npm", "registryBaseUrl": "https://npm.evil.example", "identifier": "x", "version": "1" });
    assert!(of(elsewhere).contains("not of the usual one"));
    let secret = json!({ "registryType": "npm", "identifier": "x", "version": "1",
        "packageArguments": [{ "type": "named", "name": "--token", "isSecret": true, "isRequired": true }] });
    assert!(of(secret).contains("secrets do not stand on command lines"));
}

const BUNDLE: &str = r#"{
  "manifest_version": "0.3", "name": "file-notes", "display_name": "File notes", "version": "2.0.1",
  "description": "Notes in files.", "author": { "name": "Acme" }, "homepage": "https://acme.example/notes",
  "server": { "type": "node", "entry_point": "server/index.js", "mcp_config": {
    "command": "node",
    "args": ["${__dirname}/server/index.js", "--max=${user_config.max}", "${user_config.folders}"],
    "env": { "KEY": "${user_config.key}", "AUTH": "Bearer ${user_config.key}", "ROOT": "${HOME}${/}notes", "LOG": "on" },
    "platform_overrides": { "win32": { "command": "node.exe" } } } },
  "user_config": {
    "max": { "type": "number", "title": "Most", "default": 5, "min": 1 },
    "folders": { "type": "directory", "title": "Folders", "multiple": true, "required": true, "default": ["${HOME}/Desktop"] },
    "key": { "type": "string", "title": "API key", "sensitive": true, "required": true },
    "spare": { "type": "string", "title": "Spare" }
  },
  "tools": [{ "name": "a" }, { "name": "b" }],
  "compatibility": { "platforms": ["darwin", "linux"] }
}"#;

#[test]
fn a_bundle_asks_where_it_is_unpacked_and_keeps_its_secrets_apart() {
    let (entry, imported) = taken(BUNDLE);
    assert_eq!((entry.slug.as_str(), entry.test.min_tools), ("file-notes", 2));
    let config = json!({ "folder": "/opt/notes", "home": "/home/ada", "folders": ["/a", "/b"] });
    assert_eq!(
        entry.resolve(&config).unwrap(),
        json!({
            "protocol": "stdio", "command": "node",
            "args": ["/opt/notes/server/index.js", "--max=5", "/a", "/b"],
            "env": { "ROOT": "/home/ada/notes", "LOG": "on" },
        })
    );
    let fields: Vec<&str> = entry.credentials.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["env.AUTH", "env.KEY"]);
    assert_says(&imported, "server", "not unpacked");
    assert_says(&imported, "user_config.spare", "used nowhere");
    assert_says(&imported, "platform_overrides.win32", "not taken over");
    assert_says(&imported, "user_config.folders.default", "own machine");
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn only_the_manifest_of_a_zip_is_read_and_no_bomb_goes_off() {
    let bundle = zipped(&[("../../etc/passwd", b"x"), ("manifest.json", BUNDLE.as_bytes())]);
    let imported = read(&bundle, &Options::default()).unwrap();
    assert_eq!(imported, taken(BUNDLE).1);
    let bomb = zipped(&[("manifest.json", &vec![b' '; 64 * 1024 * 1024])]);
    assert!(bomb.len() < 1024 * 1024);
    assert!(read(&bomb, &Options::default()).unwrap_err().0.contains("more than 1048576 bytes"));
    assert!(
        read(&zipped(&[("a", b"")]), &Options::default()).unwrap_err().0.contains("without manifest.json")
    );
    assert!(read(b"PK\x03\x04 and nothing else", &Options::default()).unwrap_err().0.contains("no zip file"));
    let cut = bundle.get(..bundle.len() / 2).unwrap();
    assert!(read(cut, &Options::default()).is_err());
}

#[test]
fn secrets_on_command_lines_and_words_that_nobody_knows_are_refused() {
    for (from, to, said) in [
        ("--max=${user_config.max}", "--key=${user_config.key}", "secrets stand in variables only"),
        ("--max=${user_config.max}", "${unknown}", "not known"),
        ("--max=${user_config.max}", "${user_config.none}", "does not describe"),
        ("--max=${user_config.max}", "${open", "not closed"),
    ] {
        assert!(
            refusal(&BUNDLE.replace(from, to)).contains(said),
            "{to}: {}",
            refusal(&BUNDLE.replace(from, to))
        );
    }
}
