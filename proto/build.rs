//! Compiles the `.proto` files with protox, so that no `protoc` needs to be installed.

const FILES: [&str; 11] = [
    "gatepost/v1/parcels.proto",
    "gatepost/v1/events.proto",
    "gatepost/v1/communities.proto",
    "gatepost/v1/residents.proto",
    "gatepost/v1/couriers.proto",
    "gatepost/v1/gates.proto",
    "gatepost/v1/models.proto",
    "gatepost/v1/privacy.proto",
    "gatepost/v1/webhooks.proto",
    "gatepost/vision/v1/vision.proto",
    "gatepost/courier/v1/terminal.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=gatepost");
    let mut compiler = protox::Compiler::new(["."])?;
    let compiled = compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    // Encoded with every option, such as debug_redact, which the types that code is generated from do not have.
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), compiled.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiled.file_descriptor_set())?;
    Ok(())
}
