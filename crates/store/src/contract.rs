//! What every backend must do, as scenes. A backend's tests call [`contract_tests!`](crate::contract_tests)
//! once, with what makes an empty store; each scene becomes a test of its own there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code, compiled for the backends' tests only"
)]
#![allow(clippy::missing_panics_doc, reason = "a scene panics when the backend breaks its promise")]

mod api_keys;
mod facts;
mod transactions;

use std::sync::Arc;

use model::id::{ApiKeyId, UserId, WorkspaceId};
use model::{Access, Owner, Timestamp};
use uuid::Uuid;

use crate::{ApiKeyRow, NewOwner, Store};

pub use api_keys::*;
pub use facts::*;
pub use transactions::*;

/// Makes one test per scene. `$make` is an async function without arguments that answers with an
/// `Arc<dyn Store>` on an empty backend and whatever must outlive it (a folder, say).
#[macro_export]
macro_rules! contract_tests {
    ($make:path) => {
        $crate::contract_tests! { @ $make =>
            the_first_start_makes_one_owner_and_later_starts_find_it
            a_key_comes_back_as_it_was_stored
            a_key_of_an_unknown_owner_is_refused
            the_same_digest_or_id_is_not_stored_twice
            another_workspace_sees_and_changes_nothing
            a_revoked_key_keeps_its_first_time_and_leaves_the_live_ones
            a_rotated_key_overlaps_with_its_successor
            a_rotation_happens_whole_or_not_at_all
            last_use_only_moves_forward_and_wakes_nobody
            lists_put_keys_in_use_first_and_newest_first
            a_workspace_has_room_for_so_many_keys_in_use
            facts_are_remembered_replaced_and_forgotten
            a_fact_has_a_largest_size
            a_list_of_commands_happens_whole_or_not_at_all
            a_failing_write_does_not_disturb_those_beside_it
            many_writers_at_once_all_land
            the_feed_moves_with_every_commit_and_with_nothing_else
            a_closed_store_says_so
        }
    };
    (@ $make:path => $($scene:ident)*) => {$(
        #[tokio::test]
        async fn $scene() {
            let (store, _kept) = $make().await;
            $crate::contract::$scene(::std::sync::Arc::clone(&store)).await;
            store.close().await;
        }
    )*};
}

/// When the scenes play.
pub(crate) const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// Ids from small numbers: higher is newer.
pub(crate) fn key_id(n: u128) -> ApiKeyId {
    ApiKeyId::from_uuid(Uuid::from_u128(n))
}

/// A workspace and user that nobody has stored.
pub(crate) fn stranger() -> Owner {
    Owner {
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(0xdead)),
        user: UserId::from_uuid(Uuid::from_u128(0xbeef)),
    }
}

/// A workspace and user to be stored.
pub(crate) fn candidate(n: u128) -> NewOwner {
    let owner = Owner {
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(n)),
        user: UserId::from_uuid(Uuid::from_u128(n + 1)),
    };
    NewOwner { owner, workspace_name: "home".into(), user_name: "ada".into(), created_at: NOW }
}

/// The store's owner, made if need be.
pub(crate) async fn owner(store: &Arc<dyn Store>) -> Owner {
    store.bootstrap_owner(candidate(0x100)).await.unwrap()
}

/// A key that nothing is special about.
pub(crate) fn key(owner: Owner, n: u128) -> ApiKeyRow {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(&n.to_be_bytes());
    ApiKeyRow {
        id: key_id(n),
        owner,
        name: format!("key {n}"),
        prefix: "trk_abcd".into(),
        digest,
        access: Access { allow: vec!["files__*".into()], deny: vec!["*__delete_*".into()], manage: false },
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}
