//! Two nodes and one token; answers that never came; providers that say no.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use connector::credentials::Credentials;
use connector::oauth::{
    ClientProof, Keeper, KeeperParts, Own, Provider, ResponsePaths, TOKENS_FIELD, TokenSet, Tokens as _,
};
use credential::SystemEntropy;
use model::{Clock, Code, Secret, Timestamp};
use outbound::{EgressRule, Route};
use store::Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::scene::{KEY, NOW, Scene};

/// A token endpoint that answers what it is given, in order, and remembers what it was asked.
struct Endpoint {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn endpoint(answers: &[&str]) -> Endpoint {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut left: VecDeque<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.contains("client_secret=") {
                match socket.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                }
            }
            told.lock().unwrap().push(text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned());
            let answer = left.pop_front().unwrap_or_else(|| "500 {}".to_owned());
            // The request was taken, and nothing comes back.
            let Some((status, body)) = answer.split_once(' ').filter(|(status, _)| *status != "hang") else {
                continue;
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            // A while, so that the other node comes in between.
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let _ = socket.write_all(head.as_bytes()).await;
        }
    });
    Endpoint { url, asked }
}

impl Endpoint {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A hub of its own on the same store.
fn node(scene: &Scene, credentials: &Arc<Credentials>, url: &str, own: Own) -> Keeper {
    let provider = Provider {
        name: "Acme".to_owned(),
        authorization_url: String::new(),
        token_url: url.to_owned(),
        device_url: None,
        client_id: "hub".to_owned(),
        client_secret: Some(Secret::new("hush".to_owned())),
        client: ClientProof::Body,
        client_assertion: None,
        scope: String::new(),
        authorization_params: Vec::new(),
        token_params: Vec::new(),
        is_pkce: true,
        response: ResponsePaths::default(),
        expires_in_s: None,
        refresh_before_s: 60,
        is_json: false,
        issuer: None,
        route: Route::new(EgressRule { private_allowed: true }, std::time::Duration::from_secs(5)),
    };
    let store = Arc::clone(&scene.store) as Arc<dyn Store>;
    let parts = KeeperParts {
        user: None,
        stored: Some((store, Arc::clone(credentials), scene.connection.clone())),
        clock: Arc::clone(&scene.clock) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy),
    };
    Keeper::new(provider, own, "acme".to_owned(), parts)
}

fn token(access: &str, refresh: &str) -> TokenSet {
    TokenSet {
        access: Secret::new(access.to_owned()),
        refresh: Some(Secret::new(refresh.to_owned())),
        issued_at: NOW,
        expires_at: Some(Timestamp(NOW.0 + 3_600_000)),
        scope: None,
        kept: BTreeMap::new(),
        wanted: None,
        renewing_since: None,
        dead: None,
    }
}

#[tokio::test]
async fn two_nodes_renew_once() {
    let scene = Scene::new().await;
    let credentials = Arc::new(scene.credentials(KEY));
    let provider = endpoint(&[r#"200 {"access_token":"a2","refresh_token":"r2","expires_in":3600}"#]).await;
    let one = node(&scene, &credentials, &provider.url, Own::Leave);
    let other = node(&scene, &credentials, &provider.url, Own::Leave);
    one.put(token("a1", "r1")).await.unwrap();
    assert_eq!(other.current().await.unwrap().expose(), "a1");

    scene.clock.advance_ms(3_590_000);
    let (a, b) = tokio::join!(one.current(), other.current());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!((a.expose(), b.expose()), ("a2", "a2"));
    assert_eq!(provider.asked().len(), 1);
    assert!(provider.asked()[0].contains("refresh_token=r1"));
    // And what one was refused with is not renewed again when another token has come in its place.
    assert_eq!(other.renew(&Secret::new("a1".to_owned())).await.unwrap().expose(), "a2");
    assert_eq!(provider.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_was_lost_ends_in_a_link_and_says_why() {
    let scene = Scene::new().await;
    let credentials = Arc::new(scene.credentials(KEY));
    let refused = r#"400 {"error":"invalid_grant","error_description":"used twice"}"#;
    let provider = endpoint(&["hang up", refused]).await;
    let before = node(&scene, &credentials, &provider.url, Own::Leave);
    before.put(token("a1", "r1")).await.unwrap();
    scene.clock.advance_ms(3_590_000);
    // It is still good for ten seconds: it is used, and nothing is told to whoever calls.
    assert_eq!(before.current().await.unwrap().expose(), "a1");

    // Another process, as after a crash: the beginning of the renewal is on record.
    let after = node(&scene, &credentials, &provider.url, Own::Leave);
    scene.clock.advance_ms(60_000);
    let fault = after.current().await.unwrap_err();
    assert_eq!(fault.code, Code::LEAVE_NEEDED);
    assert!(fault.detail.contains("cut off") && fault.detail.contains("used twice"), "{}", fault.detail);
    // The provider is not asked again; giving leave again mends it, on every node.
    assert_eq!(after.current().await.unwrap_err().code, Code::LEAVE_NEEDED);
    assert_eq!(provider.asked().len(), 2);
    let again = TokenSet { expires_at: None, ..token("a3", "r3") };
    node(&scene, &credentials, &provider.url, Own::Leave).put(again).await.unwrap();
    assert_eq!(after.current().await.unwrap().expose(), "a3");
}

#[tokio::test]
async fn trouble_that_passes_loses_nothing_and_is_not_hammered() {
    let scene = Scene::new().await;
    let credentials = Arc::new(scene.credentials(KEY));
    let provider = endpoint(&["503 {}", r#"200 {"access_token":"a2","expires_in":3600}"#]).await;
    let node = node(&scene, &credentials, &provider.url, Own::Leave);
    node.put(token("a1", "r1")).await.unwrap();
    scene.clock.advance_ms(3_600_001);
    for _ in 0..3 {
        assert_eq!(node.current().await.unwrap_err().code, Code::UNREACHABLE);
    }
    assert_eq!(provider.asked().len(), 1, "not asked again at once");
    scene.clock.advance_ms(30_001);
    assert_eq!(node.current().await.unwrap().expose(), "a2");
    // No other refresh token came: the old one stays.
    let stored = credentials.open(&scene.connection).await.unwrap();
    let stored = TokenSet::from_secret(&stored[TOKENS_FIELD]).unwrap();
    assert_eq!(stored.refresh.unwrap().expose(), "r1");
    assert!(stored.renewing_since.is_none());
}

#[tokio::test]
async fn without_leave_nothing_is_asked_and_a_wrong_client_is_told_apart() {
    let scene = Scene::new().await;
    let credentials = Arc::new(scene.credentials(KEY));
    let provider = endpoint(&[r#"401 {"error":"invalid_client"}"#]).await;
    let fault = node(&scene, &credentials, &provider.url, Own::Leave).current().await.unwrap_err();
    assert_eq!(fault.code, Code::LEAVE_NEEDED);
    assert!(fault.hint.contains("connection authorize acme"), "{}", fault.hint);
    assert!(provider.asked().is_empty());
    let fault = node(&scene, &credentials, &provider.url, Own::Client).current().await.unwrap_err();
    assert_eq!(fault.code, Code::UPSTREAM_REFUSED);
    assert!(!fault.detail.contains("hush"), "{}", fault.detail);
}
