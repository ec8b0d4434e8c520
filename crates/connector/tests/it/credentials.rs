//! Credentials over a real store: sealed, opened in their own place only, rotated online, and resumed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connector::credentials::{Credentials, NewCredential};
use connector::sources::{External, Lasting, Opening, SignIn, Sources, Systems, Vault, VaultSettings};
use model::{Code, Secret, Timestamp};
use outbound::{EgressRule, Route};
use store::{CredentialCommand, Credentials as _, DataKeys, Replaces};
use uuid::Uuid;

use crate::scene::{KEY, NOW, OTHER, Scene, connection};

fn new(field: &str, value: &str) -> NewCredential {
    let value = Secret::new(value.to_owned());
    NewCredential { field: field.to_owned(), user: None, value, expires_at: None, overlap_ms: 0 }
}

#[tokio::test]
async fn what_is_stored_is_sealed_and_opens_for_its_connection() {
    let scene = Scene::new().await;
    let credentials = scene.credentials(KEY);
    assert!(!credentials.put(&scene.connection, new("auth.key", "canary-value-1")).await.unwrap());
    let opened = credentials.open(&scene.connection).await.unwrap();
    assert_eq!(opened["auth.key"].expose(), "canary-value-1");
    let row = credentials.rows(&scene.connection).await.unwrap().remove(0);
    assert!(!row.sealed.windows(6).any(|bytes| bytes == b"canary"));
    assert_eq!(row.last_four, "ue-1");

    // Another hub with the same master key opens it, one with another does not.
    assert!(scene.credentials(KEY).open(&scene.connection).await.is_ok());
    let fault = scene.credentials(OTHER).open(&scene.connection).await.unwrap_err();
    assert!(!fault.to_string().contains("canary"), "{fault}");

    // Moved to another connection's row it stays shut.
    let thief = connection(scene.owner, 11, "thief");
    scene.add(&thief).await;
    let mut moved = row.clone();
    moved.connection = thief.id;
    moved.id = model::id::CredentialId::from_uuid(Uuid::from_u128(99));
    scene.store.put_credential(moved, Replaces::Nothing).await.unwrap();
    assert!(credentials.open(&thief).await.is_err());
    let all = credentials.open_all(scene.owner.workspace, &HashMap::new()).await.unwrap();
    assert!(all.shared[&scene.connection.id].is_ok(), "one that does not open holds up no other");
    assert!(all.shared[&thief.id].is_err());
}

#[tokio::test]
async fn a_successor_takes_the_place_and_the_old_value_is_kept_for_the_overlap() {
    let scene = Scene::new().await;
    let credentials = scene.credentials(KEY);
    credentials.put(&scene.connection, new("f", "old")).await.unwrap();
    let successor = NewCredential { overlap_ms: 1_000, ..new("f", "new") };
    assert!(credentials.put(&scene.connection, successor).await.unwrap());
    assert_eq!(credentials.open(&scene.connection).await.unwrap()["f"].expose(), "new");
    let row = credentials.rows(&scene.connection).await.unwrap().remove(0);
    assert_eq!(row.previous.unwrap().overlap_until, Timestamp(NOW.0 + 1_000));
    assert_eq!(row.last_rotated_at, Some(NOW));
    let drop =
        CredentialCommand::DropPrevious { workspace: scene.owner.workspace, now: Timestamp(NOW.0 + 1_000) };
    scene.store.change_credential(drop).await.unwrap();
    assert!(credentials.rows(&scene.connection).await.unwrap()[0].previous.is_none());
}

#[tokio::test]
async fn an_expired_value_is_refused_here_and_says_so() {
    let scene = Scene::new().await;
    let credentials = scene.credentials(KEY);
    let short = NewCredential { expires_at: Some(Timestamp(NOW.0 + 10)), ..new("f", "value") };
    credentials.put(&scene.connection, short).await.unwrap();
    assert!(credentials.open(&scene.connection).await.is_ok());
    scene.clock.advance_ms(10);
    let fault = credentials.open(&scene.connection).await.unwrap_err();
    assert!(fault.detail.contains("`f` has expired"), "{fault}");
}

#[tokio::test]
async fn bad_values_are_refused_with_the_limit_and_store_nothing() {
    let scene = Scene::new().await;
    let credentials = scene.credentials(KEY);
    for value in [String::new(), "x".repeat(40_000), "a\0b".to_owned()] {
        let fault = credentials.put(&scene.connection, new("f", &value)).await.unwrap_err();
        assert!(fault.detail.contains("1 to 32768"), "{fault}");
    }
    assert!(credentials.rows(&scene.connection).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_rotation_ends_with_nothing_under_the_old_key_and_can_be_cut_off_anywhere() {
    let scene = Scene::new().await;
    let credentials = Arc::new(scene.credentials(KEY));
    for n in 0..450 {
        credentials.put(&scene.connection, new(&format!("f{n}"), &format!("value {n}"))).await.unwrap();
    }
    // Cut off in the middle: the future is dropped when some are done.
    let done = Arc::new(AtomicU64::new(0));
    let (seen, reached) = (Arc::clone(&done), Arc::new(tokio::sync::Notify::new()));
    let signal = Arc::clone(&reached);
    let progress = move |count: u64, _total: u64| {
        seen.store(count, Ordering::SeqCst);
        if count > 0 {
            signal.notify_one();
        }
    };
    let workspace = scene.owner.workspace;
    let rotating = {
        let credentials = Arc::clone(&credentials);
        tokio::spawn(async move { credentials.rotate_data_key(workspace, &progress).await })
    };
    reached.notified().await;
    rotating.abort();
    let _ = rotating.await;

    // Whatever was done, everything opens, with a hub that knows nothing of it.
    let other = scene.credentials(KEY);
    let opened = other.open(&scene.connection).await.unwrap();
    assert_eq!((opened.len(), opened["f449"].expose()), (450, "value 449"));

    let rotated = other.rotate_data_key(workspace, &|_, _| {}).await.unwrap();
    assert_eq!(rotated.counts.iter().filter(|(_, count)| *count > 0).count(), 1, "{rotated:?}");
    assert_eq!(rotated.counts.iter().map(|(_, count)| count).sum::<u64>(), 450);
    let again = other.rotate_data_key(workspace, &|_, _| {}).await.unwrap();
    assert_eq!((again.resealed, again.version), (450, rotated.version + 1), "a whole one makes another key");
    assert_eq!(credentials.open(&scene.connection).await.unwrap()["f7"].expose(), "value 7");
    assert_eq!(scene.store.list_data_keys(workspace).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_stored_during_a_rotation_is_not_undone_by_it() {
    let scene = Scene::new().await;
    let credentials = Arc::new(scene.credentials(KEY));
    credentials.put(&scene.connection, new("f", "before")).await.unwrap();
    let workspace = scene.owner.workspace;
    let (rotating, storing) = tokio::join!(
        credentials.rotate_data_key(workspace, &|_, _| {}),
        credentials.put(&scene.connection, new("f", "during")),
    );
    rotating.unwrap();
    if storing.is_ok() {
        assert_eq!(credentials.open(&scene.connection).await.unwrap()["f"].expose(), "during");
    } else {
        assert_eq!(credentials.open(&scene.connection).await.unwrap()["f"].expose(), "before");
    }
}

/// Sources of a Vault that nobody asks, with what may be named there.
fn sources(scene: &Scene, opened: &[&str]) -> Sources {
    let vault = VaultSettings {
        address: "http://127.0.0.1:9".to_owned(),
        namespace: None,
        mount: "secret".to_owned(),
        sign_in: SignIn::Token(Secret::new("t")),
        resolve: Box::new(|text| Ok(text.clone())),
        route: Route::builder(EgressRule { private_allowed: false }).build().unwrap(),
    };
    let systems = Systems {
        vault: Some(Vault::new(vault)),
        aws: None,
        lasting: Lasting { ttl: Duration::from_secs(60), stale: Duration::ZERO },
        vault_opening: Opening(opened.iter().map(|one| (*one).to_owned()).collect()),
        aws_opening: Opening::default(),
    };
    Sources::new(systems, None, Arc::clone(&scene.clock) as _)
}

#[tokio::test]
async fn a_name_is_no_value_and_no_value_is_a_name() {
    let scene = Scene::new().await;
    let credentials = scene.credentials(KEY);
    let name = External::parse("vault:team/acme#key").unwrap();
    let put = async |credentials: &Credentials, field: &str| {
        credentials.put_reference(&scene.connection, field.to_owned(), &name).await
    };
    assert!(put(&credentials, "f").await.is_err(), "no hub, no sources");
    let closed = scene.credentials(KEY);
    closed.refer_to(sources(&scene, &["team/other", "teams/*"]));
    assert_eq!(put(&closed, "f").await.unwrap_err().code, Code::FORBIDDEN);
    assert!(credentials.rows(&scene.connection).await.unwrap().is_empty());

    credentials.refer_to(sources(&scene, &["secret/data/team/*"]));
    assert!(!put(&credentials, "f").await.unwrap());
    credentials.put(&scene.connection, new("looks", "vault:team/acme#key")).await.unwrap();
    credentials.put(&scene.connection, new("like", "${vault:team/acme#key}")).await.unwrap();
    assert!(credentials.put(&scene.connection, new("nul", "\0vault:team/acme#key")).await.is_err());
    credentials.rotate_data_key(scene.owner.workspace, &|_, _| {}).await.unwrap();
    let references = credentials.references(&scene.connection).await.unwrap();
    assert_eq!(references.into_iter().collect::<Vec<_>>(), [("f".to_owned(), name.clone())]);
    let carried: Vec<String> = credentials.carried(&scene.connection).await.unwrap().into_keys().collect();
    assert_eq!(carried, ["like", "looks"], "a name goes by itself");
    let rows = credentials.rows(&scene.connection).await.unwrap();
    let row = rows.iter().find(|row| row.field == "f").unwrap();
    assert_eq!(row.last_four, "");

    // The one whose file has closed it since has the name, and no value.
    assert!(closed.reference_of(row).await.unwrap().unwrap().1.failure.unwrap().hint.contains("from_api"));
    let named = HashMap::from([(scene.connection.id, scene.connection.key.clone())]);
    let all = closed.open_all(scene.owner.workspace, &named).await.unwrap();
    assert!(all.shared[&scene.connection.id].is_err() && all.starved.contains(&scene.connection.id));
    // A value takes the place of the name.
    assert!(credentials.put(&scene.connection, new("f", "value")).await.unwrap());
    let opened = closed.open(&scene.connection).await.unwrap();
    assert_eq!((opened["f"].expose(), opened["like"].expose()), ("value", "${vault:team/acme#key}"));
}
