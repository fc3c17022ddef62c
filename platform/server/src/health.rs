//! gRPC health with real dependencies: serving while the database answers and the schema is current.

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

/// Keeps the health of the whole server ("") and of each public service current. Gates are only served while a vision
/// worker is connected.
pub async fn watch(platform: Platform, reporter: HealthReporter, draining: CancellationToken) {
    loop {
        let database = platform.store.check().await;
        if let Err(error) = &database {
            tracing::error!(%error, "not serving: the database does not answer");
        }
        let serving = |good: bool| if good { ServingStatus::Serving } else { ServingStatus::NotServing };
        let good = database.is_ok() && !draining.is_cancelled();
        let gates = good && platform.hub.workers() > 0;
        reporter.set_service_status("", serving(good)).await;
        reporter.set_service_status(ParcelServiceServer::<()>::NAME, serving(good)).await;
        reporter.set_service_status(EventServiceServer::<()>::NAME, serving(good)).await;
        reporter.set_service_status(GateServiceServer::<()>::NAME, serving(gates)).await;
        if draining.is_cancelled() {
            return;
        }
        tokio::select! {
            () = draining.cancelled() => {}
            () = platform.clock.sleep_until(platform.now() + LOOK_EVERY) => {}
        }
    }
}
