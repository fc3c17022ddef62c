//! Many announcements at once: as a batch, and as a stream.

use std::collections::BTreeSet;

use futures::future::join_all;
use gatepost_proto::v1::{
    self, AnnounceParcelsRequest, ParcelAnnouncement, StreamAnnouncementsRequest, announcement_result::Outcome,
};
use gatepost_tests::{
    clients::{Courier, Label, Refused, new_request_id},
    world::{World, soon},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

on_both_stacks!(
    a_batch_is_answered_one_by_one,
    copies_of_a_batch_are_one_batch,
    a_thousand_are_one_batch,
    a_stream_is_answered_as_it_goes,
);

fn told(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Announced(announced) => &announced.parcel.as_ref().unwrap().tracking_number,
        Outcome::Error(error) => &error.reason,
    }
}

async fn number_of_parcels(courier: &Courier) -> usize {
    let (mut count, mut token) = (0, String::new());
    loop {
        let page = courier.list(500, &token).await.unwrap();
        count += page.parcels.len();
        token = page.next_page_token;
        if token.is_empty() {
            return count;
        }
    }
}

async fn a_batch_is_answered_one_by_one(world: World) {
    let courier = world.courier("swift-express").await;
    let label = || Label::to(&world.resident("王芳"));
    let (first, second, known) = (label(), label(), label());
    courier.announce(&known).await.unwrap();
    let elsewhere = ParcelAnnouncement { community_id: "nowhere".to_owned(), ..label().announcement() };
    let shapeless = ParcelAnnouncement { size: 0, ..label().announcement() };
    let announcements = vec![
        first.announcement(),
        known.announcement(),
        elsewhere,
        shapeless,
        first.announcement(),
        second.announcement(),
    ];
    let outcomes = courier.announce_all(announcements).await.unwrap();
    let expected = [
        &*first.tracking_number,
        "TRACKING_NUMBER_TAKEN",
        "COMMUNITY_NOT_FOUND",
        "INVALID_FIELD",
        "TRACKING_NUMBER_TAKEN",
        &*second.tracking_number,
    ];
    assert_eq!(outcomes.iter().map(told).collect::<Vec<_>>(), expected);
    let codes: Vec<i32> =
        outcomes.iter().filter_map(|o| if let Outcome::Error(error) = o { Some(error.code) } else { None }).collect();
    assert_eq!(codes, [Code::AlreadyExists, Code::NotFound, Code::InvalidArgument, Code::AlreadyExists].map(i32::from));
    let Outcome::Announced(announced) = &outcomes[5] else { panic!("{outcomes:?}") };
    assert_eq!(announced.ranking.len(), 3);
    assert_eq!(courier.parcel_by_number(&second.tracking_number).await.unwrap(), announced.parcel.clone().unwrap());

    for count in [0, 1_001] {
        let refused = courier.announce_all(vec![first.announcement(); count]).await.unwrap_err();
        assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["announcements".to_owned()][..]));
    }
}

async fn copies_of_a_batch_are_one_batch(world: World) {
    let courier = world.courier("swift-express").await;
    let mut announcements: Vec<_> = (0..60).map(|_| Label::to(&world.resident("王芳")).announcement()).collect();
    announcements[30].size = 0;
    let request = AnnounceParcelsRequest { request_id: new_request_id(), announcements };
    let copies = join_all((0..20).map(|_| courier.announce_batch(request.clone()))).await;
    let first = copies[0].as_ref().unwrap();
    for copy in &copies {
        assert_eq!(copy.as_ref().unwrap(), first);
    }
    assert_eq!(number_of_parcels(&courier).await, 59);
    let mut shorter = request.clone();
    shorter.announcements.pop();
    let refused = courier.announce_batch(shorter).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    let other = world.courier("cloud-way").await;
    assert_ne!(&other.announce_batch(request).await.unwrap(), first, "another courier's batch is another");
}

async fn a_thousand_are_one_batch(world: World) {
    let courier = world.courier("swift-express").await;
    let announcements = (0..1_000).map(|_| Label::to(&world.resident("王芳")).announcement()).collect();
    let outcomes = courier.announce_all(announcements).await.unwrap();
    let announced = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Announced(_))).count();
    assert_eq!((announced, number_of_parcels(&courier).await), (1_000, 1_000));
    let places: BTreeSet<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Announced(announced) => announced.parcel.as_ref()?.placement.as_ref(),
            Outcome::Error(_) => None,
        })
        .filter(|placement| placement.kind() == v1::PlacementKind::Locker)
        .map(|placement| (&placement.locker_id, &placement.compartment_id))
        .collect();
    assert_eq!(places.len(), 9, "there are nine compartments, each given once");
}

type Results = Streaming<v1::StreamAnnouncementsResponse>;

async fn open(courier: &Courier) -> (mpsc::Sender<StreamAnnouncementsRequest>, Results) {
    let (sender, receiver) = mpsc::channel(64);
    let results = courier.parcels().stream_announcements(ReceiverStream::new(receiver)).await.unwrap();
    (sender, results.into_inner())
}

async fn next(results: &mut Results) -> Result<Option<v1::StreamAnnouncementsResponse>, Refused> {
    soon("a result", results.message()).await.map_err(Refused::from)
}

async fn a_stream_is_answered_as_it_goes(world: World) {
    let courier = world.courier("swift-express").await;
    let (sender, mut results) = open(&courier).await;
    let mut requests: Vec<_> = (0..40).map(|_| Label::to(&world.resident("王芳")).request()).collect();
    requests[7].size = 0;
    requests[9] = requests[8].clone();
    for request in &requests {
        sender.send(StreamAnnouncementsRequest { announcement: Some(request.clone()) }).await.unwrap();
    }
    for (number, request) in requests.iter().enumerate() {
        let answer = next(&mut results).await.unwrap().unwrap();
        assert_eq!(answer.request_id, request.request_id, "results come in the order of the messages");
        let outcome = answer.result.unwrap().outcome.unwrap();
        let expected = if number == 7 { "INVALID_FIELD" } else { &*request.tracking_number };
        assert_eq!(told(&outcome), expected);
    }
    assert_eq!(number_of_parcels(&courier).await, 38, "a copy is answered and not announced again");
    let again = courier.announce_as(requests[0].clone()).await.unwrap();
    assert_eq!(again.parcel.tracking_number, requests[0].tracking_number, "the same request by the other rpc");
    drop(sender);
    assert!(next(&mut results).await.unwrap().is_none(), "the stream ends well");

    let (_sender, mut results) = open(&courier).await;
    world.begin_drain();
    let ended = next(&mut results).await.unwrap_err();
    assert_eq!((ended.code, &*ended.reason), (Code::Unavailable, "DRAINING"));
}
