//! A network's weights in memory, by name.

use std::collections::HashMap;

use candle_core::{Device, Error, Result, Tensor};

use super::layers::Backend;

/// The tensors of one safetensors file and how they are to be run.
pub struct Weights {
    tensors: HashMap<String, Tensor>,
    backend: Backend,
}

impl Weights {
    /// Reads the bytes of a safetensors file onto a device.
    pub fn from_bytes(bytes: &[u8], device: &Device, backend: Backend) -> Result<Self> {
        let tensors = candle_core::safetensors::load_buffer(bytes, device)?;
        Ok(Self { tensors, backend })
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        self.tensors.get(name).cloned().ok_or_else(|| Error::CannotFindTensor { path: name.to_owned() }.bt())
    }

    /// The numbers of the tensor of that name, row by row.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        self.get(name)?.flatten_all()?.to_vec1()
    }

    /// How the network is to be run.
    pub fn backend(&self) -> Backend {
        self.backend
    }
}
