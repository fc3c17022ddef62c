//! A change of the policy for many parcels, in the middle of which the platform dies.

use gatepost_proto::v1::policy_layer::Layer;
use gatepost_storage::Store;
use gatepost_tests::{
    clients::Label,
    crowd::crowd,
    live::{Live, quick_policy},
    world::{COMMUNITY, until},
};
use jiff::SignedDuration;

/// More than two pages.
const PARCELS: u32 = 1_200;
const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn sigkill_in_the_middle_of_a_change_of_the_policy_leaves_no_parcel_behind() {
    let mut live = Live::serve(&[("FAILPOINTS", "policy.rearming=return")]).await;
    live.set("FAILPOINTS", "");
    live.community_under(None).await;
    let (swift, wang) =
        (live.courier("swift-express").await, live.resident("王芳", "13800010001", "wang@example.org").await);
    let parcel = swift.bring(&Label::to(&wang)).await;
    let url = format!("sqlite://{}/gatepost.db", live.data_dir().display());
    crowd(&url, PARCELS, SignedDuration::ZERO).await;

    let policy = quick_policy(HOUR, 2 * HOUR);
    let changing = live.administrator().set_policy(Layer::CommunityId(COMMUNITY.to_owned()), policy).await;
    assert!(changing.is_err(), "the platform died after the first page");
    assert_eq!(live.ended().await.code, None);
    let store = Store::connect(&url, 1).await.unwrap();
    let new = gatepost_tests::clients::from_wire(parcel.deposit.unwrap().deposit_time.unwrap())
        + SignedDuration::from_hours(1);
    let left = async || {
        let all = store.read().await.unwrap().deadlines(None, None, 2_000).await.unwrap();
        all.iter().filter(|timer| timer.due != new).count()
    };
    assert_eq!(left().await, PARCELS as usize + 1 - 500, "one page was done");
    live.serve_again().await;
    until("the new deadlines of all", || async { left().await == 0 }).await;
}
