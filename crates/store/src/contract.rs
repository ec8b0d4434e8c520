//! What every backend must do, as scenes. A backend's tests call [`contract_tests!`](crate::contract_tests)
//! once, with what makes an empty store; each scene becomes a test of its own there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code, compiled for the backends' tests only"
)]
#![allow(clippy::missing_panics_doc, reason = "a scene panics when the backend breaks its promise")]

mod api_keys;
mod connections;
mod credentials;
mod events;
mod facts;
mod furnish;
mod given;
mod integrations;
mod leases;
pub mod scale;
mod search;
mod sweeps;
mod toolsets;
mod transactions;

use std::sync::Arc;

use model::id::{ApiKeyId, UserId, WorkspaceId};
use model::{Access, Owner, Timestamp};
use uuid::Uuid;

use crate::{ApiKeyRow, NewOwner, Store};

pub use api_keys::*;
pub use connections::*;
pub use credentials::*;
pub use events::*;
pub use facts::*;
pub use furnish::furnish;
pub use integrations::*;
pub use leases::*;
pub use search::*;
pub use sweeps::*;
pub use toolsets::*;
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
            an_integration_comes_back_as_it_was_stored
            one_workspaces_integrations_are_not_there_for_another
            a_slug_is_taken_once
            seeding_twice_changes_nothing_and_a_new_version_keeps_the_old
            an_edit_of_an_integration_must_have_seen_the_newest
            an_integration_in_use_stays
            the_catalogue_is_searched_by_text_kind_and_category
            the_catalogue_is_turned_over_page_by_page
            an_integration_that_cannot_be_stored_is_refused_by_name
            a_connection_comes_back_as_it_was_stored
            another_owner_sees_and_changes_no_connection
            a_shared_connection_is_seen_by_colleagues_and_changed_by_its_owner
            a_connection_needs_an_owner_and_an_integration
            names_and_keys_are_taken_once_whatever_the_case
            an_edit_must_have_seen_the_newest_revision
            a_version_that_is_pinned_can_be_taken_back
            status_moves_along_its_edges_and_nowhere_else
            a_test_leaves_its_time_and_its_reason
            a_crash_while_testing_never_sticks
            a_connection_goes_with_all_that_belongs_to_it
            a_connection_and_its_log_happen_together_or_not_at_all
            connections_are_searched_literally_whatever_the_case
            connections_are_filtered_by_kind_category_status_and_integration
            pages_of_connections_stay_put_while_others_are_made
            a_sealed_value_comes_back_as_it_was_stored
            a_value_takes_the_place_of_exactly_what_was_read
            a_value_belongs_to_a_connection_and_its_owner
            previous_values_go_when_their_time_is_over
            what_is_still_sealed_with_an_old_key_is_counted_and_listed
            data_keys_follow_one_another_and_one_of_them_seals
            a_log_is_read_newest_first_and_filtered
            pages_of_a_log_stay_put_while_it_grows
            a_page_of_rare_entries_looks_at_so_many_and_says_where_to_go_on
            an_event_has_a_connection_an_id_of_its_own_and_a_largest_size
            old_log_entries_go_in_bounded_steps
            health_is_read_newest_first_and_adds_up
            rolling_up_loses_and_doubles_nothing
            toolsets_are_made_edited_and_removed
            a_lease_has_one_holder_at_a_time
            a_late_holders_write_is_refused
            many_who_ask_at_once_get_one_lease
            a_request_is_claimed_once_and_its_answer_kept
            claims_that_are_over_go_in_bounded_steps
            a_forgotten_lease_begins_with_a_larger_token
            what_is_old_is_counted_as_far_as_one_step_goes
            a_sweep_of_a_late_holder_takes_nothing
            what_is_in_no_snapshot_wakes_nobody
            a_list_of_commands_happens_whole_or_not_at_all
            a_failing_write_does_not_disturb_those_beside_it
            many_writers_at_once_all_land
            the_feed_moves_with_every_commit_and_with_nothing_else
            observers_are_told_what_was_committed_in_order_and_nothing_else
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
