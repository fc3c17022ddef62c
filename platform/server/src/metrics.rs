//! Every metric's name, unit and meaning.

use gatepost_domain::Parcel;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, UpDownCounter},
};

/// The instruments of the platform.
pub struct Metrics {
    pub rpcs: Histogram<f64>,
    pub steps: Counter<u64>,
    pub timer_lateness: Histogram<f64>,
    pub timers_not_moved: Counter<u64>,
    pub timers_swept: Counter<u64>,
    pub timers_rebuilt: Counter<u64>,
    pub notices: Counter<u64>,
    pub frames: Counter<u64>,
    pub frame_age: Histogram<f64>,
    pub verdicts: Counter<u64>,
    pub workers: Gauge<u64>,
    pub event_streams: UpDownCounter<i64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let meter = global::meter("gatepost");
        let counter = |name, what| meter.u64_counter(name).with_description(what).build();
        let seconds = |name, what| meter.f64_histogram(name).with_unit("s").with_description(what).build();
        Self {
            rpcs: seconds("gatepost_rpc_duration", "time to answer a call, by rpc and code"),
            steps: counter("gatepost_steps", "steps taken, by the state they led to"),
            timer_lateness: seconds("gatepost_timer_lateness", "from a deadline to its effect's transaction"),
            timers_not_moved: counter("gatepost_timers_not_moved", "timers the index did not take; alarm above 0"),
            timers_swept: counter("gatepost_timers_swept", "deadlines found by the sweep only; alarm above 0"),
            timers_rebuilt: counter("gatepost_timers_rebuilt", "timers put back after the index was lost"),
            notices: counter("gatepost_notices", "attempts to deliver a reminder, by channel and outcome"),
            frames: counter("gatepost_frames", "camera frames, by outcome"),
            frame_age: seconds("gatepost_frame_age", "from the capture of a frame to its faces"),
            verdicts: counter("gatepost_verdicts", "tracks decided, by verdict"),
            workers: meter.u64_gauge("gatepost_vision_workers").with_description("connected vision workers").build(),
            event_streams: meter
                .i64_up_down_counter("gatepost_event_streams")
                .with_description("open courier event streams")
                .build(),
        }
    }
}

impl Metrics {
    /// Counts a step.
    pub fn step(&self, parcel: &Parcel) {
        self.steps.add(1, &[KeyValue::new("state", parcel.state().name().name())]);
    }
}
