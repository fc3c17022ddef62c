//! Places at which a test ends this process, loses a write or sets the clock wrong. There is nothing at them unless the
//! feature `failpoints` is on, which only the tests turn on.
//!
//! What is to happen is told in the environment, in the words of the crate `fail`:
//! `FAILPOINTS=timers.claimed=1*return;timers.put=5%return;clock=return(400)`.

use gatepost_process::clock::{SharedClock, SystemClock};

/// Reads what a test wants. It holds until the process ends.
pub fn set_up() {
    #[cfg(feature = "failpoints")]
    armed::set_up();
}

/// The system's clock, ahead by as many milliseconds as a test wants at `clock`.
pub fn clock() -> SharedClock {
    #[cfg(feature = "failpoints")]
    if let Some(clock) = armed::clock() {
        return clock;
    }
    SystemClock::shared()
}

/// Ends the process as SIGKILL does, if a test wants it to end here.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "there is nothing at this place"))]
pub(crate) fn die_at(place: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::die_at(place);
}

/// Whether a test wants what is written here to be lost.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "there is nothing at this place"))]
pub(crate) fn loses(place: &'static str) -> bool {
    #[cfg(feature = "failpoints")]
    return armed::loses(place);
    #[cfg(not(feature = "failpoints"))]
    false
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{process::Command, sync::Arc};

    use async_trait::async_trait;
    use fail::{FailScenario, fail_point};
    use gatepost_domain::Timestamp;
    use gatepost_process::clock::{Clock, SharedClock, SystemClock};
    use jiff::SignedDuration;

    pub fn set_up() {
        // Dropping it would disarm every place.
        std::mem::forget(FailScenario::setup());
    }

    pub fn clock() -> Option<SharedClock> {
        fail_point!("clock", |ahead| {
            let ahead = ahead.and_then(|ahead| ahead.parse().ok()).map(SignedDuration::from_millis)?;
            Some(Arc::new(Ahead(ahead)) as SharedClock)
        });
        None
    }

    /// Nothing that this thread would do next happens: it waits for the end.
    pub fn die_at(place: &'static str) {
        fail_point!(place, |_| {
            let _ = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
            loop {
                std::thread::park();
            }
        });
    }

    pub fn loses(place: &'static str) -> bool {
        fail_point!(place, |_| true);
        false
    }

    /// A clock that is wrong.
    struct Ahead(SignedDuration);

    #[async_trait]
    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            SystemClock.now() + self.0
        }

        async fn sleep_until(&self, deadline: Timestamp) {
            SystemClock.sleep_until(deadline - self.0).await;
        }
    }
}
