//! SIGKILL in the middle of a batch of announcements: whoever sends it again is answered for all of it, and nothing is
//! announced twice.

use std::collections::BTreeMap;

use gatepost_proto::v1::{AnnounceParcelsRequest, Parcel, announcement_result::Outcome};
use gatepost_tests::{
    clients::{Courier, Label, new_request_id},
    live::{Live, quick_policy},
    services::{Redis, fresh_database},
    world::until,
};

const BATCH: usize = 1_000;

/// Every parcel of a courier by its tracking number.
async fn parcels(courier: &Courier) -> BTreeMap<String, Parcel> {
    let (mut all, mut token) = (BTreeMap::new(), String::new());
    loop {
        let page = courier.list(500, &token).await.unwrap();
        all.extend(page.parcels.into_iter().map(|parcel| (parcel.tracking_number.clone(), parcel)));
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

async fn a_batch_goes_on(settings: &[(&str, &str)]) {
    let mut live = Live::serve(settings).await;
    live.community(quick_policy(600_000, 1_200_000)).await;
    let (swift, wang) = (live.courier("swift-express").await, live.resident("王芳", "13800010001", "").await);
    let announcements = (0..BATCH).map(|_| Label::to(&wang).announcement()).collect();
    let request = AnnounceParcelsRequest { request_id: new_request_id(), announcements };
    let (caller, batch) = (swift.at(live.line()), request.clone());
    let under_way = tokio::spawn(async move { caller.announce_batch(batch).await });
    until("a part of the batch", async || !swift.list(1, "").await.unwrap().parcels.is_empty()).await;
    live.kill().await;
    under_way.await.unwrap().expect_err("its connection broke");
    live.serve_again().await;
    let before = parcels(&swift).await;
    assert!((1..BATCH).contains(&before.len()), "{} of {BATCH}", before.len());

    let outcomes = swift.announce_batch(request.clone()).await.unwrap();
    assert_eq!(outcomes.len(), BATCH);
    for (outcome, announcement) in outcomes.iter().zip(&request.announcements) {
        let Outcome::Announced(announced) = outcome else { panic!("{outcome:?}") };
        let parcel = announced.parcel.as_ref().unwrap();
        assert_eq!(parcel.tracking_number, announcement.tracking_number);
        if let Some(known) = before.get(&parcel.tracking_number) {
            assert_eq!(parcel, known, "what was done before the crash is what is answered");
        }
    }
    assert_eq!(parcels(&swift).await.len(), BATCH);
    assert_eq!(swift.announce_batch(request.clone()).await.unwrap(), outcomes, "and so it stays");
    let mut shorter = request;
    shorter.announcements.pop();
    assert_eq!(swift.announce_batch(shorter).await.unwrap_err().reason, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn a_batch_goes_on_after_a_crash_on_sqlite() {
    a_batch_goes_on(&[]).await;
}

#[tokio::test]
async fn a_batch_goes_on_after_a_crash_on_postgresql() {
    let (database, redis) = tokio::task::spawn_blocking(|| (fresh_database(), Redis::start())).await.unwrap();
    let urls = redis.urls();
    let settings = [
        ("GATEPOST_DATABASE__URL", database.as_str()),
        ("GATEPOST_TIMERS__KIND", "redis"),
        ("GATEPOST_TIMERS__REDIS_URLS", &urls),
    ];
    a_batch_goes_on(&settings).await;
}
