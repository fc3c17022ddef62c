//! What every Gatepost process does around its work: the clock, settings, telemetry and an orderly end.
//! Nothing here knows of parcels, residents or storage.

pub mod client_tls;
pub mod clock;
pub mod config;
pub mod ids;
pub mod metrics_http;
pub mod open_files;
pub mod shutdown;
pub mod telemetry;
