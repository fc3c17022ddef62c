//! iResNet as training leaves it, by the tensors' own names.

use super::state::State;
use super::{Tensors, vector};
use crate::model::{ModelError, iresnet};

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
