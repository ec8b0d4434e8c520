//! The typed client for TypeScript is what the hub's own document makes of it, and works.

use std::path::{Path, PathBuf};
use std::process::Output;

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::program::command;
use testkit::tools::{Tools, json_of};

/// What the file opens with.
const HEAD: &str = "// The types of the HTTP API, generated from its OpenAPI document: `cargo xtask client` makes them anew.\n";

fn client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("clients/typescript")
}

/// Runs a script of the npm tools to its end.
fn run(tools: &Tools, script: &str, arguments: &[&Path]) -> Output {
    let mut node = command(&tools.node);
    node.arg(tools.npm(script)).args(arguments);
    node.output().unwrap()
}

#[tokio::test]
async fn the_generated_types_are_those_of_the_document() {
    let tools = Tools::find().unwrap();
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let document = hub.http(Method::GET, "/openapi.json", &Value::Null).await.unwrap().text().await.unwrap();
    let (from, to) = (hub.folder().join("openapi.json"), hub.folder().join("api.ts"));
    std::fs::write(&from, document).unwrap();
    let arguments = [from.as_path(), Path::new("--empty-objects-unknown"), Path::new("--output"), &to];
    let made = run(&tools, "openapi-typescript/bin/cli.js", &arguments);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = HEAD.to_owned() + &std::fs::read_to_string(&to).unwrap();
    let kept = client().join("src/api.ts");
    if std::env::var_os("TRUNKLINE_WRITE_CLIENT").is_some() {
        std::fs::write(&kept, &made).unwrap();
    }
    let is_same = std::fs::read_to_string(&kept).unwrap() == made;
    assert!(is_same, "clients/typescript/src/api.ts is of another document: run `cargo xtask client`");
}

#[test]
fn the_client_is_sound_in_the_strictest_reading() {
    let checked = run(&Tools::find().unwrap(), "typescript/bin/tsc", &[Path::new("--project"), &client()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[tokio::test]
async fn a_program_lists_connects_removes_and_follows_through_the_client() {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    let mut program = command(Tools::find().unwrap().node);
    program.arg(client().join("test/scene.ts")).args([&hub.url, &hub.key]);
    let seen = json_of(program).await.unwrap();
    assert_eq!((&seen["key"], &seen["status"]), (&json!("typed"), &json!("configuring")), "{seen}");
    assert_eq!((&seen["listed"], &seen["left"]), (&json!(["typed"]), &json!(0)), "{seen}");
    assert_eq!(seen["events"], json!(["connection.made", "connection.removed"]), "nothing twice: {seen}");
    assert_eq!(seen["refused"], "TL-1001");
    assert!(seen["kinds"].as_u64().unwrap() > 1, "{seen}");
}
