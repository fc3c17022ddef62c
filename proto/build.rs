//! Compiles the `.proto` files with protox, so that no `protoc` needs to be installed.

use prost::Message as _;

const FILES: [&str; 9] = [
    "gatepost/v1/parcels.proto",
    "gatepost/v1/events.proto",
    "gatepost/v1/communities.proto",
    "gatepost/v1/residents.proto",
    "gatepost/v1/couriers.proto",
    "gatepost/v1/gates.proto",
    "gatepost/v1/webhooks.proto",
    "gatepost/vision/v1/vision.proto",
    "gatepost/courier/v1/terminal.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=gatepost");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
