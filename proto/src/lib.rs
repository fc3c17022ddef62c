//! The wire: one module for each proto package, and the descriptor set for reflection.
//!
//! Everything here is generated from the `.proto` files beside it; their comments are its documentation.
#![expect(
    missing_docs,
    clippy::large_enum_variant,
    clippy::allow_attributes,
    reason = "generated code, documented by its .proto files"
)]

/// `gatepost.v1`, the public interface: couriers, cameras and administrators.
pub mod v1 {
    tonic::include_proto!("gatepost.v1");
}

/// `gatepost.vision.v1`, between the platform and its vision workers.
pub mod vision {
    tonic::include_proto!("gatepost.vision.v1");
}

/// `gatepost.courier.v1`, between a courier's server and its courier terminals.
pub mod courier {
    tonic::include_proto!("gatepost.courier.v1");
}

/// The encoded `FileDescriptorSet` of every package above.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
