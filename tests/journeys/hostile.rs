//! Clients that mean harm, or are broken: they begin and stop, ask and do not read, say too much or never end. What they
//! cost is bounded, and everybody else is answered meanwhile.
//!
//! The platform is a process of its own, so that its memory can be read. `GATEPOST_IDLE_STREAMS=10000` holds that many
//! streams, each on a connection of its own if `GATEPOST_IDLE_CONNECTIONS` is set too; that needs as many open files
//! as there are connections, in the platform and here. Tried: 10,000 streams with a connection each cost 44 KB each, in a
//! debug build.

mod beginning;
mod idle;
mod middle;
mod raw;
mod reading;

use std::time::Duration;

use gatepost_tests::{
    clients::{Courier, Label},
    live::{Live, quick_policy},
};

/// Whoever behaves is answered within this, on a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// T1 and T2 are no concern of these tests.
const HOUR: i64 = 3_600_000;

/// A platform with one courier who behaves.
async fn platform(settings: &[(&str, &str)]) -> (Live, Courier) {
    let live = Live::serve(settings).await;
    live.community(quick_policy(HOUR, 2 * HOUR)).await;
    let courier = live.courier("swift-express").await;
    let resident = live.resident("王芳", "13800010001", "wang@example.org").await;
    courier.bring(&Label::to(&resident)).await;
    (live, courier)
}

/// A caller who behaves is answered.
async fn is_answered(courier: &Courier) {
    let listed = tokio::time::timeout(ANSWERED_WITHIN, courier.list(10, "")).await;
    assert_eq!(listed.expect("an answer in time").expect("an answer").parcels.len(), 1);
}

/// How much more the platform holds than before, in bytes.
fn growth(live: &Live, before: u64) -> u64 {
    live.memory().saturating_sub(before)
}
