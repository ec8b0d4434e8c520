//! The life of an API key, seen by whoever presents it.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use credential::{KeyDigester, MasterKey, SystemEntropy};
use identity::{Identity, IdentityError, MadeKey, NewKey};
use model::id::{UserId, WorkspaceId};
use model::{Access, Clock, Code, ManualClock, Owner, Timestamp};
use store::{MemoryStore, NewOwner, Owners, Store, StoreError};

const PEPPER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Scene {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    owner: Owner,
    identity: Arc<Identity>,
}

fn digester() -> KeyDigester {
    MasterKey::parse(PEPPER, "test").unwrap().key_digester()
}

async fn scene() -> Scene {
    let clock = Arc::new(ManualClock::at(Timestamp(1_790_000_000_000)));
    let store = Arc::new(MemoryStore::new());
    let owner = Owner {
        workspace: WorkspaceId::new(&*clock, &SystemEntropy),
        user: UserId::new(&*clock, &SystemEntropy),
    };
    let new =
        NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: clock.now() };
    store.bootstrap_owner(new).await.unwrap();
    let identity = node(&store, &clock).await;
    Scene { store, clock, owner, identity }
}

/// A node of its own on the same store.
async fn node(store: &Arc<MemoryStore>, clock: &Arc<ManualClock>) -> Arc<Identity> {
    let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = (Arc::clone(store) as _, Arc::clone(clock) as _);
    Arc::new(Identity::load(store, digester(), clock, Arc::new(SystemEntropy)).await.unwrap())
}

impl Scene {
    fn new_key(&self, expires_at: Option<Timestamp>) -> NewKey {
        NewKey { owner: self.owner, name: " laptop ".into(), access: Access::everything(), expires_at }
    }

    async fn key(&self) -> MadeKey {
        self.identity.make_key(self.new_key(None)).await.unwrap()
    }

    fn opens(&self, key: &MadeKey) -> bool {
        self.identity.authenticate(key.secret.expose(), self.clock.now()).is_ok()
    }
}

#[tokio::test]
async fn a_new_key_names_its_caller_and_the_store_never_sees_it() {
    let scene = scene().await;
    let key = scene.key().await;
    let caller = scene.identity.authenticate(key.secret.expose(), scene.clock.now()).unwrap();
    assert_eq!(caller.owner, scene.owner);
    assert_eq!(caller.api_key, Some(key.row.id));
    assert_eq!(&*caller.principal, key.row.id.to_string());
    assert_eq!(*caller.access, Access::everything());
    assert_eq!(key.row.name, "laptop");
    assert_eq!(key.row.prefix, key.secret.expose()[..8]);
    let stored = format!("{:?}", scene.identity.list_keys(scene.owner.workspace).await.unwrap());
    assert!(!stored.contains(&key.secret.expose()[8..]) && !format!("{key:?}").contains(key.secret.expose()));
}

#[tokio::test]
async fn unknown_misspelt_revoked_and_expired_keys_get_one_and_the_same_answer() {
    let scene = scene().await;
    let now = scene.clock.now();
    let revoked = scene.key().await;
    scene.identity.revoke_key(scene.owner.workspace, revoked.row.id).await.unwrap();
    let expired = scene.identity.make_key(scene.new_key(Some(now))).await.unwrap();
    let unknown = format!("trk_{}", "A".repeat(43));
    let misspelt = scene.key().await.secret.expose().to_lowercase();
    let long = "x".repeat(1 << 20);
    let answers = [revoked.secret.expose(), expired.secret.expose(), &unknown, &misspelt, "", &long]
        .map(|presented| scene.identity.authenticate(presented, now).unwrap_err());
    assert_eq!(answers[0].code, Code::UNAUTHENTICATED);
    assert!(answers[0].hint.contains("trunkline key new"));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn revoking_works_from_the_next_call_on_and_for_that_key_only() {
    let scene = scene().await;
    let (lost, kept) = (scene.key().await, scene.key().await);
    assert!(scene.opens(&lost));
    scene.identity.revoke_key(scene.owner.workspace, lost.row.id).await.unwrap();
    assert!(!scene.opens(&lost) && scene.opens(&kept));
}

#[tokio::test]
async fn a_rotated_key_works_until_its_overlap_ends_and_never_longer_than_it_would_have() {
    let scene = scene().await;
    let end = scene.clock.now().plus_ms(50_000);
    let old = scene.identity.make_key(scene.new_key(Some(end))).await.unwrap();
    let new = scene.identity.rotate_key(scene.owner.workspace, old.row.id, 10_000).await.unwrap();
    assert_eq!((&new.row.name, &new.row.access), (&old.row.name, &old.row.access));
    assert_eq!(new.row.expires_at, Some(end));
    assert!(scene.opens(&old) && scene.opens(&new));
    scene.clock.advance_ms(9_999);
    assert!(scene.opens(&old));
    scene.clock.advance_ms(1);
    assert!(!scene.opens(&old) && scene.opens(&new));
    scene.clock.advance_ms(40_000);
    assert!(!scene.opens(&new));
}

#[tokio::test]
async fn another_workspace_can_neither_rotate_nor_revoke() {
    let scene = scene().await;
    let key = scene.key().await;
    let elsewhere = WorkspaceId::new(&*scene.clock, &SystemEntropy);
    let rotated = scene.identity.rotate_key(elsewhere, key.row.id, 0).await.map(drop);
    let revoked = scene.identity.revoke_key(elsewhere, key.row.id).await;
    for result in [rotated, revoked] {
        let error = result.unwrap_err();
        assert!(matches!(error, IdentityError::Store(StoreError::Missing { .. })));
        assert_eq!(error.fault().code, Code::NOT_FOUND);
    }
    assert!(scene.opens(&key));
}

#[tokio::test]
async fn what_one_node_makes_and_revokes_reaches_another_through_the_feed() {
    let scene = scene().await;
    let other = node(&scene.store, &scene.clock).await;
    let following = tokio::spawn(Arc::clone(&other).follow());
    let key = scene.key().await;
    let now = scene.clock.now();
    let eventually = async |expected: bool| {
        while other.authenticate(key.secret.expose(), now).is_ok() != expected {
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(10);
    tokio::time::timeout(deadline, eventually(true)).await.unwrap();
    scene.identity.revoke_key(scene.owner.workspace, key.row.id).await.unwrap();
    tokio::time::timeout(deadline, eventually(false)).await.unwrap();
    following.abort();
}

#[tokio::test]
async fn last_use_is_written_in_batches_and_survives_a_reload() {
    let scene = scene().await;
    let (used, idle) = (scene.key().await, scene.key().await);
    scene.clock.advance_ms(5_000);
    let at = scene.clock.now();
    assert!(scene.opens(&used));
    // A reload between use and flush must not lose the use.
    scene.identity.refresh().await.unwrap();
    scene.identity.flush_last_used().await.unwrap();
    let rows = scene.identity.list_keys(scene.owner.workspace).await.unwrap();
    let of = |key: &MadeKey| rows.iter().find(|row| row.id == key.row.id).unwrap().last_used_at;
    assert_eq!((of(&used), of(&idle)), (Some(at), None));
}

#[tokio::test]
async fn when_the_store_is_gone_known_keys_still_open() {
    let scene = scene().await;
    let key = scene.key().await;
    scene.store.close().await;
    assert!(scene.identity.refresh().await.is_err());
    assert!(scene.opens(&key));
}

#[tokio::test]
async fn unusable_names_and_endless_access_lists_are_refused_and_nothing_is_stored() {
    let scene = scene().await;
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        let mut new = scene.new_key(None);
        new.name = name.into();
        assert!(matches!(scene.identity.make_key(new).await, Err(IdentityError::BadName)));
    }
    for allow in [vec!["*".to_owned(); 257], vec!["x".repeat(257)], vec![String::new()]] {
        let mut new = scene.new_key(None);
        new.access.allow = allow;
        let error = scene.identity.make_key(new).await.unwrap_err();
        assert_eq!(error.fault().code, Code::BAD_ARGUMENTS);
    }
    assert!(scene.identity.list_keys(scene.owner.workspace).await.unwrap().is_empty());
}
