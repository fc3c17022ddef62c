//! Several couriers' backends at work while the platform is killed again and again. Every request has an id of its own
//! and is repeated until it is acknowledged, as a courier's backend does.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use gatepost_proto::v1::{
    AnnounceParcelRequest, AnnounceParcelResponse, ConfirmDepositRequest, ConfirmDepositResponse, ConfirmPickupRequest,
    ConfirmPickupResponse, EventKind, ParcelState,
};
use gatepost_tests::{
    clients::{Courier, Label, Resident, WEBHOOK_SECRET, WebhookReceiver},
    live::{Live, quick_policy},
    services::{Redis, fresh_database},
    world::soon,
};
use tokio::sync::watch;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::seeded::Seeded;

/// Backends of each courier, and parcels of each backend.
const BACKENDS: u64 = 2;
const PARCELS: u64 = 6;
const COURIERS: [&str; 2] = ["swift-express", "slow-post"];
/// T1 and T2 in milliseconds: no restart is so slow that T2 comes before T1 is seen.
const T1: i64 = 1_000;
const T2: i64 = 10_000;

const WORKLOAD_BOUND: Duration = Duration::from_secs(60);

/// One parcel's requests and what was acknowledged first.
struct Journey {
    announce: (AnnounceParcelRequest, AnnounceParcelResponse),
    deposit: (ConfirmDepositRequest, ConfirmDepositResponse),
    /// None for a parcel that is forgotten.
    pickup: Option<(ConfirmPickupRequest, ConfirmPickupResponse)>,
}

/// Sends a request until it is acknowledged. A crash in between is nothing special to a courier.
async fn acknowledged<A>(
    running: &mut watch::Receiver<bool>,
    call: impl AsyncFn() -> Result<Response<A>, Status>,
) -> A {
    loop {
        running.wait_for(|running| *running).await.expect("the platform comes back");
        let status = match soon("an answer or the end of the connection", call()).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => status,
        };
        // What the platform itself says no to is a failure; a broken connection is not.
        let said = status.get_details_error_info().is_some();
        assert!(!said || matches!(status.code(), Code::Aborted | Code::Unavailable), "{status:?}");
    }
}

async fn backend(
    courier: &Courier,
    resident: &Resident,
    mut seeded: Seeded,
    mut running: watch::Receiver<bool>,
) -> Vec<Journey> {
    let mut journeys = Vec::new();
    let running = &mut running;
    for _ in 0..PARCELS {
        let announce = Label::to(resident).request();
        let announced = acknowledged(running, async || courier.parcels().announce_parcel(announce.clone()).await).await;
        let parcel = announced.parcel.clone().expect("a parcel");
        let place = parcel.placement.expect("a placement");
        seeded.pause(0, 100).await;
        let deposit = ConfirmDepositRequest {
            request_id: Uuid::new_v4().to_string(),
            parcel_id: parcel.id.clone(),
            locker_id: place.locker_id,
            compartment_id: place.compartment_id,
            deposit_time: None,
        };
        let deposited = acknowledged(running, async || courier.parcels().confirm_deposit(deposit.clone()).await).await;
        let mut pickup = None;
        if seeded.below(2) == 0 {
            // Sometimes before the reminder, sometimes after it.
            seeded.pause(0, 2 * T1 as u64).await;
            let request = ConfirmPickupRequest {
                request_id: Uuid::new_v4().to_string(),
                parcel_id: parcel.id,
                pickup_time: None,
            };
            let taken = acknowledged(running, async || courier.parcels().confirm_pickup(request.clone()).await).await;
            pickup = Some((request, taken));
        }
        journeys.push(Journey { announce: (announce, announced), deposit: (deposit, deposited), pickup });
    }
    journeys
}

/// Plays the workload while the platform is killed `kills` times, and checks what is left.
async fn survive(settings: &[(&str, &str)], seed: u64, kills: u64) {
    let receiver = WebhookReceiver::start().await;
    let mut settings = settings.to_vec();
    settings.extend([("GATEPOST_WEBHOOK__URL", receiver.url()), ("GATEPOST_WEBHOOK__SECRET", WEBHOOK_SECRET)]);
    let mut live = Live::serve(&settings).await;
    live.community(quick_policy(T1, T2)).await;
    let resident = live.resident("王芳", "13800010001", "wang@example.org").await;
    let mut couriers = Vec::new();
    for id in COURIERS {
        couriers.push(live.courier(id).await);
    }
    let running = watch::Sender::new(true);
    let mut backends = Vec::new();
    for number in 0..BACKENDS * couriers.len() as u64 {
        let courier = &couriers[number as usize % couriers.len()];
        let seeded = Seeded::of(seed, number);
        backends.push(backend(courier, &resident, seeded, running.subscribe()));
    }
    let mut seeded = Seeded(seed);
    let killing = async {
        for kill in 0..kills {
            seeded.pause(50, 700).await;
            running.send_replace(false);
            if kill % 3 == 2 {
                // What is under way is finished and answered.
                live.terminate().await;
                assert_eq!(live.ended().await.code, Some(0));
            } else {
                live.kill().await;
            }
            live.serve_again().await;
            running.send_replace(true);
        }
    };
    let all = async { tokio::join!(join_all(backends), killing).0 };
    let done = tokio::time::timeout(WORKLOAD_BOUND, all).await.expect("every request is acknowledged");
    let mut journeys: Vec<Vec<Journey>> = couriers.iter().map(|_| Vec::new()).collect();
    for (number, done) in done.into_iter().enumerate() {
        journeys[number % COURIERS.len()].extend(done);
    }
    let mut reminded = 0;
    for (courier, journeys) in couriers.iter().zip(&journeys) {
        reminded += check_events(courier, journeys).await;
        check_answers(courier, journeys).await;
    }
    let records = resident.reminders().await;
    assert_eq!(records.len(), reminded, "one record of a webhook for each reminder");
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for call in receiver.left().await {
        let parcel = call.body["data"]["parcel_id"].as_str().expect("an id").to_owned();
        let before = ids.insert(parcel, call.id.clone());
        assert!(before.is_none_or(|before| before == call.id), "one reminder has one webhook id");
    }
    assert!(!ids.is_empty());
}

/// Each parcel's events are those of its journey, each once; the log has no gap, no double and no more. Returns how
/// many reminders there were.
async fn check_events(courier: &Courier, journeys: &[Journey]) -> usize {
    let mut open: BTreeMap<&str, EventKind> = journeys
        .iter()
        .map(|journey| {
            let last = if journey.pickup.is_some() { EventKind::PickedUp } else { EventKind::RecallRequested };
            (journey.announce.1.parcel.as_ref().expect("a parcel").id.as_str(), last)
        })
        .collect();
    assert_eq!(open.len(), journeys.len(), "every announcement made a parcel of its own");
    let mut kinds: BTreeMap<String, Vec<EventKind>> = BTreeMap::new();
    let mut events = courier.follow(Some(0)).await.expect("the stream opens");
    let mut newest = 0;
    while !open.is_empty() {
        let event = events.next().await;
        assert_eq!(event.sequence, newest + 1);
        newest = event.sequence;
        if open.get(event.parcel_id.as_str()) == Some(&event.kind()) {
            open.remove(event.parcel_id.as_str());
        }
        kinds.entry(event.parcel_id.clone()).or_default().push(event.kind());
    }
    assert_eq!(courier.acknowledge(newest).await.expect("it is there"), newest);
    let beyond = courier.acknowledge(newest + 1).await.expect_err("it is the last one");
    assert_eq!(beyond.reason, "SEQUENCE_UNKNOWN");
    assert_eq!(kinds.len(), journeys.len());
    for journey in journeys {
        use EventKind::{Deposited, PickedUp, RecallRequested, ReminderSent};
        let kinds = kinds[&journey.announce.1.parcel.as_ref().expect("a parcel").id].as_slice();
        match &journey.pickup {
            None => assert_eq!(kinds, [Deposited, ReminderSent, RecallRequested]),
            Some(_) => {
                assert!(matches!(kinds, [Deposited, PickedUp] | [Deposited, ReminderSent, PickedUp]), "{kinds:?}")
            }
        }
    }
    kinds.values().flatten().filter(|kind| **kind == EventKind::ReminderSent).count()
}

/// Nothing that was acknowledged is lost, and whoever asks once more is answered as the first time.
async fn check_answers(courier: &Courier, journeys: &[Journey]) {
    let listed = courier.list(500, "").await.expect("the list").parcels;
    assert_eq!(listed.len(), journeys.len());
    let mut parcels = courier.parcels();
    for Journey { announce, deposit, pickup } in journeys {
        let announced = parcels.announce_parcel(announce.0.clone()).await.expect("repeated").into_inner();
        assert_eq!(announced, announce.1);
        let deposited = parcels.confirm_deposit(deposit.0.clone()).await.expect("repeated").into_inner();
        assert_eq!(deposited, deposit.1);
        let parcel = courier.parcel(&deposit.0.parcel_id).await.expect("it is there");
        match pickup {
            Some((request, answer)) => {
                assert_eq!(parcels.confirm_pickup(request.clone()).await.expect("repeated").into_inner(), *answer);
                assert_eq!(Some(parcel), answer.parcel);
            }
            None => {
                assert_eq!(parcel.state(), ParcelState::RecallRequested);
                let first = deposit.1.parcel.as_ref().expect("a parcel");
                assert_eq!((parcel.deposit, parcel.reminders_sent), (first.deposit.clone(), 1));
            }
        }
    }
}

#[tokio::test]
async fn sigkill_at_any_moment_loses_and_doubles_nothing_on_sqlite() {
    survive(&[], 0x5EED_0001, 6).await;
}

#[tokio::test]
async fn sigkill_at_any_moment_loses_and_doubles_nothing_on_postgresql_and_redis() {
    let (database, redis) = tokio::task::spawn_blocking(|| (fresh_database(), Redis::start())).await.unwrap();
    let urls = redis.urls();
    let settings = [
        ("GATEPOST_DATABASE__URL", database.as_str()),
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
    ];
    survive(&settings, 0x5EED_0002, 4).await;
}
