//! Two whole replicas share the endpoints of all couriers: one tells what the other would have told.

use std::collections::BTreeMap;

use gatepost_tests::{
    clients::{Courier, Label, Resident, WebhookReceiver},
    live::{Live, quick_policy},
    services::{Redis, fresh_database},
    world::Stack,
};
use jiff::SignedDuration;

use super::world;

const COURIERS: usize = 6;
/// Both replicas look for endpoints that are due; which one finds an event is chance.
const ROUNDS_MAX: i64 = 20;

/// Announces and cancels a parcel: one event, and nothing that comes due later.
async fn one_event(courier: &Courier, resident: &Resident) {
    let parcel = courier.announce(&Label::to(resident)).await.unwrap().parcel;
    courier.cancel(&parcel.id).await.unwrap();
}

/// Webhooks that this replica delivered.
async fn delivered(live: &Live) -> u64 {
    let metrics = live.http("/metrics").await.1;
    let counted = metrics.lines().filter(|line| line.starts_with("gatepost_webhooks"));
    let counted = counted.filter(|line| line.contains("outcome=\"delivered\""));
    counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn two_processes_share_the_endpoints_and_one_is_enough() {
    let (database, redis) = tokio::task::spawn_blocking(|| (fresh_database(), Redis::start())).await.unwrap();
    let urls = redis.urls();
    let mut one = Live::serve(&[
        ("GATEPOST_DATABASE__URL", &database),
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
        ("GATEPOST_EVENTS__WEBHOOKS_OVER_HTTP", "true"),
        ("GATEPOST_EVENTS__WEBHOOKS_TO_PRIVATE_ADDRESSES", "true"),
    ])
    .await;
    one.community(quick_policy(600_000, 1_200_000)).await;
    let wang = one.resident("王芳", "13800010001", "wang@example.org").await;
    let two = one.replica().await;
    let receiver = WebhookReceiver::start().await;
    let mut couriers = Vec::new();
    for number in 0..COURIERS {
        let courier = one.courier(&format!("courier-{number}")).await;
        let endpoint = courier.listen(&receiver).await;
        couriers.push((courier.at(two.line()), courier, endpoint));
    }
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    let mut events = 0;
    let told = async |calls: &mut BTreeMap<String, u64>, events: i64| {
        while calls.len() < events as usize * COURIERS {
            *calls.entry(receiver.next().await.id).or_default() += 1;
        }
    };
    // As long as both are there, both have work, and each event is told once.
    for _ in 0..ROUNDS_MAX {
        for (at_two, at_one, _) in &couriers {
            tokio::join!(one_event(at_one, &wang), one_event(at_two, &wang));
        }
        events += 2;
        told(&mut calls, events).await;
        if delivered(&one).await > 0 && delivered(&two).await > 0 {
            break;
        }
    }
    for (_, courier, endpoint) in &couriers {
        courier.endpoint_when("the end of its turn", endpoint, |endpoint| endpoint.passed_sequence == events).await;
    }
    let (by_one, by_two) = (delivered(&one).await, delivered(&two).await);
    assert!(by_one > 0 && by_two > 0, "{by_one} by one, {by_two} by the other");
    assert_eq!((by_one + by_two, calls.values().copied().max()), (events as u64 * COURIERS as u64, Some(1)));

    one.kill().await;
    for (at_two, ..) in &couriers {
        one_event(at_two, &wang).await;
    }
    told(&mut calls, events + 1).await;
    assert_eq!(calls.values().copied().max(), Some(1));
    for sequence in 1..=events + 1 {
        assert!((0..COURIERS).all(|number| calls.contains_key(&format!("evt_courier-{number}_{sequence}"))));
    }
}

#[tokio::test]
async fn what_a_dead_replica_was_at_is_told_by_the_other_a_minute_later() {
    let (world, receiver) = (world(Stack::Servers).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let endpoint = courier.listen(&receiver).await;
    let other = world.replica().await;
    receiver.fall_silent();
    // Who was asked is woken; the other one looks once a second, and no time passes.
    one_event(&courier, &world.resident("王芳")).await;
    let first = receiver.next().await;
    world.kill();
    receiver.answer_with(204);
    other.let_pass(SignedDuration::from_secs(59)).await;
    let courier = courier.at(other.line());
    one_event(&courier, &other.resident("王芳")).await;
    assert!(receiver.left().await.is_empty());
    other.let_pass(SignedDuration::from_secs(1)).await;
    let (again, next) = (receiver.next().await, receiver.next().await);
    assert_eq!((&again.id, &again.body, next.sequence()), (&first.id, &first.body, 2));
    assert_eq!(again.at, first.at + 60, "the dead one holds the endpoint until then");
    courier.endpoint_when("nothing left", &endpoint, |endpoint| endpoint.passed_sequence == 2).await;
}
