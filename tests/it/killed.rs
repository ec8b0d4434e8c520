//! A hub that is killed again and again in the middle of something long: what was acknowledged is there, and
//! the next run finishes the rest.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use testkit::hub::Hub;
use testkit::program::{Program, Signal};

/// Enough for every one of these to take a while.
const CONNECTIONS: usize = 60;
const PASSPHRASE: &str = "correct horse battery staple";
/// In how many places of its run each is killed.
const KILLS: u32 = 4;

async fn ask(hub: &Hub, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let reply = hub.http(method, path, body).await.unwrap();
    (reply.status.as_u16(), serde_json::from_str(&reply.text().await.unwrap()).unwrap_or_default())
}

fn name(n: usize) -> String {
    format!("c{n:03}")
}

/// A hub with many connections, each with a credential.
async fn furnished() -> Hub {
    let hub = Hub::start("integrations: {}\n").await.unwrap();
    for n in 0..CONNECTIONS {
        let one = json!({ "integration": "rest", "name": name(n), "auth_method": "api_key",
            "connection_config": { "base_url": "https://api.example.com" } });
        assert_eq!(ask(&hub, Method::POST, "/api/v1/connections", &one).await.0, 201);
        let path = format!("/api/v1/connections/{}/credentials/auth.credentials.key", name(n));
        let value = json!({ "value": format!("secret-of-{}", name(n)) });
        assert!(ask(&hub, Method::PUT, &path, &value).await.0 < 300);
    }
    hub
}

/// Everything that was made, with every secret opened and sealed anew.
async fn whole(hub: &Hub) -> Value {
    let body = json!({ "passphrase": PASSPHRASE });
    let (status, document) = ask(hub, Method::POST, "/api/v1/export", &body).await;
    assert_eq!(status, 200, "a secret does not open: {document}");
    assert_eq!(document["connections"].as_array().unwrap().len(), CONNECTIONS);
    document
}

async fn kill(hub: &mut Hub) {
    hub.program().signal(Signal::KILL).unwrap();
    hub.restart().await.unwrap();
}

/// Asks for something, kills the hub `after` that, and starts it again.
async fn kill_amid(hub: &mut Hub, after: Duration, path: &str, body: &Value) {
    let asked = tokio::time::timeout(after, hub.http(Method::POST, path, body)).await;
    kill(hub).await;
    drop(asked);
}

#[tokio::test]
async fn a_rotation_of_the_data_key_and_a_bulk_import_go_on_where_they_were_cut_off() {
    let mut hub = furnished().await;
    let document = whole(&hub).await;
    let rotate = "/api/v1/data-keys/rotate";
    let begun = tokio::time::Instant::now();
    let (status, rotated) = ask(&hub, Method::POST, rotate, &json!({})).await;
    assert_eq!(status, 200, "{rotated}");
    let took = begun.elapsed();
    for n in 0..KILLS {
        kill_amid(&mut hub, took * n / KILLS, rotate, &json!({})).await;
        whole(&hub).await;
    }
    let (status, rotated) = ask(&hub, Method::POST, rotate, &json!({})).await;
    assert_eq!((status, &rotated["remaining"]), (200, &json!(0)), "{rotated}");
    whole(&hub).await;

    let mut other = Hub::start("integrations: {}\n").await.unwrap();
    let import = json!({ "document": document, "passphrase": PASSPHRASE });
    let mut there = 0;
    for n in 1..=KILLS {
        kill_amid(&mut other, took * n / KILLS, "/api/v1/import", &import).await;
        let (_, page) = ask(&other, Method::GET, "/api/v1/stats", &Value::Null).await;
        let now = page["total"].as_u64().unwrap();
        assert!(now >= there, "what was there is gone: {there}, then {page}");
        there = now;
    }
    let (status, done) = ask(&other, Method::POST, "/api/v1/import", &import).await;
    assert_eq!((status, &done["failed"]), (200, &json!(0)), "{done}");
    let copy = whole(&other).await;
    assert_eq!(copy["connections"], document["connections"]);
    for n in [0, CONNECTIONS / 2, CONNECTIONS - 1] {
        let path = format!("/api/v1/connections/{}/credentials", name(n));
        let (_, told) = ask(&other, Method::GET, &path, &Value::Null).await;
        let last_four = name(n);
        assert_eq!(told["credentials"][0]["last_four"], last_four, "{told}");
    }
}

#[tokio::test]
async fn a_new_master_key_and_a_new_store_are_reached_over_any_number_of_kills() {
    let mut hub = furnished().await;
    hub.program().stop().unwrap();
    let data = hub.folder().join("data");
    let new_key = hub.folder().join("new.key");
    let elsewhere = hub.folder().join("elsewhere/trunkline.db");
    let to = format!("sqlite:{}", elsewhere.display());
    let rotate = ["key", "rotate-master", "--new-key-file", new_key.to_str().unwrap()];
    let migrate = ["migrate", "--to", to.as_str()];
    for verb in [&rotate[..], &migrate[..]] {
        for n in 0..KILLS {
            let mut command = hub.command(verb).unwrap();
            command.env("TRUNKLINE_DATA", &data);
            let program = Program::start(command).unwrap();
            tokio::time::sleep(Duration::from_millis(u64::from(n) * 25)).await;
            let _ = program.signal(Signal::KILL);
            drop(program);
        }
        let mut command = hub.command(verb).unwrap();
        let done = command.env("TRUNKLINE_DATA", &data).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        // One that was not killed in time has done it all: then there is nothing left to do.
        assert!(done.status.success() || said.contains("not empty"), "{verb:?}: {said}");
    }
    hub.restart().await.unwrap();
    let document = whole(&hub).await;
    // The copy is as whole as what it was made of.
    std::fs::rename(&data, hub.folder().join("before")).unwrap();
    std::fs::create_dir(&data).unwrap();
    // A start that was killed between two steps of the schema leaves copies from before them in a folder.
    let files = std::fs::read_dir(hub.folder().join("elsewhere")).unwrap().flatten();
    for file in files.filter(|entry| entry.path().is_file()) {
        std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    // Keys do not move with a store.
    std::fs::copy(hub.folder().join("before/master.key"), data.join("master.key")).unwrap();
    hub.restart().await.unwrap();
    assert_eq!(whole(&hub).await["connections"], document["connections"]);
}
