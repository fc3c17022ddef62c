//! Compiles the CUDA kernels where the feature `cuda` asks for them.

fn main() {
    #[cfg(feature = "cuda")]
    compile_kernels();
}

#[cfg(feature = "cuda")]
fn compile_kernels() {
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names the folder"));
    println!("cargo::rerun-if-changed=src/model/cuda/kernels.cu");
    let built = cudaforge::KernelBuilder::new()
        .source_files(["src/model/cuda/kernels.cu"])
        .arg("-std=c++17")
        .arg("-O3")
        .build_ptx()
        .and_then(|kernels| kernels.write(out.join("kernels.rs")));
    if let Err(error) = built {
        panic!("nvcc did not compile src/model/cuda/kernels.cu: {error}");
    }
}
