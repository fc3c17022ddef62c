//! iResNet as training leaves it: a PyTorch file of the tensors' own names, or the same as safetensors.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::norm::{DEFAULT_EPSILON, Norm};
use super::{Tensors, vector};
use crate::model::onnx::{Array, OnnxError};
use crate::model::{ModelError, card, iresnet};

/// The tensors of a training's file.
pub struct State(HashMap<String, Tensor>);

impl State {
    /// Reads `.safetensors`, and any other file as PyTorch's. Nothing in the file is run.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let tensors = if path.extension().is_some_and(|kind| kind == "safetensors") {
            candle_core::safetensors::load_buffer(&card::read(path)?, &Device::Cpu)?
        } else {
            candle_core::pickle::read_all(path)?.into_iter().collect()
        };
        // Trainings on several devices put a word before every name.
        let plain = |(name, tensor): (String, Tensor)| (name.trim_start_matches("module.").to_owned(), tensor);
        Ok(Self(tensors.into_iter().map(plain).collect()))
    }

    fn array(&self, name: &str) -> Result<Array, ModelError> {
        let tensor = self.0.get(name).ok_or_else(|| OnnxError::Missing(name.to_owned()))?;
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Array { shape: tensor.dims().to_vec(), values })
    }

    fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        let part = |part: &str| Ok::<_, ModelError>(self.array(&format!("{name}.{part}"))?.values);
        let parts = [part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?];
        Ok(Norm::new(name, parts, DEFAULT_EPSILON))
    }

    /// A convolution and the norm behind it as one.
    fn convolution(&self, to: &mut Tensors, name: &str, from: &str, norm: &str) -> Result<(), ModelError> {
        let (mut weight, norm) = (self.array(&format!("{from}.weight"))?, self.norm(norm)?);
        norm.scale_rows(&mut weight)?;
        to.insert(format!("{name}.weight"), weight);
        to.insert(format!("{name}.bias"), vector(norm.shift));
        Ok(())
    }
}

/// The tensors of a model folder out of a training's, for the form with those blocks.
pub fn convert(state: &State, blocks: [usize; 4]) -> Result<Tensors, ModelError> {
    let mut tensors = Tensors::new();
    state.convolution(&mut tensors, "stem", "conv1", "bn1")?;
    tensors.insert("stem.slope".to_owned(), state.array("prelu.weight")?);
    for (stage, count) in blocks.into_iter().enumerate() {
        for block in 0..count {
            let (name, from) = (iresnet::block_name(stage, block), format!("layer{}.{block}", stage + 1));
            let before = state.norm(&format!("{from}.bn1"))?;
            tensors.insert(format!("{name}.norm.scale"), vector(before.scale));
            tensors.insert(format!("{name}.norm.shift"), vector(before.shift));
            let part = |part: &str| format!("{from}.{part}");
            state.convolution(&mut tensors, &format!("{name}.first"), &part("conv1"), &part("bn2"))?;
            tensors.insert(format!("{name}.first.slope"), state.array(&part("prelu.weight"))?);
            state.convolution(&mut tensors, &format!("{name}.second"), &part("conv2"), &part("bn3"))?;
            if iresnet::has_shortcut(block) {
                let shortcut = format!("{name}.shortcut");
                state.convolution(&mut tensors, &shortcut, &part("downsample.0"), &part("downsample.1"))?;
            }
        }
    }
    let (mut weight, after) = (state.array("fc.weight")?, state.norm("features")?);
    let mut bias: Vec<f64> = state.array("fc.bias")?.values.into_iter().map(f64::from).collect();
    state.norm("bn2")?.fold_into_columns(&mut weight, &mut bias)?;
    after.scale_rows(&mut weight)?;
    let bias = bias.iter().zip(&after.scale).zip(&after.shift).map(|((bias, scale), shift)| bias * scale + shift);
    tensors.insert("linear.bias".to_owned(), vector(bias.collect()));
    tensors.insert("linear.weight".to_owned(), weight);
    Ok(tensors)
}
