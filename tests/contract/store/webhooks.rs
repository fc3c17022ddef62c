//! Webhook endpoints: followed by one worker at a time, with what they did not take set aside.

use std::collections::BTreeSet;

use gatepost_domain::{
    CourierEvent, EventKind, State, Timestamp,
    id::{CourierId, EndpointId},
};
use gatepost_storage::{Disabled, EndpointLease, Letter, LetterCounts, Replay, Store, StoreError, Tx, WebhookEndpoint};
use uuid::Uuid;

use super::{
    Bench,
    fixture::{courier, id, keep, parcel, settle, t},
};

fn endpoint(number: u128, courier: &str) -> WebhookEndpoint {
    WebhookEndpoint {
        id: EndpointId(Uuid::from_u128(number)),
        courier: id(courier),
        created_at: t(0),
        url: format!("https://hooks.example.org/{number}?key=秘密"),
        kinds: vec!["parcel.deposited".to_owned(), "parcel.picked_up".to_owned()],
        disabled: None,
        secret: vec![0, 159, 146, 150, 255],
        previous_secret: Some((vec![1, 2, 3], t(60))),
        passed: 0,
        failures: 0,
        failing_since: None,
        last_error: String::new(),
        not_before: t(0),
    }
}

fn lease(number: u128, until: Timestamp) -> EndpointLease {
    EndpointLease { token: Uuid::from_u128(number), until }
}

fn swift() -> CourierId {
    id("swift")
}

/// A courier with so many events, a minute apart.
async fn log(store: &Store, events: i64) {
    settle(store, 1).await;
    let parcel = keep(store, &parcel(1, State::PickedUp)).await;
    let tx = store.write().await.unwrap();
    for number in 1..=events {
        let event = CourierEvent { at: t(number), kind: EventKind::Deposited };
        tx.append_event(&parcel, &event).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn letter(tx: &Tx, endpoint: u128, sequence: i64, next: Option<Timestamp>) -> Letter {
    let letter = Letter {
        endpoint: EndpointId(Uuid::from_u128(endpoint)),
        event: tx.event(&swift(), sequence).await.unwrap().unwrap(),
        attempts: 3,
        next_attempt_at: next,
        last_attempt_at: t(20),
        last_error: "the webhook answered 500".to_owned(),
    };
    tx.save_letter(&swift(), &letter).await.unwrap();
    letter
}

pub async fn endpoints_are_kept(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    tx.insert_courier(&courier("cloud")).await.unwrap();
    let (one, two, three) = (endpoint(1, "swift"), endpoint(2, "cloud"), endpoint(3, "swift"));
    for endpoint in [&one, &two, &three] {
        tx.insert_endpoint(endpoint).await.unwrap();
    }
    assert_eq!(tx.endpoint(one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(tx.endpoints_of(&swift()).await.unwrap(), [one.clone(), three.clone()]);
    let changed = WebhookEndpoint {
        url: "https://other.example.org/".to_owned(),
        kinds: Vec::new(),
        disabled: Some(Disabled::Gone),
        previous_secret: None,
        failures: 4,
        failing_since: Some(t(7)),
        last_error: "the webhook answered 410".to_owned(),
        ..one.clone()
    };
    assert_eq!(tx.lock_endpoint(one.id).await.unwrap(), Some(one.clone()));
    tx.change_endpoint(&changed).await.unwrap();
    assert_eq!(tx.endpoint(one.id).await.unwrap(), Some(changed.clone()));
    assert_eq!(tx.endpoints(None, false, None, 2).await.unwrap(), [changed.clone(), two.clone()]);
    assert_eq!(tx.endpoints(None, false, Some(two.id), 2).await.unwrap(), std::slice::from_ref(&three));
    assert_eq!(tx.endpoints(Some(&swift()), true, None, 9).await.unwrap(), [changed]);
    assert_eq!(tx.disabled_endpoints().await.unwrap(), [(Disabled::Gone, 1)]);
    assert!(tx.delete_endpoint(one.id).await.unwrap());
    assert!(!tx.delete_endpoint(one.id).await.unwrap());
    assert_eq!(tx.endpoint(one.id).await.unwrap(), None);
    let debug = format!("{two:?}");
    assert!(debug.contains("whe_") && !debug.contains("hooks") && !debug.contains("159"), "{debug}");
    tx.lock_courier(&swift()).await.unwrap();
    assert_eq!(tx.insert_endpoint(&endpoint(4, "nobody")).await, Err(StoreError::NotFound));
}

pub async fn two_workers_never_share_an_endpoint(bench: Bench) {
    log(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    for number in 1..=60 {
        tx.insert_endpoint(&endpoint(number, "swift")).await.unwrap();
    }
    tx.commit().await.unwrap();
    let worker = |store: Store, number: u128| async move {
        let mut mine = Vec::new();
        loop {
            let tx = store.write().await.unwrap();
            let page = tx.claim_endpoints(t(60), lease(number, t(61)), &[], 7).await.unwrap();
            // The other one claims while this claim is not committed yet.
            tokio::task::yield_now().await;
            tx.commit().await.unwrap();
            if page.is_empty() {
                return mine;
            }
            mine.extend(page.into_iter().map(|endpoint| endpoint.id));
        }
    };
    let workers = [tokio::spawn(worker(bench.store.clone(), 1)), tokio::spawn(worker(bench.store.clone(), 2))];
    let mut claimed = Vec::new();
    for worker in workers {
        claimed.extend(worker.await.unwrap());
    }
    assert_eq!((claimed.len(), claimed.iter().collect::<BTreeSet<_>>().len()), (60, 60));
}

pub async fn who_is_due_is_claimed_in_turn(bench: Bench) {
    log(&bench.store, 2).await;
    let tx = bench.store.write().await.unwrap();
    let all = [endpoint(1, "swift"), endpoint(2, "swift"), endpoint(3, "swift"), endpoint(4, "swift")];
    let told = WebhookEndpoint { passed: 2, ..all[1].clone() };
    let resting = WebhookEndpoint { not_before: t(60), ..all[2].clone() };
    let disabled = WebhookEndpoint { disabled: Some(Disabled::ByCourier), ..all[3].clone() };
    for endpoint in [&all[0], &told, &resting, &disabled] {
        tx.insert_endpoint(endpoint).await.unwrap();
    }
    let ids = |claimed: Vec<WebhookEndpoint>| claimed.into_iter().map(|one| one.id.0.as_u128()).collect::<Vec<_>>();
    assert!(tx.endpoint_is_due(t(10)).await.unwrap());
    assert_eq!(ids(tx.claim_endpoints(t(10), lease(7, t(11)), &[all[0].id], 9).await.unwrap()), [0u128; 0]);
    assert_eq!(ids(tx.claim_endpoints(t(10), lease(7, t(11)), &[], 9).await.unwrap()), [1]);
    assert!(!tx.endpoint_is_due(t(10)).await.unwrap(), "leased, told, resting, disabled");
    assert!(tx.holds_endpoint(all[0].id, lease(7, t(11))).await.unwrap());
    // Its worker died: after the lease another one has it, and the first one's word no longer counts.
    assert_eq!(ids(tx.claim_endpoints(t(11), lease(8, t(12)), &[], 9).await.unwrap()), [1]);
    assert!(!tx.holds_endpoint(all[0].id, lease(7, t(11))).await.unwrap());
    let served = WebhookEndpoint { passed: 1, failures: 1, failing_since: Some(t(11)), ..all[0].clone() };
    tx.release_endpoint(&served, t(11)).await.unwrap();
    assert_eq!(tx.endpoint(served.id).await.unwrap(), Some(served.clone()));
    // Whoever waited longest is first, and so is whoever was never served.
    assert_eq!(ids(tx.claim_endpoints(t(60), lease(9, t(61)), &[], 1).await.unwrap()), [3]);
    assert_eq!(ids(tx.claim_endpoints(t(60), lease(9, t(61)), &[], 1).await.unwrap()), [1]);
    // The courier changed it meanwhile.
    tx.change_endpoint(&served).await.unwrap();
    assert!(!tx.holds_endpoint(served.id, lease(9, t(61))).await.unwrap());
}

pub async fn what_was_not_taken_is_set_aside(bench: Bench) {
    log(&bench.store, 6).await;
    let tx = bench.store.write().await.unwrap();
    let one = WebhookEndpoint { passed: 6, ..endpoint(1, "swift") };
    tx.insert_endpoint(&one).await.unwrap();
    tx.insert_endpoint(&endpoint(2, "swift")).await.unwrap();
    assert!(tx.letter_counts(&[one.id]).await.unwrap().is_empty());
    let again = letter(&tx, 1, 2, Some(t(30))).await;
    let later = letter(&tx, 1, 4, Some(t(40))).await;
    let dead = letter(&tx, 1, 3, None).await;
    assert_eq!(tx.letter_counts(&[one.id]).await.unwrap()[&one.id], LetterCounts { retrying: 2, dead: 1 });
    assert_eq!(tx.letters_due(one.id, t(29), 9).await.unwrap(), []);
    assert_eq!(tx.letters_due(one.id, t(30), 9).await.unwrap(), std::slice::from_ref(&again));
    assert_eq!(tx.letters_due(one.id, t(40), 9).await.unwrap(), [again.clone(), later.clone()]);
    assert_eq!(tx.dead_letters(one.id, 0, 9).await.unwrap(), std::slice::from_ref(&dead));
    assert_eq!(tx.dead_letters(one.id, 3, 9).await.unwrap(), []);
    assert_eq!(tx.oldest_undelivered().await.unwrap(), Some(t(1)), "endpoint 2 knows nothing yet");
    tx.delete_endpoint(EndpointId(Uuid::from_u128(2))).await.unwrap();
    assert_eq!(tx.oldest_undelivered().await.unwrap(), Some(t(2)));
    // Due letters make an endpoint due that has been told everything else.
    tx.release_endpoint(&one, t(20)).await.unwrap();
    assert!(!tx.endpoint_is_due(t(29)).await.unwrap());
    assert!(tx.endpoint_is_due(t(30)).await.unwrap());
    tx.save_letter(&swift(), &Letter { attempts: 4, next_attempt_at: None, ..again.clone() }).await.unwrap();
    tx.delete_letters(one.id, &[4]).await.unwrap();
    tx.release_endpoint(&one, t(41)).await.unwrap();
    assert!(!tx.endpoint_is_due(t(99)).await.unwrap(), "dead letters are not tried");
    assert_eq!(tx.oldest_undelivered().await.unwrap(), None);

    assert_eq!(tx.replay_letters(one.id, Replay::One(5), t(50)).await.unwrap(), 0, "it was delivered");
    assert_eq!(tx.replay_letters(one.id, Replay::DeadSince(t(3)), t(50)).await.unwrap(), 1);
    tx.change_endpoint(&one).await.unwrap();
    assert!(tx.endpoint_is_due(t(50)).await.unwrap());
    let due = tx.letters_due(one.id, t(50), 9).await.unwrap();
    assert_eq!((due.len(), due[0].event.sequence, due[0].attempts), (1, 3, 0));
    assert_eq!(tx.replay_letters(one.id, Replay::DeadAfter(0), t(50)).await.unwrap(), 1);
    tx.delete_letters_after(one.id, 2).await.unwrap();
    assert_eq!(tx.letter_counts(&[one.id]).await.unwrap()[&one.id], LetterCounts { retrying: 1, dead: 0 });

    for sequence in 1..=6 {
        letter(&tx, 1, sequence, None).await;
    }
    assert_eq!(tx.trim_dead_letters(one.id, 9).await.unwrap(), 0);
    assert_eq!(tx.trim_dead_letters(one.id, 4).await.unwrap(), 2);
    let left: Vec<i64> = tx.dead_letters(one.id, 0, 9).await.unwrap().iter().map(|dead| dead.event.sequence).collect();
    assert_eq!(left, [3, 4, 5, 6], "the oldest went");
    // What leaves the log is delivered to nobody.
    assert_eq!(tx.forget_events(&swift(), t(5), 100).await.unwrap(), 4);
    assert_eq!(tx.letter_counts(&[one.id]).await.unwrap()[&one.id].dead, 2);
    tx.delete_endpoint(one.id).await.unwrap();
    assert!(tx.letter_counts(&[one.id]).await.unwrap().is_empty());
}
