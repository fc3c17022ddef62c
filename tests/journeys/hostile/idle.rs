//! Many streams on which nothing happens.

use gatepost_process::open_files;
use gatepost_proto::v1::{self, event_service_client::EventServiceClient, principal};
use gatepost_tests::{
    clients::{Key, endpoint},
    live::Live,
    world::soon,
};
use tonic::{Request, Streaming};

use super::{growth, is_answered, platform};

/// In the form that runs every time.
const STREAMS: usize = 500;
/// Of one courier.
const PER_COURIER: usize = 50;
/// Of one connection, unless each has its own.
const PER_CONNECTION: usize = 100;
/// What a stream may cost the platform, with its share of a connection; a connection of its own included.
const BYTES_MAX: u64 = 64 * 1024;

#[tokio::test]
async fn idle_streams_cost_little_and_disturb_nobody() {
    open_files::raise_limit();
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<usize>().unwrap());
    let streams = number("GATEPOST_IDLE_STREAMS").unwrap_or(STREAMS);
    let per_connection = if number("GATEPOST_IDLE_CONNECTIONS").is_some() { 1 } else { PER_CONNECTION };
    let (live, courier) = platform(&[]).await;
    let mut keys = Vec::new();
    for number in 0..streams.div_ceil(PER_COURIER) {
        keys.push(key(&live, &format!("courier-{number}")).await);
    }
    is_answered(&courier).await;
    let (before, files) = (live.memory(), live.open_files());
    let mut held = Vec::new();
    let mut channel = None;
    for number in 0..streams {
        if number % per_connection == 0 {
            channel = Some(endpoint(live.address(), None).connect().await.expect("a connection"));
        }
        let mut client = EventServiceClient::new(channel.clone().unwrap());
        held.push(stream(&mut client, &keys[number / PER_COURIER]).await);
    }
    let (each, files) = (growth(&live, before) / streams as u64, live.open_files() - files);
    println!("{streams} streams: {before} bytes before, {} with them, {each} each, {files} more files", live.memory());
    is_answered(&courier).await;
    assert!(each < BYTES_MAX, "{each} bytes for a stream");
}

async fn key(live: &Live, courier: &str) -> Key {
    let administrator = live.administrator();
    administrator.add_courier(courier).await.unwrap();
    administrator.issue_key(principal::Principal::CourierId(courier.to_owned())).await.unwrap().1
}

async fn stream(
    client: &mut EventServiceClient<tonic::transport::Channel>,
    key: &Key,
) -> Streaming<v1::StreamEventsResponse> {
    let mut request = Request::new(v1::StreamEventsRequest { after_sequence: Some(0) });
    request.metadata_mut().insert("authorization", format!("Bearer {}", key.secret()).parse().unwrap());
    soon("a stream", client.stream_events(request)).await.expect("a stream").into_inner()
}
