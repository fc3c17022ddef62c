//! The store's promises, on both databases.

mod admin;
mod compartments;
mod consents;
mod deadlines;
mod decisions;
mod enrolment_conflicts;
mod events;
mod fixture;
mod lifecycle;
mod looks;
mod misidentifications;
mod model_upgrade;
mod notices;
mod parcels;
mod requests;
mod residents;
mod template_keys;
mod webhooks;

use gatepost_storage::Store;
use gatepost_tests::services;
use tempfile::TempDir;

/// An empty, migrated database of the test's own.
struct Bench {
    store: Store,
    url: String,
    _folder: Option<TempDir>,
}

/// More than SQLite ever needs, so that waiting for the one writer is tried too.
const CONNECTIONS: u32 = 16;

impl Bench {
    async fn sqlite() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/gatepost.db", folder.path().display());
        Bench::over(url, Some(folder)).await
    }

    async fn postgres() -> Bench {
        Bench::over(services::fresh_database(), None).await
    }

    async fn over(url: String, folder: Option<TempDir>) -> Bench {
        let store = Store::connect(&url, CONNECTIONS).await.unwrap();
        store.migrate().await.unwrap();
        Bench { store, url, _folder: folder }
    }
}

macro_rules! promises {
    ($($module:ident: $($promise:ident),+;)+) => {
        mod on_sqlite {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$module::$promise(super::Bench::sqlite().await).await;
            })+)+
        }
        mod on_postgres {
            $($(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                super::$module::$promise(super::Bench::postgres().await).await;
            })+)+
        }
    };
}

promises! {
    lifecycle:
        nothing_works_before_the_migration, replicas_migrate_together, what_is_not_committed_did_not_happen,
        a_reader_sees_one_moment, what_refers_to_nothing_is_refused;
    admin:
        communities_are_kept, policy_layers_are_kept, couriers_and_keys_are_kept,
        a_rotated_key_is_known_by_its_former_secrets_too;
    parcels:
        every_state_is_read_as_it_was_saved, a_stale_version_is_refused, a_tracking_number_is_the_couriers_own,
        pages_of_parcels_join, deadlines_come_in_order;
    enrolment_conflicts: conflicts_are_kept_until_somebody_goes;
    model_upgrade: one_model_follows_another;
    compartments: one_parcel_per_compartment_whoever_races, an_expired_reservation_is_free;
    events:
        every_event_is_read_as_it_was_logged, sequences_have_no_gaps, an_acknowledgement_never_moves_back,
        old_events_go_without_a_gap;
    webhooks:
        endpoints_are_kept, two_workers_never_share_an_endpoint, who_is_due_is_claimed_in_turn,
        what_was_not_taken_is_set_aside;
    residents:
        residents_are_kept_with_what_they_agreed_to, labels_find_their_candidates, pickups_are_counted_once,
        only_who_agreed_and_is_due_is_searched, a_deleted_resident_leaves_nothing, nothing_personal_is_printed;
    consents:
        every_consent_has_its_entry_in_the_chain, a_channel_can_be_refused_without_a_consent, any_change_breaks_the_chain,
        consents_at_once_have_entries_one_after_the_other;
    looks: looks_at_once_stand_one_after_the_other, looks_are_found_by_whom_and_go_from_the_oldest_on;
    template_keys: keys_move_to_the_next_generation, a_key_is_kept_once_and_only_under_its_community;
    misidentifications:
        a_recognition_policy_is_the_communitys_own, what_was_mistaken_is_kept_until_the_faces_go,
        a_search_knows_what_was_mistaken, a_reminders_pending_notices_are_withdrawn, last_sightings_are_forgotten;
    decisions: decisions_are_kept_until_their_resident_goes, of_what_came_to_nothing_the_last_is_kept;
    notices: two_workers_never_share_a_notice, a_notice_is_tried_until_it_is_done;
    requests: an_answer_is_given_again_until_forgotten, a_request_is_answered_once;
}
