//! Clients that ask and do not read.

use std::time::Duration;

use gatepost_tests::clients::{Courier, Label};

use super::{
    growth, is_answered, platform,
    raw::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, frame, headers, message, opening},
};

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn answers_that_nobody_reads_are_few() {
    let (live, courier) = platform(&[]).await;
    let hostile = live.courier("cloud-way").await;
    let before = live.memory();
    let mut raw = Raw::connect(live.address()).await;
    raw.send(&opening(0)).await;
    for number in 0..1_000 {
        let call = headers("/gatepost.v1.ParcelService/ListParcels", Some(hostile.key()));
        raw.send(&frame(HEADERS, END_HEADERS, 2 * number + 1, &call)).await;
        raw.send(&frame(DATA, END_STREAM, 2 * number + 1, &message(&[]))).await;
    }
    is_answered(&courier).await;
    assert!(growth(&live, before) < 64 * MIB, "{} bytes", growth(&live, before));
}

/// A stream of events whose reader has gone to sleep.
async fn asleep(live: &gatepost_tests::live::Live, courier: &Courier) -> Raw {
    let mut raw = Raw::connect(live.address()).await;
    raw.send(&opening(0)).await;
    let call = headers("/gatepost.v1.EventService/StreamEvents", Some(courier.key()));
    raw.send(&frame(HEADERS, END_HEADERS, 1, &call)).await;
    raw.send(&frame(DATA, END_STREAM, 1, &message(&[8, 0]))).await;
    let begun = raw.next(|kind, stream| kind == HEADERS && stream == 1).await;
    assert!(begun.is_some(), "the stream begins");
    raw
}

#[tokio::test]
async fn a_drain_does_not_wait_for_who_does_not_read() {
    let (mut live, courier) = platform(&[]).await;
    let resident = live.resident("陈伟", "13800010002", "chen@example.org").await;
    for _ in 0..3 {
        courier.bring(&Label::to(&resident)).await;
    }
    let _asleep = asleep(&live, &courier).await;
    let mut awake = courier.follow(Some(0)).await.unwrap();
    awake.next().await;
    live.terminate().await;
    // Well before the orchestrator, or the second signal, would cut it.
    let ended = tokio::time::timeout(Duration::from_secs(15), live.ended()).await.expect("an end in time");
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("not drained"), "{}", ended.said);
    assert!(ended.said.contains("callers are left behind"), "{}", ended.said);
    while let Some(message) = awake.message().await {
        if let gatepost_proto::v1::stream_events_response::Message::Drain(_) = message {
            return;
        }
    }
    panic!("who reads is told of the drain");
}
