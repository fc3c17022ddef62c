//! T1 must be below T2 wherever the layers leave a parcel, not only within one of them.

use gatepost_proto::v1::{
    WaitingPolicy,
    policy_layer::{Layer, Tenant},
};
use gatepost_tests::{
    clients::{Label, duration_to_wire, from_wire},
    world::{COMMUNITY, World},
};
use jiff::SignedDuration;
use tonic::Code::{InvalidArgument, NotFound};

use super::{Everything, refused};

const COURIER: &str = "swift-express";

fn layers() -> [Layer; 3] {
    [Layer::Tenant(Tenant {}), Layer::CommunityId(COMMUNITY.to_owned()), Layer::CourierId(COURIER.to_owned())]
}

/// T1 and T2 in hours; 0 leaves one to the layer below.
fn hours(remind_after: i64, recall_after: i64) -> WaitingPolicy {
    let span = |hours| (hours > 0).then(|| duration_to_wire(SignedDuration::from_hours(hours)));
    WaitingPolicy { remind_after: span(remind_after), recall_after: span(recall_after), ..Default::default() }
}

#[tokio::test]
async fn t1_is_below_t2_in_every_layer() {
    let world = World::new().await;
    let (swift, administrator) = (world.courier(COURIER).await, world.administrator());
    let before = Everything::of(&world, &swift).await;
    for layer in layers() {
        // Equal, reversed, and against the defaults of 24 and 72 hours.
        for policy in [hours(10, 10), hours(11, 10), hours(72, 0), hours(0, 24), hours(0, 1)] {
            refused(administrator.set_policy(layer.clone(), policy).await, InvalidArgument, "INVALID_POLICY");
        }
    }
    assert_eq!(Everything::of(&world, &swift).await, before);
}

#[tokio::test]
async fn t1_is_below_t2_in_every_combination_of_layers() {
    let [tenant, community, courier] = layers();
    // Each alone is good, the two together are not.
    let pairs = [
        (&tenant, hours(40, 0), &community, hours(0, 40)),
        (&community, hours(0, 30), &courier, hours(40, 0)),
        (&tenant, hours(0, 30), &courier, hours(30, 0)),
        (&courier, hours(0, 30), &community, hours(31, 0)),
        (&courier, hours(50, 0), &tenant, hours(0, 50)),
    ];
    for (first, fine, second, too_much) in pairs {
        let world = World::new().await;
        let (swift, administrator) = (world.courier(COURIER).await, world.administrator());
        administrator.set_policy(first.clone(), fine).await.unwrap();
        let before = Everything::of(&world, &swift).await;
        let refusal = administrator.set_policy(second.clone(), too_much).await;
        refused(refusal, InvalidArgument, "INVALID_POLICY");
        assert_eq!(Everything::of(&world, &swift).await, before);
    }
}

#[tokio::test]
async fn a_refused_policy_moves_no_deadline() {
    let world = World::new().await;
    let (swift, administrator) = (world.courier(COURIER).await, world.administrator());
    let [_, community, _] = layers();
    administrator.set_policy(community.clone(), hours(10, 20)).await.unwrap();
    refused(administrator.set_policy(community, hours(20, 10)).await, InvalidArgument, "INVALID_POLICY");
    let parcel = swift.bring(&Label::to(&world.resident("王芳"))).await;
    assert_eq!(from_wire(parcel.remind_from.unwrap()), world.now() + SignedDuration::from_hours(10));
    assert_eq!(from_wire(parcel.recall_at.unwrap()), world.now() + SignedDuration::from_hours(20));
}

#[tokio::test]
async fn values_without_sense_are_refused() {
    let world = World::new().await;
    let (swift, administrator) = (world.courier(COURIER).await, world.administrator());
    let before = Everything::of(&world, &swift).await;
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let none = WaitingPolicy::default();
    let fields = [
        WaitingPolicy { remind_after: span(-1, 0), ..none },
        WaitingPolicy { remind_after: span(0, -1), ..none },
        WaitingPolicy { recall_after: span(i64::MAX, 0), ..none },
        WaitingPolicy { recall_after: span(90_000, 1_000_000_000), ..none },
        WaitingPolicy { usual_minute: Some(-1), ..none },
        WaitingPolicy { reminders_max: Some(-1), ..none },
        WaitingPolicy { overflow_metres: Some(-1), ..none },
        WaitingPolicy { extension: span(-1, 0), ..none },
        WaitingPolicy { hold_max: span(-1, 0), ..none },
    ];
    let policies = [
        WaitingPolicy { usual_minute: Some(1440), ..none },
        WaitingPolicy { quiet_from_minute: Some(1440), ..none },
        WaitingPolicy { reminders_max: Some(101), ..none },
        WaitingPolicy { overflow_metres: Some(100_001), ..none },
        WaitingPolicy { reservation: span(0, 0), ..none },
        WaitingPolicy { recall_again_after: span(0, 0), ..none },
    ];
    for layer in layers() {
        for policy in fields {
            refused(administrator.set_policy(layer.clone(), policy).await, InvalidArgument, "INVALID_FIELD");
        }
        for policy in policies {
            refused(administrator.set_policy(layer.clone(), policy).await, InvalidArgument, "INVALID_POLICY");
        }
    }
    let nowhere = administrator.set_policy(Layer::CommunityId("nowhere".to_owned()), none).await;
    refused(nowhere, NotFound, "COMMUNITY_NOT_FOUND");
    let nobody = administrator.set_policy(Layer::CourierId("nobody".to_owned()), none).await;
    refused(nobody, NotFound, "COURIER_NOT_FOUND");
    assert_eq!(Everything::of(&world, &swift).await, before);
}
