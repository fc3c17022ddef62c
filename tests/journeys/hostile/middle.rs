//! Clients that begin well and then stop, go slowly, or say too much.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use gatepost_proto::v1;
use gatepost_tests::clients::{Refused, answer, new_request_id};
use http_body::Frame;
use tonic::{Code, Request, Status, body::Body, client::GrpcService as _};

use super::{
    growth, is_answered, platform,
    raw::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Raw, frame, header, headers, message, opening},
};

const LIST: &str = "/gatepost.v1.ParcelService/ListParcels";
const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn whoever_stops_in_the_middle_of_a_frame_is_let_go() {
    let (live, courier) = platform(&[("GATEPOST_LISTEN__KEEPALIVE", "500ms")]).await;
    let call = frame(HEADERS, END_HEADERS, 1, &headers(LIST, Some(courier.key())));
    let mut half = Raw::connect(live.address()).await;
    half.send(&opening(65_535)).await;
    half.send(&call[..call.len() / 2]).await;
    assert!(half.is_closed().await);

    // Headers that come one byte at a time keep it from saying that it is there.
    let mut slow = Raw::connect(live.address()).await;
    slow.send(&opening(65_535)).await;
    let sent = slow.trickle(&call, Duration::from_millis(50)).await;
    assert!(!sent || slow.is_closed().await);
    is_answered(&courier).await;
}

/// A body that says a message of 1,000 bytes comes, sends five of them, and does not end.
struct Unfinished(Option<Bytes>);

impl http_body::Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn a_request_that_never_ends_is_answered() {
    let (live, courier) = platform(&[("GATEPOST_LISTEN__ANSWER_WITHIN", "500ms")]).await;
    let mut channel = live.line().channel();
    poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let body = Unfinished(Some(Bytes::from_static(&[0, 0, 0, 3, 232, 1, 2, 3, 4, 5])));
    let request = http::Request::post(LIST)
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {}", courier.key().secret()))
        .body(Body::new(body))
        .unwrap();
    let answered = tokio::time::timeout(super::ANSWERED_WITHIN, channel.call(request)).await;
    let answered = answered.expect("an answer in time").expect("an answer");
    let refused = Refused::from(Status::from_header_map(answered.headers()).expect("a status"));
    assert_eq!((refused.code, &*refused.reason), (Code::DeadlineExceeded, "TIMED_OUT"));
    is_answered(&courier).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let (live, courier) = platform(&[]).await;
    let before = live.memory();
    let mut request = Request::new(v1::ListParcelsRequest::default());
    request.metadata_mut().insert("padding", "x".repeat(60_000).parse().unwrap());
    let headers_refused = answer(courier.parcels().list_parcels(request).await).unwrap_err();
    assert_ne!(headers_refused.code, Code::Ok);
    is_answered(&courier).await;

    let large = v1::AnnounceParcelRequest {
        request_id: new_request_id(),
        tracking_number: "x".repeat(8 << 20),
        ..Default::default()
    };
    for _ in 0..20 {
        let refused = courier.announce_as(large.clone()).await.unwrap_err();
        assert!(![Code::Internal, Code::Unknown].contains(&refused.code), "{refused:?}");
    }
    is_answered(&courier).await;
    assert!(growth(&live, before) < 48 * MIB, "{} bytes", growth(&live, before));
}

#[tokio::test]
async fn strangers_cost_little() {
    let (live, courier) = platform(&[]).await;
    let before = live.memory();
    let mut raw = Raw::connect(live.address()).await;
    raw.send(&opening(0)).await;
    // Messages of 4 MiB that are never finished, and answers that are never read.
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let file = message(b"\x22\x19gatepost.v1.ParcelService");
    for number in 0..500 {
        let (stream, check) = (4 * number + 1, headers("/grpc.health.v1.Health/Check", None));
        raw.send(&frame(HEADERS, END_HEADERS, stream, &check)).await;
        raw.send(&frame(DATA, 0, stream, &[&[0, 0, 64, 0, 0][..], &[0; 1_000]].concat())).await;
        raw.send(&frame(HEADERS, END_HEADERS, stream + 2, &headers(reflection, None))).await;
        raw.send(&frame(DATA, END_STREAM, stream + 2, &file)).await;
    }
    is_answered(&courier).await;
    assert!(growth(&live, before) < 48 * MIB, "{} bytes", growth(&live, before));
}

#[tokio::test]
async fn calls_that_are_taken_back_at_once_cost_little() {
    let (live, courier) = platform(&[]).await;
    let hostile = live.courier("cloud-way").await;
    let before = live.memory();
    for _ in 0..5 {
        let mut raw = Raw::connect(live.address()).await;
        raw.send(&opening(65_535)).await;
        let block = headers(LIST, Some(hostile.key()));
        for number in 0..4_000 {
            let stream = 2 * number + 1;
            let call = [
                frame(HEADERS, END_HEADERS | END_STREAM, stream, &block),
                frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()),
            ];
            if !raw.send(&call.concat()).await {
                // It has enough of this client, which is as good.
                break;
            }
        }
        is_answered(&courier).await;
    }
    assert!(growth(&live, before) < 48 * MIB, "{} bytes", growth(&live, before));
}

#[tokio::test]
async fn whoever_breaks_the_protocol_call_after_call_is_let_go() {
    let (live, courier) = platform(&[]).await;
    let hostile = live.courier("cloud-way").await;
    let mut raw = Raw::connect(live.address()).await;
    raw.send(&opening(65_535)).await;
    // A body that is promised and does not come is an error, for which the server takes the call back.
    let mut block = headers(LIST, Some(hostile.key()));
    header(&mut block, "content-length", "5");
    for number in 0..1_100 {
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block)).await;
    }
    assert!(raw.is_closed().await, "a connection of nothing but faults");
    is_answered(&courier).await;
}

#[tokio::test]
async fn who_takes_everything_back_at_once_keeps_its_connection() {
    let (live, courier) = platform(&[]).await;
    let mut raw = Raw::connect(live.address()).await;
    let block = headers(LIST, Some(courier.key()));
    // In one piece, so that the server reads that they are taken back before it has begun with them.
    let mut all = opening(65_535);
    for number in 0..200 {
        all.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &block));
        all.extend(frame(RST_STREAM, 0, 2 * number + 1, &8u32.to_be_bytes()));
    }
    all.extend(frame(HEADERS, END_HEADERS, 401, &block));
    all.extend(frame(DATA, END_STREAM, 401, &message(&[])));
    raw.send(&all).await;
    let answered = raw.next(|kind, stream| kind == DATA && stream == 401).await;
    assert!(answered.is_some(), "the connection is kept");
}
