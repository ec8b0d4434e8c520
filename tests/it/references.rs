//! Credentials of connections made through the API that name what Vault and AWS keep: what is opened for them, used,
//! read anew, told and carried; and that nothing else of the hub can be named.

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;

use crate::secrets::{Moto, Vault, Vendor, call, files_hold, shown};

const FIELD: &str = "/api/v1/connections/acme/credentials/auth.credentials.key";

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

/// A connection with the vendor that has no key yet.
async fn make(hub: &Hub, vendor: &Vendor) {
    let body = json!({ "integration": "rest", "name": "Acme", "auth_method": "api_key", "egress_private": true,
        "connection_config": { "base_url": vendor.url, "test_path": "me" } });
    let (status, made) = ask(hub, Method::POST, "/api/v1/connections", &body).await;
    assert_eq!(status, 201, "{made}");
}

async fn name(hub: &Hub, reference: &str) -> (u16, Value) {
    ask(hub, Method::PUT, FIELD, &json!({ "reference": reference })).await
}

async fn connect(hub: &Hub) -> Value {
    ask(hub, Method::POST, "/api/v1/connections/acme/connect", &Value::Null).await.1
}

/// A hub that may show its connections what is under `team/`.
fn config(vault: &Vault, more: &Value) -> Value {
    let mut config = json!({ "secrets": { "ttl": 1, "stale": 600,
        "vault": { "address": vault.url, "token": "root", "from_api": ["team/*"] } }, "integrations": {} });
    for (name, value) in more.as_object().unwrap() {
        config["secrets"][name] = value.clone();
    }
    config
}

fn write(hub: &Hub, config: &Value) {
    let beside = hub.folder().join("new");
    std::fs::write(&beside, config.to_string()).unwrap();
    std::fs::rename(beside, hub.folder().join("trunkline.yaml")).unwrap();
}

fn run(hub: &Hub, arguments: &[&str]) -> String {
    let output = hub.command(arguments).unwrap().output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Until a call fails with these words. The vendor is not called with it.
async fn ends(hub: &Hub, vendor: &Vendor, key: &str, words: &str) {
    hub.until("the connection ends and says why", async || {
        let calls = vendor.seen.lock().unwrap().len();
        let (status, said) = call(hub, key).await;
        anyhow::ensure!(status >= 400 && said.contains(words), "{status} {said}");
        anyhow::ensure!(vendor.seen.lock().unwrap().len() == calls, "the vendor was called");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stored_connection_uses_what_vault_keeps_and_each_read_is_on_record() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    vault.put("team/acme", json!({ "key": "canary-one" })).await;
    let mut hub = Hub::start(&config(&vault, &json!({})).to_string()).await.unwrap();
    make(&hub, &vendor).await;
    let (status, stored) = name(&hub, "vault:team/acme#key").await;
    assert_eq!((status, &stored["reference"]), (200, &json!("vault:team/acme#key")), "{stored}");
    assert!(stored["last_read_at"].is_i64() && stored["read_error"].is_null(), "{stored}");
    assert_eq!(stored["last_four"], "", "{stored}");
    assert!(vendor.seen.lock().unwrap().is_empty(), "nothing is used before its test has passed");
    let connected = connect(&hub).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    shown(&hub, &vendor, "acme", "canary-one").await;

    vault.put("team/acme", json!({ "key": "canary-two" })).await;
    shown(&hub, &vendor, "acme", "canary-two").await;
    hub.restart().await.unwrap();
    shown(&hub, &vendor, "acme", "canary-two").await;

    let (_, calls) = ask(&hub, Method::GET, "/api/v1/calls?limit=1000", &Value::Null).await;
    let all = calls["calls"].as_array().unwrap();
    assert!(!all.is_empty() && all.iter().all(|one| one["kind"] == "tool"), "{calls}");
    let (_, reads) =
        ask(&hub, Method::GET, "/api/v1/calls?kind=secret&connection=acme&search=version%202", &Value::Null)
            .await;
    let read = &reads["calls"][0];
    assert_eq!(
        (&read["target"], &read["principal"], &read["outcome"]),
        (&json!("vault:team/acme"), &json!("hub"), &json!("ok")),
        "{reads}"
    );
    let (_, metrics) =
        (0, hub.http(Method::GET, "/metrics", &Value::Null).await.unwrap().text().await.unwrap());
    assert!(!metrics.contains("kind=\"secret\""), "nobody called anything: {metrics}");

    // Away: the last value goes on. The record, the view and the doctor say so.
    vault.seal().await;
    hub.until("it is told", async || {
        let (_, list) = ask(&hub, Method::GET, "/api/v1/connections/acme/credentials", &Value::Null).await;
        let one = &list["credentials"][0];
        anyhow::ensure!(one["read_error"].as_str().is_some_and(|why| why.contains("sealed")), "{list}");
        anyhow::ensure!(one["last_read_at"].is_i64(), "{list}");
        Ok(())
    })
    .await
    .unwrap();
    let (status, said) = call(&hub, "acme").await;
    assert_eq!((status, vendor.last().as_str()), (200, "Bearer canary-two"), "{said}");
    let doctor = run(&hub, &["doctor", "--json"]);
    assert!(doctor.contains("vault:team/acme#key: Vault is sealed"), "{doctor}");
    let failed = run(&hub, &["calls", "--secrets", "--search", "the value before it is in use", "--json"]);
    assert!(failed.contains("vault:team/acme") && failed.contains("sealed"), "{failed}");
    vault.unseal().await;

    let told = [hub.log(), failed, doctor, run(&hub, &["export", "--connections"]), reads.to_string()];
    for text in &told {
        assert!(!text.contains("canary"), "{text}");
    }
    assert!(!files_hold(hub.folder(), "canary"), "a value is in a file");

    let (status, _) = ask(&hub, Method::DELETE, FIELD, &Value::Null).await;
    assert_eq!(status, 204);
    let calls = vendor.seen.lock().unwrap().len();
    assert!(call(&hub, "acme").await.0 >= 400);
    assert_eq!(vendor.seen.lock().unwrap().len(), calls, "what was removed was used");
}

#[tokio::test]
async fn what_the_file_has_not_opened_cannot_be_named() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    for path in ["team/acme", "teams", "hub"] {
        vault.put(path, json!({ "key": "canary-one" })).await;
    }
    let hub = Hub::start(&config(&vault, &json!({})).to_string()).await.unwrap();
    make(&hub, &vendor).await;
    for (reference, words) in [
        ("vault:hub#key", "from_api"),
        ("vault:secret/data/hub#key", "from_api"),
        ("vault:teams#key", "from_api"),
        ("vault:other/data/team/acme#key", "from_api"),
        ("vault:team/../hub#key", "is none"),
        ("aws-sm:team/acme#key", "from_api"),
        ("file:/etc/hostname", "is none"),
        ("HOME", "is none"),
        ("${vault:team/acme#key}", "without `${}`"),
    ] {
        let (status, refused) = name(&hub, reference).await;
        assert_eq!(status, if words == "from_api" { 403 } else { 422 }, "{reference}: {refused}");
        assert!(refused.to_string().contains(words), "{reference}: {refused}");
    }
    let both = json!({ "reference": "vault:team/acme#key", "value": "x" });
    let (status, refused) = ask(&hub, Method::PUT, FIELD, &both).await;
    assert!(status == 422 && refused["detail"].as_str().unwrap().starts_with("reference:"), "{refused}");
    assert_eq!(ask(&hub, Method::PUT, FIELD, &json!({})).await.0, 422);
    let late = json!({ "reference": "vault:team/acme#key", "overlap_ms": 1000 });
    assert_eq!(ask(&hub, Method::PUT, FIELD, &late).await.0, 422);
    let (_, list) = ask(&hub, Method::GET, "/api/v1/connections/acme/credentials", &Value::Null).await;
    assert_eq!(list["credentials"], json!([]), "nothing of it was stored");
    let (_, reads) = ask(&hub, Method::GET, "/api/v1/calls?kind=secret", &Value::Null).await;
    assert_eq!(reads["calls"], json!([]), "nothing was read");

    let body = json!({ "integration": "rest", "name": "Own", "auth_method": "api_key", "egress_private": true,
        "is_per_user": true, "connection_config": { "base_url": vendor.url, "test_path": "me" } });
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &body).await.0, 201);
    let own = FIELD.replace("acme", "own");
    let (status, refused) =
        ask(&hub, Method::PUT, &own, &json!({ "reference": "vault:team/acme#key" })).await;
    assert!(status == 422 && refused.to_string().contains("of your own is a value"), "{refused}");

    // With leave, the client is what all share.
    let body = json!({ "integration": "rest", "name": "Leave", "auth_method": "oauth", "egress_private": true,
        "is_per_user": true, "connection_config": { "base_url": vendor.url, "test_path": "me",
            "token_url": format!("{}/token", vendor.url), "authorize_url": format!("{}/auth", vendor.url) } });
    assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &body).await.0, 201);
    let client = "/api/v1/connections/leave/credentials/auth.credentials.client_secret";
    let (status, stored) =
        ask(&hub, Method::PUT, client, &json!({ "reference": "vault:team/acme#key" })).await;
    assert!(status == 200 && stored["is_own"] == false && stored["last_read_at"].is_i64(), "{stored}");

    // What is stored as a value is that value, whatever it looks like: nothing is looked up for it.
    let secret = hub.folder().join("secret");
    std::fs::write(&secret, "canary-file").unwrap();
    let file = format!("${{file:{}}}", secret.display());
    for value in [&file, "${vault:team/acme#key}", "${HOME}", "$${HOME}", "${"] {
        let (status, stored) = ask(&hub, Method::PUT, FIELD, &json!({ "value": value })).await;
        assert_eq!((status, &stored["reference"]), (200, &Value::Null), "{stored}");
        let connected = connect(&hub).await;
        assert_eq!(connected["is_ok"], true, "{value}: {connected}");
        shown(&hub, &vendor, "acme", value).await;
    }
    let seen = vendor.seen.lock().unwrap().join(" ");
    assert!(!seen.contains("canary"), "{seen}");
}

#[tokio::test]
async fn the_reload_takes_other_sources_and_what_they_open() {
    let (vendor, old, new) = (Vendor::start(), Vault::start("").await, Vault::start("").await);
    old.put("team/acme", json!({ "key": "canary-old" })).await;
    new.put("team/acme", json!({ "key": "canary-new" })).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        std::fs::write(folder.path().join(name), token).unwrap();
        format!("${{file:{}}}", folder.path().join(name).display())
    };
    let (wrong, right) = (file("wrong", "over"), file("right", "root"));
    let said = |vault: &Vault, token: &str, opened: &[&str]| {
        let vault = json!({ "address": vault.url, "token": token, "from_api": opened });
        let mut config = config(&old, &json!({ "vault": vault }));
        config["integrations"]["filed"] = vendor.entry("${vault:team/acme#key}");
        config
    };
    let hub = Hub::start(&said(&old, &wrong, &["team/*"]).to_string()).await.unwrap();
    make(&hub, &vendor).await;
    let (status, stored) = name(&hub, "vault:team/acme#key").await;
    assert!(
        status == 200 && stored["read_error"].as_str().unwrap().contains("does not take the token"),
        "{stored}"
    );
    let refused = connect(&hub).await;
    assert!(refused["is_ok"] == false && refused.to_string().contains("vault:team/acme#key"), "{refused}");

    write(&hub, &said(&old, &right, &["team/*"]));
    shown(&hub, &vendor, "filed", "canary-old").await;
    let connected = connect(&hub).await;
    assert_eq!(connected["is_ok"], true, "{connected}");
    shown(&hub, &vendor, "acme", "canary-old").await;
    write(&hub, &said(&new, &right, &["team/*"]));
    shown(&hub, &vendor, "acme", "canary-new").await;
    shown(&hub, &vendor, "filed", "canary-new").await;
    assert!(!hub.log().contains("with the next start"), "{}", hub.log());

    // Closed again: at once, whatever is held.
    write(&hub, &said(&new, &right, &["team/other"]));
    ends(&hub, &vendor, "acme", "from_api").await;
    shown(&hub, &vendor, "filed", "canary-new").await;
    write(&hub, &said(&new, &right, &["team/acme"]));
    shown(&hub, &vendor, "acme", "canary-new").await;

    // Taken out of the file: nothing goes on with what it kept.
    let mut without = said(&new, &right, &[]);
    without["secrets"].as_object_mut().unwrap().remove("vault");
    write(&hub, &without);
    ends(&hub, &vendor, "acme", "from_api").await;
    ends(&hub, &vendor, "filed", "declares no Vault").await;
}

#[tokio::test]
async fn a_source_that_is_away_for_too_long_ends_the_connection_until_it_is_back() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    vault.put("team/acme", json!({ "key": "canary-one" })).await;
    let hub = Hub::start(&config(&vault, &json!({ "stale": 0 })).to_string()).await.unwrap();
    make(&hub, &vendor).await;
    name(&hub, "vault:team/acme#key").await;
    assert_eq!(connect(&hub).await["is_ok"], true);
    shown(&hub, &vendor, "acme", "canary-one").await;
    vault.seal().await;
    ends(&hub, &vendor, "acme", "vault:team/acme#key").await;
    vault.unseal().await;
    shown(&hub, &vendor, "acme", "canary-one").await;
    vault.ask(Method::DELETE, "secret/data/team/acme", json!({})).await;
    ends(&hub, &vendor, "acme", "has been deleted").await;
}

#[tokio::test]
async fn a_document_carries_names_as_they_are() {
    let (vendor, vault) = (Vendor::start(), Vault::start("").await);
    vault.put("team/acme", json!({ "key": "canary-one" })).await;
    let hub = Hub::start(&config(&vault, &json!({})).to_string()).await.unwrap();
    make(&hub, &vendor).await;
    name(&hub, "vault:team/acme#key").await;
    let (_, document) = ask(&hub, Method::GET, "/api/v1/export", &Value::Null).await;
    let names = json!({ "auth.credentials.key": "vault:team/acme#key" });
    assert_eq!(document["connections"][0]["references"], names, "{document}");

    let other = Hub::start(&config(&vault, &json!({})).to_string()).await.unwrap();
    let import = json!({ "document": document });
    for made in [1, 0] {
        let (status, report) = ask(&other, Method::POST, "/api/v1/import", &import).await;
        assert_eq!((status, &report["made"], &report["failed"]), (200, &json!(made), &json!(0)), "{report}");
    }
    assert_eq!(connect(&other).await["is_ok"], true);
    shown(&other, &vendor, "acme", "canary-one").await;

    let closed = Hub::start("integrations: {}\n").await.unwrap();
    let (_, report) = ask(&closed, Method::POST, "/api/v1/import", &import).await;
    assert!(report["failed"] == 1 && report.to_string().contains("from_api"), "{report}");
    let (_, none) = ask(&closed, Method::GET, "/api/v1/connections/acme", &Value::Null).await;
    assert_eq!(none, Value::Null, "it is there whole or not at all");
}

#[tokio::test]
async fn a_stored_connection_uses_what_aws_keeps() {
    let vendor = Vendor::start();
    let moto = Moto::start();
    let url = &moto.url;
    let config = json!({ "secrets": { "ttl": 1, "aws": { "region": "eu-central-1", "endpoint": url,
        "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "x", "from_api": ["prod/*"] } },
        "integrations": {} });
    let hub = Hub::start(&config.to_string()).await.unwrap();
    hub.until("moto listens", async || {
        moto.ask("CreateSecret", json!({ "Name": "prod/acme", "SecretString": "canary-one" })).await
    })
    .await
    .unwrap();
    make(&hub, &vendor).await;
    assert_eq!(name(&hub, "aws-sm:staging/acme").await.0, 403);
    let said = run(
        &hub,
        &["connection", "rotate", "acme", "auth.credentials.key", "--reference", "aws-sm:prod/acme"],
    );
    assert!(said.contains("stored auth.credentials.key") && !said.contains("cannot be read"), "{said}");
    assert_eq!(connect(&hub).await["is_ok"], true);
    shown(&hub, &vendor, "acme", "canary-one").await;
    moto.ask("PutSecretValue", json!({ "SecretId": "prod/acme", "SecretString": "canary-two" }))
        .await
        .unwrap();
    shown(&hub, &vendor, "acme", "canary-two").await;
    let list = run(&hub, &["connection", "credentials", "acme"]);
    assert!(list.contains("aws-sm:prod/acme") && !list.contains("canary"), "{list}");
}
