//! Every metric's name, unit and meaning.

use gatepost_domain::Parcel;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, UpDownCounter},
};

/// The instruments of the platform.
#[expect(missing_docs, reason = "each instrument is described where it is made")]
pub struct Metrics {
    pub rpcs: Histogram<f64>,
    pub connections_turned_away: Counter<u64>,
    pub strangers: Counter<u64>,
    pub over_quota: Counter<u64>,
    pub oidc_fetches: Counter<u64>,
    pub tls_files_usable: Gauge<u64>,
    pub tls_expires_in: Gauge<i64>,
    pub steps: Counter<u64>,
    pub placements: Counter<u64>,
    pub ranking: Histogram<f64>,
    pub unusable: Counter<u64>,
    pub timer_lateness: Histogram<f64>,
    pub timers_not_moved: Counter<u64>,
    pub timers_scheduled: Counter<u64>,
    pub timers_fired: Counter<u64>,
    pub timers_held: Gauge<u64>,
    pub timers_oldest: Gauge<f64>,
    pub timers_slot: Histogram<u64>,
    pub timers_reachable: Gauge<u64>,
    pub timers_loaded: Gauge<u64>,
    pub timers_clock_offset: Gauge<i64>,
    pub timers_claim: Histogram<f64>,
    pub timers_leases_expired: Counter<u64>,
    pub timers_fenced: Counter<u64>,
    pub timers_checked: Counter<u64>,
    pub timers_repaired: Counter<u64>,
    pub timers_swept: Counter<u64>,
    pub timers_rebuilt: Counter<u64>,
    pub timers_rebuild: Histogram<f64>,
    pub notices: Counter<u64>,
    pub notices_oldest: Gauge<f64>,
    pub frames: Counter<u64>,
    pub frame_age: Histogram<f64>,
    pub verdicts: Counter<u64>,
    pub misidentifications: Counter<u64>,
    pub model_agreement: Counter<u64>,
    pub workers: Gauge<u64>,
    pub event_streams: UpDownCounter<i64>,
    pub events_expired: Counter<u64>,
    pub retention_deleted: Counter<u64>,
    pub webhooks: Counter<u64>,
    pub webhook_duration: Histogram<f64>,
    pub webhooks_oldest: Gauge<f64>,
    pub webhooks_disabled: Gauge<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let meter = global::meter("gatepost");
        let counter = |name, what| meter.u64_counter(name).with_description(what).build();
        let seconds = |name, what| meter.f64_histogram(name).with_unit("s").with_description(what).build();
        let number = |name, what| meter.u64_gauge(name).with_description(what).build();
        Self {
            rpcs: seconds("gatepost_rpc_duration", "time to answer a call, by rpc and code"),
            connections_turned_away: counter(
                "gatepost_connections_turned_away",
                "connections there was no place or no open file for; alarm above 0",
            ),
            strangers: counter("gatepost_authentication_failures", "calls of nobody we know, by reason"),
            over_quota: counter(
                "gatepost_quota_refusals",
                "calls refused because of a quota, by the kind of principal and by quota",
            ),
            oidc_fetches: counter(
                "gatepost_oidc_key_fetches",
                "times an identity provider's keys were asked for, by outcome",
            ),
            tls_files_usable: number(
                "gatepost_tls_files_usable",
                "1 while what the TLS files hold is served; alarm at 0",
            ),
            tls_expires_in: meter
                .i64_gauge("gatepost_tls_certificate_expires_in")
                .with_unit("s")
                .with_description("until a certificate ends, by certificate: server, client_ca, or the client_crl; alarm below a week")
                .build(),
            steps: counter("gatepost_steps", "steps taken, by the state they led to"),
            placements: counter("gatepost_placements", "places decided, by outcome: locker, door or unresolved"),
            ranking: seconds("gatepost_ranking_duration", "time to rank a community's lockers for one parcel"),
            unusable: counter("gatepost_unusable_places", "places couriers found unusable, by community"),
            timer_lateness: seconds(
                "gatepost_timer_lateness",
                "from a deadline to its effect's transaction, by effect: plan, reminder or recall",
            ),
            timers_not_moved: counter("gatepost_timers_not_moved", "timers the index did not take; alarm above 0"),
            timers_scheduled: counter("gatepost_timers_scheduled", "deadlines that moved"),
            timers_fired: counter("gatepost_timers_fired", "timers fired, by outcome: effect, nothing or not_due"),
            timers_held: number("gatepost_timers_held", "timers read and not yet acknowledged"),
            timers_oldest: meter
                .f64_gauge("gatepost_timers_oldest_due")
                .with_unit("s")
                .with_description(
                    "by shard, how long the earliest slot that nobody has leased is overdue; alarm above 5",
                )
                .build(),
            timers_slot: meter
                .u64_histogram("gatepost_timers_slot_size")
                .with_description("timers in a slot when it was read; best is 32 to 100")
                .build(),
            timers_reachable: number("gatepost_timers_reachable", "1 while the timer index answers; alarm at 0"),
            timers_loaded: number("gatepost_timers_loaded", "1 unless a part of the timer index was lost"),
            timers_clock_offset: meter
                .i64_gauge("gatepost_timers_clock_offset")
                .with_unit("ms")
                .with_description("the index's clock minus this replica's; alarm beyond 1000")
                .build(),
            timers_claim: seconds("gatepost_timers_claim_duration", "time to lease what is due"),
            timers_leases_expired: counter("gatepost_timers_leases_expired", "leases whose holder let them run out"),
            timers_fenced: counter(
                "gatepost_timers_acknowledgements_fenced",
                "slots acknowledged under a lease that had ended",
            ),
            timers_checked: counter("gatepost_timers_lookahead_checked", "timers looked for before they were due"),
            timers_repaired: counter("gatepost_timers_lookahead_repaired", "timers missing then and put back"),
            timers_rebuild: seconds("gatepost_timers_rebuild_duration", "time to make the index from the rows"),
            timers_swept: counter("gatepost_timers_swept", "deadlines found by the sweep only; alarm above 0"),
            timers_rebuilt: counter("gatepost_timers_rebuilt", "timers put back after the index was lost"),
            notices: counter("gatepost_notices", "attempts to deliver a reminder, by channel and outcome"),
            notices_oldest: meter
                .f64_gauge("gatepost_notices_oldest")
                .with_unit("s")
                .with_description("age of the oldest reminder that is still to be delivered")
                .build(),
            frames: counter("gatepost_frames", "camera frames, by outcome"),
            frame_age: seconds("gatepost_frame_age", "from the capture of a frame to its faces"),
            verdicts: counter("gatepost_verdicts", "tracks decided, by verdict"),
            model_agreement: counter(
                "gatepost_model_agreement",
                "faces that the two models of an upgrade looked at, by what they said: same, neither, only_old, only_new or different",
            ),
            misidentifications: counter(
                "gatepost_misidentifications",
                "sightings known to be of somebody else, by reason",
            ),
            workers: meter.u64_gauge("gatepost_vision_workers").with_description("connected vision workers").build(),
            event_streams: meter
                .i64_up_down_counter("gatepost_event_streams")
                .with_description("open courier event streams")
                .build(),
            events_expired: counter("gatepost_events_expired", "courier events deleted because of their age"),
            retention_deleted: counter("gatepost_retention_deleted", "rows deleted or cleared because of their age, by class"),
            webhooks: counter("gatepost_webhooks", "webhooks to couriers, by outcome: delivered, failed, dead or gone"),
            webhook_duration: seconds("gatepost_webhook_duration", "time of one webhook to a courier"),
            webhooks_oldest: meter
                .f64_gauge("gatepost_webhooks_oldest")
                .with_unit("s")
                .with_description("age of the oldest event that an enabled endpoint is still to be told")
                .build(),
            webhooks_disabled: number("gatepost_webhooks_disabled", "disabled webhook endpoints, by reason"),
        }
    }
}

impl Metrics {
    /// Counts a step.
    pub fn step(&self, parcel: &Parcel) {
        self.steps.add(1, &[KeyValue::new("state", parcel.state().name().name())]);
    }
}
