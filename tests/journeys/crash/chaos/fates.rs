//! What becomes of each parcel: its deadlines, and whether and when it is picked up.

use futures::future::join_all;
use gatepost_domain::id::ParcelId;
use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_proto::v1::ConfirmPickupRequest;
use gatepost_tests::{
    clients::{Courier, Line, new_request_id},
    crowd,
    world::soon,
};
use jiff::{SignedDuration, Timestamp};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{PARCELS, toll::LATE_MAX};
use crate::crash::seeded::Seeded;

/// T1 of all lie within so many milliseconds, T2 so much later than T1 and at most so much more. A T1 that is as late as
/// it may be still comes before T2.
const T1_WITHIN: u64 = 4_000;
const T2_AFTER: i64 = LATE_MAX + 1_000;
const T2_WITHIN: u64 = 2_000;
/// When a quarter of them has T1.
const BURST: i64 = 1_500;
/// Terminals at which parcels are picked up.
const TERMINALS: usize = 4;
/// Some pickups race with a deadline, this close.
const CLOSE: u64 = 60;

/// By when every deadline has come, after the beginning.
pub const END: i64 = T1_WITHIN as i64 + T2_AFTER + T2_WITHIN as i64;

/// In milliseconds after the beginning.
pub struct Fate {
    pub parcel: ParcelId,
    pub t1: i64,
    pub t2: i64,
    pub pickup: Option<i64>,
}

impl Fate {
    /// As the row has them.
    pub fn deadlines(&self, begin: Timestamp) -> (ParcelId, i64, i64) {
        let begin = begin.as_millisecond();
        (self.parcel, begin + self.t1, begin + self.t2)
    }
}

/// Every parcel's.
pub fn of(seed: u64) -> Vec<Fate> {
    let mut seeded = Seeded::of(seed, 1);
    let fate = |number| {
        let t1 = if seeded.below(4) == 0 { BURST } else { seeded.below(T1_WITHIN) as i64 };
        let t2 = t1 + T2_AFTER + seeded.below(T2_WITHIN) as i64;
        let close = seeded.below(CLOSE) as i64 - CLOSE as i64 / 2;
        let pickup = match seeded.below(24) {
            0 => Some(t1 + close),
            1 => Some(t2 + close),
            2 | 3 => Some(seeded.below(END as u64) as i64),
            _ => None,
        };
        Fate { parcel: crowd::parcel(number), t1, t2, pickup }
    };
    (0..PARCELS).map(fate).collect()
}

/// Picks up what is to be picked up, each at its time and until it is acknowledged, by whichever replica answers.
pub async fn pick_up(fates: &[Fate], begin: Timestamp, courier: &Courier, lines: &[Line], seed: u64) {
    let mut pickups: Vec<(i64, ParcelId)> = fates.iter().filter_map(|fate| Some((fate.pickup?, fate.parcel))).collect();
    pickups.sort_unstable();
    let replicas: Vec<Courier> = lines.iter().map(|line| courier.at(line)).collect();
    join_all((0..TERMINALS).map(async |terminal| {
        let mut seeded = Seeded::of(seed, 100 + terminal as u64);
        for (at, parcel) in pickups.iter().skip(terminal).step_by(TERMINALS) {
            SystemClock.sleep_until(begin + SignedDuration::from_millis(*at)).await;
            let request =
                ConfirmPickupRequest { request_id: new_request_id(), parcel_id: parcel.to_string(), pickup_time: None };
            loop {
                let replica = &replicas[seeded.below(replicas.len() as u64) as usize];
                let answer = soon("an answer or the end of the connection", async {
                    replica.parcels().confirm_pickup(request.clone()).await
                });
                let Err(status) = answer.await else { break };
                // What the platform itself says no to is a failure; a broken connection is not.
                let said = status.get_details_error_info().is_some();
                assert!(!said || matches!(status.code(), Code::Aborted | Code::Unavailable), "{status:?}");
                seeded.pause(5, 50).await;
            }
        }
    }))
    .await;
}
