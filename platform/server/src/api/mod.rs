//! The router: layers from outside to inside, then the services. Nothing else builds one.

mod announcements;
mod captures;
mod communities;
pub mod convert;
mod courier_webhooks;
mod couriers;
mod decisions;
mod events;
mod faces;
mod gates;
mod guardian;
mod keys;
mod models;
mod open;
mod page;
mod parcels;
mod personal;
mod privacy;
mod recognition;
mod residents;
mod residents_service;
pub mod status;
mod stays;
mod tells;
mod vision;
mod webhooks;

use gatepost_proto::{
    DESCRIPTORS,
    v1::{
        community_service_server::CommunityServiceServer, courier_service_server::CourierServiceServer,
        event_service_server::EventServiceServer, gate_service_server::GateServiceServer,
        model_service_server::ModelServiceServer, parcel_service_server::ParcelServiceServer,
        privacy_service_server::PrivacyServiceServer, resident_service_server::ResidentServiceServer,
        webhook_service_server::WebhookServiceServer,
    },
    vision::vision_service_server::VisionServiceServer,
};
use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::Router},
};
use tower::layer::util::{Identity, Stack};

use self::open::Open;
use crate::{auth::AuthLayer, platform::Platform};

/// Most calls: nothing in them is large.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// A thousand announcements, with labels as long as they may be.
const BATCH_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Topologies of whole communities.
const COMMUNITY_MAX_BYTES: usize = 16 * 1024 * 1024;
/// An enrolment photograph of 8 MiB with its frame.
const PHOTOGRAPH_MAX_BYTES: usize = 9 * 1024 * 1024;
/// A camera frame of 2 MiB with its frame, so that one somewhat too large is refused by name and not with the stream.
const FRAME_MAX_BYTES: usize = 3 * 1024 * 1024;
/// Faces of a frame: 64 embeddings of at most 2,048 numbers.
const RESULT_MAX_BYTES: usize = 1024 * 1024;
/// The name of a service or a file: strangers need not send more.
const OPEN_MAX_BYTES: usize = 4 * 1024;
/// Whoever watches the health keeps a stream.
const HEALTH_CALLS_MAX: usize = 20_000;
/// Its answers are large.
const REFLECTION_CALLS_MAX: usize = 64;
const HEADERS_MAX_BYTES: u32 = 16 * 1024;
/// Calls of one connection that end because their frames break the protocol. Each is work that was begun for nothing.
const BROKEN_STREAMS_MAX: usize = 1_024;

/// Everything that is served.
pub async fn router(
    platform: &Platform,
    draining: &CancellationToken,
) -> anyhow::Result<Router<Stack<AuthLayer, Identity>>> {
    let listen = &platform.config.listen;
    let server = Server::builder()
        .http2_keepalive_interval(Some(listen.keepalive))
        .http2_keepalive_timeout(Some(listen.keepalive))
        .max_concurrent_streams(Some(listen.streams_max))
        // Whose deadlines pass together takes all its calls back at once, and does no harm by it.
        .http2_max_pending_accept_reset_streams(Some(listen.streams_max as usize))
        .http2_max_local_error_reset_streams(Some(BROKEN_STREAMS_MAX))
        .http2_max_header_list_size(Some(HEADERS_MAX_BYTES));
    Ok(server.layer(AuthLayer(platform.clone())).add_routes(services(platform, draining).await?))
}

async fn services(platform: &Platform, draining: &CancellationToken) -> anyhow::Result<Routes> {
    let p = || platform.clone();
    let draining = || draining.clone();
    let parcels = parcels::Parcels { platform: p(), draining: draining() };
    let parcels = ParcelServiceServer::new(parcels).max_decoding_message_size(BATCH_MAX_BYTES);
    let events = events::Events { platform: p(), draining: draining() };
    let events = EventServiceServer::new(events).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let webhooks = WebhookServiceServer::new(webhooks::Webhooks(p())).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let communities =
        CommunityServiceServer::new(communities::Communities(p())).max_decoding_message_size(COMMUNITY_MAX_BYTES);
    let residents =
        ResidentServiceServer::new(residents::Residents(p())).max_decoding_message_size(PHOTOGRAPH_MAX_BYTES);
    let privacy = PrivacyServiceServer::new(privacy::Privacy(p())).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let models = ModelServiceServer::new(models::Models(p())).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let couriers = CourierServiceServer::new(couriers::Couriers(p())).max_decoding_message_size(MESSAGE_MAX_BYTES);
    let gates = gates::Gates { platform: p(), draining: draining() };
    let gates = GateServiceServer::new(gates).max_decoding_message_size(FRAME_MAX_BYTES);
    let vision = vision::Vision { platform: p(), draining: draining() };
    let vision = VisionServiceServer::new(vision).max_decoding_message_size(RESULT_MAX_BYTES);
    let mut routes = Routes::new(parcels);
    routes = routes.add_service(events).add_service(webhooks).add_service(communities).add_service(residents);
    routes =
        routes.add_service(privacy).add_service(models).add_service(couriers).add_service(gates).add_service(vision);
    let (reporter, health) = tonic_health::server::health_reporter();
    crate::health::look(platform, &reporter).await;
    tokio::spawn(crate::health::watch(platform.clone(), reporter, draining()));
    let public = public_descriptors()?;
    let reflection = |names: tonic_reflection::server::Builder<'static>| {
        names
            .register_file_descriptor_set(public.clone())
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = reflection(tonic_reflection::server::Builder::configure()).build_v1()?;
    let v1alpha = reflection(tonic_reflection::server::Builder::configure()).build_v1alpha()?;
    Ok(routes
        .add_service(Open::new(health.max_decoding_message_size(OPEN_MAX_BYTES), HEALTH_CALLS_MAX))
        .add_service(Open::new(v1.max_decoding_message_size(OPEN_MAX_BYTES), REFLECTION_CALLS_MAX))
        .add_service(Open::new(v1alpha.max_decoding_message_size(OPEN_MAX_BYTES), REFLECTION_CALLS_MAX)))
}

/// What reflection shows: the other packages are ours alone and may move.
fn public_descriptors() -> Result<FileDescriptorSet, DecodeError> {
    let mut descriptors = FileDescriptorSet::decode(DESCRIPTORS)?;
    descriptors.file.retain(|file| file.package() == "gatepost.v1" || !file.package().starts_with("gatepost."));
    Ok(descriptors)
}
