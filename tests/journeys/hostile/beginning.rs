//! Connections that never become a client's.

use std::time::Duration;

use gatepost_tests::{clients::endpoint, live::Live, world::until};
use tonic::transport::{Certificate, ClientTlsConfig};

use super::{
    is_answered, platform,
    raw::{PREFACE, Raw},
};

const BEGIN: (&str, &str) = ("GATEPOST_LISTEN__BEGIN_WITHIN", "500ms");
/// The beginning of a ClientHello: a handshake record of 512 bytes.
const HALF_A_HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];

#[tokio::test]
async fn whoever_does_not_begin_is_let_go() {
    let (live, courier) = platform(&[BEGIN]).await;
    let mut nothing = Raw::connect(live.address()).await;
    let mut half = Raw::connect(live.address()).await;
    half.send(&PREFACE[..PREFACE.len() / 2]).await;
    let mut slow = Raw::connect(live.address()).await;
    is_answered(&courier).await;
    // One byte every 100 ms is no standstill at any moment, and still too slow.
    slow.trickle(PREFACE, Duration::from_millis(100)).await;
    for (who, raw) in [("nothing", &mut nothing), ("half of it", &mut half), ("one byte at a time", &mut slow)] {
        assert!(raw.is_closed().await, "{who}");
    }
    is_answered(&courier).await;
}

#[tokio::test]
async fn whoever_does_not_finish_the_handshake_is_let_go_and_keeps_nobody_waiting() {
    let live = Live::serve_with(&["--tls"], &[("GATEPOST_LISTEN__BEGIN_WITHIN", "5s")]).await;
    let mut silent = Vec::new();
    // More than would fit into any bound on handshakes at once.
    for _ in 0..600 {
        let mut raw = Raw::connect(live.address()).await;
        raw.send(&HALF_A_HELLO).await;
        silent.push(raw);
    }
    // Before any of them is let go.
    let ca = std::fs::read_to_string(live.data_dir().join("tls/ca.pem")).unwrap();
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    let endpoint = endpoint(live.address(), Some(tls));
    let connected = tokio::time::timeout(Duration::from_secs(4), endpoint.connect()).await;
    connected.expect("a handshake in time").expect("a handshake");
    for raw in &mut silent[..3] {
        assert!(raw.is_closed().await);
    }
}

#[tokio::test]
async fn whoever_comes_when_all_places_are_taken_is_turned_away() {
    // One place is the courier's.
    let (live, courier) = platform(&[("GATEPOST_LISTEN__CONNECTIONS_MAX", "11")]).await;
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(Raw::connect(live.address()).await);
    }
    // Places are taken in the order of the connections.
    let mut late = Raw::connect(live.address()).await;
    assert!(late.is_closed().await);
    is_answered(&courier).await;
    let (_, metrics) = live.http("/metrics").await;
    assert!(metrics.contains("gatepost_connections_turned_away_total"), "{metrics}");
    drop(others);
    until("a place for somebody new", async || {
        let mut raw = Raw::connect(live.address()).await;
        !raw.is_closed_within(Duration::from_millis(100)).await
    })
    .await;
}
