//! A courier's world around Gatepost: the courier company's server, its terminals and a gate camera, each speaking
//! only the published gRPC services, and a demonstration that plays a parcel's journey with them.
//!
//! Nothing here knows how the platform works inside; what cannot be learned from the `.proto` files is not used.

pub mod app;
pub mod camera;
pub mod claims;
pub mod client;
pub mod demo;
pub mod journal;
pub mod mjpeg;
pub mod observer;
pub mod picture;
pub mod scene;
pub mod server;
pub mod story;
pub mod terminal;
pub mod webhooks;
pub mod world;
