//! Who asks for too much is told when to come back, and is in nobody's way.

use bytes::Bytes;
use futures::future::join_all;
use gatepost_proto::v1::{self, parcel_service_client::ParcelServiceClient};
use gatepost_tests::{
    clients::{Answer, Courier, Key, Label, Refused, answer},
    reflected,
    world::{World, until},
};
use jiff::SignedDuration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const BURST: usize = 40;

/// A world in which a courier may make ten calls a second.
async fn world() -> World {
    let builder = World::builder().config(|config| {
        config.quotas.calls_per_second = 10.try_into().unwrap();
        config.quotas.burst = (BURST as u32).try_into().unwrap();
        config.quotas.streams = 2;
    });
    builder.start().await
}

fn over(answer: &Answer<impl Sized>, quota: &str) -> bool {
    let Err(refused) = answer else { return false };
    assert_eq!((refused.code, &*refused.reason), (Code::ResourceExhausted, "QUOTA_EXCEEDED"), "{refused:?}");
    assert_eq!(refused.metadata["quota"], quota);
    true
}

/// Looks until the bucket is empty.
async fn spend(courier: &Courier) {
    while courier.list(1, "").await.is_ok() {}
}

#[tokio::test]
async fn a_greedy_courier_is_refused_and_the_others_are_not() {
    let world = world().await;
    let (greedy, other) = (world.courier("greedy").await, world.courier("other").await);
    let calls = join_all((0..BURST * 5).map(|_| greedy.list(1, ""))).await;
    assert_eq!(calls.iter().filter(|call| call.is_ok()).count(), BURST);
    assert_eq!(calls.iter().filter(|call| over(call, "calls_per_second")).count(), BURST * 4);
    for call in join_all((0..BURST / 2).map(|_| other.list(1, ""))).await {
        call.unwrap();
    }
    let status = greedy.parcels().list_parcels(v1::ListParcelsRequest::default()).await.unwrap_err();
    let wait = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(wait.as_millis() <= 100, "{wait:?}");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
    assert_eq!(pushback.parse::<u128>().unwrap(), wait.as_micros().div_ceil(1_000), "for clients of any make");
    world.clock().advance(SignedDuration::try_from(wait).unwrap());
    greedy.list(1, "").await.unwrap();
    assert!(over(&greedy.list(1, "").await, "calls_per_second"), "one token in a tenth of a second");
    world.clock().advance(SignedDuration::from_secs(60));
    let calls = join_all((0..BURST * 2).map(|_| greedy.list(1, ""))).await;
    assert_eq!(
        calls.iter().filter(|call| call.is_ok()).count(),
        BURST,
        "no more than a bucket, however long the pause"
    );
}

#[tokio::test]
async fn who_it_is_and_whether_it_may_come_first_and_the_message_last() {
    let world = world().await;
    let greedy = world.courier("greedy").await;
    spend(&greedy).await;
    let call = async |path: &str, key: &Key| {
        let rpc = reflected::rpcs("gatepost.v1").into_iter().find(|rpc| reflected::path(rpc) == path).unwrap();
        let unreadable = Bytes::from_static(&[0xFF; 8]);
        Refused::from(reflected::call(world.line(), Some(key), &rpc, unreadable).await.end.unwrap_err()).reason
    };
    let (list, create) = ("/gatepost.v1.ParcelService/ListParcels", "/gatepost.v1.CourierService/CreateCourier");
    assert_eq!(call(list, &Key::new("gpk_forged")).await, "UNAUTHENTICATED");
    assert_eq!(call(create, greedy.key()).await, "PERMISSION_DENIED");
    assert_eq!(call(list, greedy.key()).await, "QUOTA_EXCEEDED");
    world.clock().advance(SignedDuration::from_secs(1));
    assert_eq!(call(list, greedy.key()).await, "MALFORMED_MESSAGE");
}

#[tokio::test]
async fn open_streams_are_counted_until_they_end() {
    let world = world().await;
    let (greedy, other) = (world.courier("greedy").await, world.courier("other").await);
    let first = greedy.follow(None).await.unwrap();
    let _second = greedy.follow(None).await.unwrap();
    assert!(over(&greedy.follow(None).await, "streams"));
    greedy.list(1, "").await.unwrap();
    let _others = other.follow(None).await.unwrap();
    drop(first);
    until("the end of the stream", || async {
        world.clock().advance(SignedDuration::from_secs(1));
        greedy.follow(None).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_batch_counts_as_its_announcements_and_is_slowed_down() {
    let world = world().await;
    let courier = world.courier("swift-express").await;
    let wang = world.resident("王芳");
    let announcements: Vec<_> = (0..BURST + 10).map(|_| Label::to(&wang).announcement()).collect();
    let (count, id) = (announcements.len(), courier.id.parse().unwrap());
    let batch = tokio::spawn(async move { courier.announce_all(announcements).await.unwrap().len() });
    let store = world.store().await;
    let announced = || async { store.read().await.unwrap().parcels_of(&id, None, None, 500).await.unwrap().len() };
    until("the first of the batch", || async { announced().await == 25 }).await;
    assert!(!batch.is_finished(), "the bucket holds no more");
    world.clock().advance(SignedDuration::from_secs(1));
    assert_eq!(batch.await.unwrap(), count);
    assert_eq!(announced().await, count);
}

/// What a client of another make sends is refused by name as well.
#[tokio::test]
async fn what_a_library_refuses_has_a_reason_too() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let told = |status: Status| {
        let refused = Refused::from(status);
        (refused.code, refused.reason)
    };
    for rpc in reflected::rpcs("gatepost.v1").iter().filter(|rpc| rpc.parent_service().name() == "ParcelService") {
        let call = async |message: Vec<u8>| {
            let answered = reflected::call(world.line(), Some(courier.key()), rpc, message.into()).await;
            told(answered.end.unwrap_err())
        };
        let malformed = (Code::InvalidArgument, "MALFORMED_MESSAGE".to_owned());
        assert_eq!(call(vec![0xFF; 8]).await, malformed, "{}", rpc.full_name());
        // A text that is not UTF-8: whatever its field is, it is the first.
        assert_eq!(call(vec![0x0A, 1, 0xFF]).await, malformed, "{}", rpc.full_name());
        let too_large = (Code::OutOfRange, "MESSAGE_TOO_LARGE".to_owned());
        assert_eq!(call(vec![0; 4 * 1024 * 1024 + 1]).await, too_large, "{}", rpc.full_name());
    }
    let mut health = tonic_health::pb::health_client::HealthClient::new(world.line().channel());
    let request = tonic_health::pb::HealthCheckRequest { service: "nothing".to_owned() };
    let unknown = health.check(request).await.unwrap_err();
    assert_eq!(told(unknown), (Code::NotFound, "SERVICE_NOT_FOUND".to_owned()));
    let compressed = ParcelServiceClient::new(world.line().authorised(courier.key()));
    let mut request = tonic::Request::new(v1::ListParcelsRequest::default());
    request.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let refused = answer(compressed.clone().list_parcels(request).await).unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::Unimplemented, "UNIMPLEMENTED"));
}
