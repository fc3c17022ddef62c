//! How long parcels wait, in layers: courier over community over tenant over the defaults.

use gatepost_proto::v1::{EventKind, WaitingPolicy, policy_layer::Layer, policy_layer::Layer::CommunityId};
use gatepost_tests::{
    clients::{Label, duration_to_wire, from_wire},
    world::{COMMUNITY, Stack, World, hours},
};
use tonic::Code;

fn tenant() -> Layer {
    Layer::Tenant(gatepost_proto::v1::policy_layer::Tenant {})
}

fn community() -> Layer {
    CommunityId(COMMUNITY.to_owned())
}

fn courier(id: &str) -> Layer {
    Layer::CourierId(id.to_owned())
}

fn waits(t1: Option<i64>, t2: Option<i64>) -> WaitingPolicy {
    let span = |count: i64| duration_to_wire(hours(count));
    WaitingPolicy { remind_after: t1.map(span), recall_after: t2.map(span), ..WaitingPolicy::default() }
}

#[tokio::test]
async fn the_answer_says_which_layer_decided() {
    let world = World::new().await;
    let administrator = world.administrator();
    world.courier("swift-express").await;
    administrator.set_policy(tenant(), waits(Some(10), Some(100))).await.unwrap();
    administrator.set_policy(community(), waits(Some(20), None)).await.unwrap();
    administrator.set_policy(courier("swift-express"), waits(None, Some(90))).await.unwrap();
    let answer = administrator.policy(COMMUNITY, "swift-express").await.unwrap();
    let policy = answer.policy.unwrap();
    assert_eq!((policy.remind_after, policy.recall_after), waits_of(20, 90));
    assert_eq!(policy.usual_minute, Some(18 * 60 + 30));
    let decided = |field: &str| answer.decided_by[field].as_str();
    assert_eq!((decided("remind_after"), decided("recall_after")), ("community", "courier"));
    assert_eq!((decided("usual_minute"), answer.decided_by.len()), ("default", 12));
    let others = administrator.policy(COMMUNITY, "").await.unwrap();
    assert_eq!(
        (others.policy.unwrap().recall_after, &*others.decided_by["recall_after"]),
        (waits_of(0, 100).1, "tenant")
    );
    administrator.set_policy(community(), WaitingPolicy::default()).await.expect("an unset field inherits again");
    assert_eq!(administrator.policy(COMMUNITY, "").await.unwrap().policy.unwrap().remind_after, waits_of(10, 0).0);
}

fn waits_of(t1: i64, t2: i64) -> (Option<prost_types::Duration>, Option<prost_types::Duration>) {
    (Some(duration_to_wire(hours(t1))), Some(duration_to_wire(hours(t2))))
}

#[tokio::test]
async fn t1_stays_below_t2_in_every_combination() {
    let world = World::new().await;
    let administrator = world.administrator();
    world.courier("swift-express").await;
    administrator.set_policy(courier("swift-express"), waits(None, Some(48))).await.unwrap();
    let before = administrator.policy(COMMUNITY, "swift-express").await.unwrap();
    let refusals = [
        ("both in one layer", community(), waits(Some(30), Some(30))),
        ("against the default T2", tenant(), waits(Some(72), None)),
        ("against the courier's T2", community(), waits(Some(48), None)),
        ("against the default T1", courier("swift-express"), waits(None, Some(24))),
    ];
    for (what, layer, policy) in refusals {
        let refused = administrator.set_policy(layer, policy).await.expect_err(what);
        assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "INVALID_POLICY"), "{what}");
    }
    assert_eq!(administrator.policy(COMMUNITY, "swift-express").await.unwrap(), before, "nothing of it stays");
    administrator.set_policy(community(), waits(Some(47), None)).await.unwrap();
}

#[tokio::test]
async fn deadlines_move_with_the_policy() {
    for stack in [Stack::Embedded, Stack::Servers] {
        let world = World::on(stack).await;
        let administrator = world.administrator();
        let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
        let wang = world.resident("王芳");
        let before = swift.bring(&Label::to(&wang)).await;
        let others = cloud.bring(&Label::to(&wang)).await;
        let recall_at = |parcel: &gatepost_proto::v1::Parcel| from_wire(parcel.recall_at.unwrap());
        assert_eq!(recall_at(&before), world.now() + hours(72));
        administrator.set_policy(courier("swift-express"), waits(Some(2), Some(6))).await.unwrap();
        let earlier = swift.parcel(&before.id).await.unwrap();
        assert_eq!((recall_at(&earlier), recall_at(&others)), (world.now() + hours(6), world.now() + hours(72)));
        administrator.set_policy(courier("swift-express"), waits(Some(2), Some(9))).await.unwrap();
        world.let_pass(hours(6)).await;
        let later = swift.parcel(&before.id).await.unwrap();
        assert_eq!(later.state(), gatepost_proto::v1::ParcelState::Waiting, "T2 moved later");
        // T2 is in the past at once.
        administrator.set_policy(courier("swift-express"), waits(Some(2), Some(5))).await.unwrap();
        let recall = swift.await_event(EventKind::RecallRequested).await;
        assert_eq!(recall.parcel_id, before.id);
        administrator.set_policy(courier("swift-express"), waits(Some(2), Some(50))).await.unwrap();
        let asked = swift.parcel(&before.id).await.unwrap();
        assert_eq!(asked.state(), gatepost_proto::v1::ParcelState::RecallRequested, "what was requested stands");
    }
}

#[tokio::test]
async fn t1_and_t2_come_to_the_millisecond_as_the_last_policy_says() {
    const MOMENT: jiff::SignedDuration = jiff::SignedDuration::from_millis(1);
    for stack in [Stack::Embedded, Stack::Servers] {
        let world = World::on(stack).await;
        let administrator = world.administrator();
        let swift = world.courier("swift-express").await;
        let wang = world.resident("王芳");
        administrator.set_policy(community(), waits(Some(2), Some(5))).await.unwrap();
        let parcel = swift.bring(&Label::to(&wang)).await;
        let brought = world.now();
        let stands = async || {
            let parcel = swift.parcel(&parcel.id).await.unwrap();
            (parcel.state(), parcel.reminders_sent)
        };
        swift.expect_event(EventKind::Deposited).await;
        // Nobody's usual hour comes before T2, so T1 itself is the time to remind. Each moves later and then earlier.
        for (policies, due, kind) in [
            ([waits(Some(4), Some(5)), waits(Some(1), Some(5))], hours(1), EventKind::ReminderSent),
            ([waits(Some(1), Some(6)), waits(Some(1), Some(3))], hours(3), EventKind::RecallRequested),
        ] {
            for policy in policies {
                administrator.set_policy(community(), policy).await.unwrap();
            }
            let before = stands().await;
            world.let_pass((brought + due).duration_since(world.now()) - MOMENT).await;
            assert_eq!(stands().await, before, "a millisecond before {kind:?}");
            world.let_pass(MOMENT).await;
            let event = swift.expect_event(kind).await;
            assert_eq!((event.parcel_id, from_wire(event.event_time.unwrap())), (parcel.id.clone(), brought + due));
            let after = stands().await;
            world.let_pass(MOMENT).await;
            assert_eq!(stands().await, after, "a millisecond after {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_layer_of_nobody_is_refused() {
    let world = World::new().await;
    let administrator = world.administrator();
    let refused = administrator.set_policy(courier("nobody"), waits(None, None)).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::NotFound, "COURIER_NOT_FOUND"));
    let refused = administrator.set_policy(CommunityId("nowhere".to_owned()), waits(None, None)).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::NotFound, "COMMUNITY_NOT_FOUND"));
}

#[tokio::test]
async fn a_plan_for_the_millisecond_of_its_making_is_carried_out() {
    for stack in [Stack::Embedded, Stack::Servers] {
        let world = World::on(stack).await;
        world.administrator().set_policy(community(), waits(Some(1), Some(2))).await.unwrap();
        let swift = world.courier("swift-express").await;
        let parcel = swift.bring(&Label::to(&world.resident("王芳"))).await;
        // No usual hour comes before T2, so T1 itself is the time to remind.
        world.let_pass(hours(1)).await;
        let reminded = swift.await_event(EventKind::ReminderSent).await;
        assert_eq!((reminded.parcel_id, from_wire(reminded.event_time.unwrap())), (parcel.id, world.now()));
    }
}

#[tokio::test]
async fn a_deposit_that_races_with_a_change_of_the_policy_has_its_deadlines() {
    const ROUNDS: i64 = 12;
    const PARCELS: usize = 4;
    let world = World::on(Stack::Servers).await;
    let administrator = world.administrator();
    let swift = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    for round in 0..ROUNDS {
        let mut announced = Vec::new();
        for _ in 0..PARCELS {
            announced.push(swift.announce(&Label::to(&wang)).await.unwrap().parcel);
        }
        let t2 = 30 + round;
        let deposits = futures::future::join_all(announced.iter().map(|parcel| swift.deposit(parcel)));
        let (deposited, changed) =
            tokio::join!(deposits, administrator.set_policy(courier("swift-express"), waits(Some(2), Some(t2))));
        changed.unwrap();
        for parcel in deposited {
            let id = parcel.unwrap().id;
            let parcel = swift.parcel(&id).await.unwrap();
            assert_eq!(from_wire(parcel.recall_at.unwrap()), world.now() + hours(t2), "round {round}");
            swift.pick_up(&id).await.unwrap();
        }
    }
}
