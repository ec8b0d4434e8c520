//! Scenes of a file that changes under a running hub.

use std::path::Path;
use std::sync::Arc;

use api::Directory;
use call::Pipeline;
use connector::{Connector, Credentials};
use credential::{MasterKey, SystemEntropy};
use ledger::Recorder;
use model::id::WorkspaceId;
use model::{Code, ConnectionStatus, Key, SystemClock};
use store::{MemoryStore, Store};

use super::{Changes, Connections, Shelf};
use crate::config::hub::Limits;
use crate::config::{Config, parse};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn config(text: &str) -> Config {
    parse(Some(Path::new("trunkline.yaml")), text, &|_| None)
}

fn connections() -> Arc<Connections> {
    let clock = Arc::new(SystemClock::new());
    let entropy = Arc::new(SystemEntropy);
    let pipeline = Pipeline::new(call::Parts {
        clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
        entropy: Arc::clone(&entropy) as Arc<dyn model::Entropy>,
        recorder: Arc::new(Recorder::memory().unwrap()),
    });
    // Nothing here starts a program, so the guard has nothing to guard: reading its input is enough.
    let guard = process::Guard::start(Path::new("/bin/cat"), "-").unwrap();
    let parts = mcp_upstream::Parts {
        clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
        entropy: Arc::clone(&entropy) as Arc<dyn model::Entropy>,
        client: outbound::Client::new(),
        guard: Arc::new(guard),
        facts: None,
    };
    let workspace = WorkspaceId::new(&SystemClock::new(), &SystemEntropy);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let wrapping = MasterKey::parse(KEY, "test").unwrap().wrapping_key();
    let credentials = Credentials::new(
        Arc::clone(&store),
        wrapping,
        Arc::clone(&clock) as Arc<dyn model::Clock>,
        Arc::clone(&entropy) as Arc<dyn model::Entropy>,
    );
    let shelf = Shelf { store, credentials: Arc::new(credentials), manifests: Arc::default(), workspace };
    let apis = connector_http::Parts {
        clock,
        entropy,
        sealer: Arc::new(credential::AeadSealer::new(
            MasterKey::parse(KEY, "test").unwrap(),
            Arc::new(SystemEntropy),
        )),
    };
    Connections::new(pipeline, parts, apis, Limits::default(), shelf)
}

fn running(connections: &Connections, key: &str) -> Arc<dyn Connector> {
    Arc::clone(&connections.held().live[key].connector)
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn only_what_changed_is_touched() {
    let connections = connections();
    let first =
        "integrations:\n  a: { url: \"http://127.0.0.1:1/mcp\" }\n  b: { url: \"http://127.0.0.1:2/mcp\" }\n";
    assert_eq!(connections.apply(&config(first)).added, ["a", "b"]);
    let (a, b) = (running(&connections, "a"), running(&connections, "b"));

    assert_eq!(connections.apply(&config(&format!("# a comment\n{first}"))), Changes::default());
    assert!(Arc::ptr_eq(&a, &running(&connections, "a")));

    let second = first.replace(":2/", ":3/");
    assert_eq!(connections.apply(&config(&second)).changed, ["b"]);
    assert!(Arc::ptr_eq(&a, &running(&connections, "a")));
    assert!(!Arc::ptr_eq(&b, &running(&connections, "b")));

    let third = "integrations:\n  a: { url: \"http://127.0.0.1:1/mcp\" }\n";
    assert_eq!(connections.apply(&config(third)).removed, ["b"]);
    assert!(Arc::ptr_eq(&a, &running(&connections, "a")));
    connections.close().await;
}

#[tokio::test]
async fn a_broken_edit_keeps_what_ran_and_says_so_until_it_is_mended() {
    let connections = connections();
    let good = "integrations:\n  a: { url: \"http://127.0.0.1:1/mcp\" }\n";
    connections.apply(&config(good));
    let a = running(&connections, "a");

    let changes = connections
        .apply(&config("integrations:\n  a: { url: \"http://127.0.0.1:1/mcp\", timeout: soon }\n"));
    assert_eq!(changes, Changes { kept: names(&["a"]), ..Changes::default() });
    assert!(Arc::ptr_eq(&a, &running(&connections, "a")));
    let reason = connections.entries()[0].reason.clone().unwrap();
    assert!(reason.contains("trunkline.yaml:2:") && reason.contains("timeout"), "{reason}");

    assert_eq!(connections.apply(&config(good)), Changes::default());
    assert_eq!(connections.entries()[0].reason, None);
    connections.close().await;
}

#[tokio::test]
async fn entries_that_cannot_be_connected_stand_in_the_registry_with_their_reason() {
    let connections = connections();
    let text = "integrations:\n  later: { type: api, endpoint: \"https://x.example\" }\n  off: { command: x, enabled: false }\n  unset: { url: \"${NOPE}\" }\n";
    connections.apply(&config(text));
    let states: Vec<_> = connections.entries().into_iter().map(|entry| (entry.key, entry.status)).collect();
    assert_eq!(
        states,
        [
            ("later".to_owned(), ConnectionStatus::Configuring),
            ("off".to_owned(), ConnectionStatus::Disconnected),
            ("unset".to_owned(), ConnectionStatus::Error),
        ]
    );
    assert!(connections.entries().iter().all(|entry| entry.is_file_managed && entry.source.is_some()));
    let unset = connections.retest(&Key::from_config("unset").unwrap()).await.unwrap_err();
    assert!(unset.code == Code::MISCONFIGURED && unset.detail.contains("NOPE is not set"), "{unset}");
    let nobody = connections.retest(&Key::from_config("nobody").unwrap()).await.unwrap_err();
    assert_eq!(nobody.code, Code::NOT_FOUND);
}
