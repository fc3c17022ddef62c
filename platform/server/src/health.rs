//! gRPC health with real dependencies: serving while the database answers and the schema is current.
//!
//! A timer index that is away is no reason to send nobody here: everything is answered, and deadlines come from the rows,
//! late by a bounded time. It has a name of its own, [`TIMERS`], for whoever wants to be told.

use gatepost_proto::v1::{
    event_service_server::EventServiceServer, gate_service_server::GateServiceServer,
    parcel_service_server::ParcelServiceServer,
};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::platform::Platform;

const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// Whether deadlines come from the timer index.
const TIMERS: &str = "gatepost.timers";

/// The whole server (""), each public service, and the timers.
const SERVICES: [&str; 5] =
    ["", ParcelServiceServer::<()>::NAME, EventServiceServer::<()>::NAME, GateServiceServer::<()>::NAME, TIMERS];

/// Looks once, so that whoever can ask is told the truth. Gates are only served while a vision worker is connected.
pub async fn look(platform: &Platform, reporter: &HealthReporter) {
    let database = platform.store.check().await;
    if let Err(error) = &database {
        tracing::error!(%error, "not serving: the database does not answer");
    }
    let gates = database.is_ok() && platform.hub.workers() > 0;
    for service in SERVICES {
        let good = match service {
            TIMERS => platform.timekeeping.is_reachable(),
            _ if service == GateServiceServer::<()>::NAME => gates,
            _ => database.is_ok(),
        };
        let status = if good { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(service, status).await;
    }
}

/// Keeps the health current until the server drains.
pub async fn watch(platform: Platform, reporter: HealthReporter, draining: CancellationToken) {
    loop {
        tokio::select! {
            () = draining.cancelled() => break,
            () = platform.clock.sleep_until(platform.now() + LOOK_EVERY) => {}
        }
        look(&platform, &reporter).await;
    }
    for service in SERVICES {
        reporter.set_service_status(service, ServingStatus::NotServing).await;
        // Ends the streams of those who watch: they would hold up the drain for ever.
        reporter.clone().clear_service_status(service).await;
    }
}
