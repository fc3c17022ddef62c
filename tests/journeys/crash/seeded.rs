//! Numbers that look random and are the same in every run: splitmix64.

use gatepost_process::clock::{Clock as _, SystemClock};
use gatepost_tests::live::now;
use jiff::SignedDuration;

pub struct Seeded(pub u64);

impl Seeded {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Numbers of somebody's own, for the `number`th.
    pub fn of(seed: u64, number: u64) -> Seeded {
        Seeded(seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// A while of this many milliseconds.
    pub async fn pause(&mut self, least: u64, most: u64) {
        let milliseconds = least + self.below(most - least);
        SystemClock.sleep_until(now() + SignedDuration::from_millis(milliseconds as i64)).await;
    }
}
