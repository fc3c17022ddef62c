//! MiniFASNet as its authors publish it: PyTorch's tensors by their own names.

use super::state::State;
use super::{Published, Tensors, serialize, vector};
use crate::model::ModelError;
use crate::model::card::{self, Liveness, Origin};
use crate::model::minifasnet::{self, BLOCKS, CLASSES, Form, LAST_CHANNELS, LAST_SIDE};
use crate::model::onnx::{Array, OnnxError};

/// A published network: which form, how many times the face's bounds its crop is, and the file.
const NETWORKS: [(Form, f32, Published); 2] = [
    (
        Form::V2,
        2.7,
        Published {
            file: "2.7_80x80_MiniFASNetV2.pth",
            sha256: "a5eb02e1843f19b5386b953cc4c9f011c3f985d0ee2bb9819eea9a142099bec0",
        },
    ),
    (
        Form::V1Se,
        4.0,
        Published {
            file: "4_0_0_80x80_MiniFASNetV1SE.pth",
            sha256: "84ee1d37d96894d5e82de5a57df044ef80a58be2b218b5ed7cdfd875ec2f5990",
        },
    ),
];

/// Both published networks out of a folder that holds their files.
pub fn published(folder: &std::path::Path) -> Result<Vec<(Liveness, Vec<u8>)>, ModelError> {
    let one = |(form, scale, published): &(Form, f32, Published)| {
        let path = folder.join(published.file);
        // What is not the published file is not even looked into.
        card::read_checked(&path, published.sha256)?;
        let weights = convert(&State::read(&path)?, *form)?;
        let origin = Origin {
            file: format!("{form}.safetensors"),
            sha256: card::sha256(&weights),
            licence: "Apache-2.0".to_owned(),
            non_commercial_accepted: false,
            source: format!("Minivision, Silent-Face-Anti-Spoofing, {}", published.file),
            source_sha256: published.sha256.to_owned(),
        };
        Ok((Liveness::new(*form, *scale, origin), weights))
    };
    NETWORKS.iter().map(one).collect()
}

/// The safetensors file of a model folder.
pub fn convert(state: &State, form: Form) -> Result<Vec<u8>, ModelError> {
    let mut tensors = Tensors::new();
    let mut convolution = |name: &str, from: &str, bends: bool| -> Result<(), ModelError> {
        state.convolution(&mut tensors, name, &format!("{from}.conv"), &format!("{from}.bn"))?;
        if bends {
            tensors.insert(format!("{name}.slope"), state.array(&format!("{from}.prelu.weight"))?);
        }
        Ok(())
    };
    convolution("stem.dense", "conv1", true)?;
    convolution("stem.depthwise", "conv2_dw", true)?;
    convolution("last", "conv_6_sep", true)?;
    for (stage, count) in BLOCKS.into_iter().enumerate() {
        for block in 0..=count {
            let (name, from) = (minifasnet::block_name(stage, block), published_name(stage, block));
            convolution(&format!("{name}.expand"), &format!("{from}.conv"), true)?;
            convolution(&format!("{name}.depthwise"), &format!("{from}.conv_dw"), true)?;
            convolution(&format!("{name}.project"), &format!("{from}.project"), false)?;
        }
    }
    for stage in (0..BLOCKS.len()).filter(|stage| form.has_excitation(*stage, BLOCKS[*stage])) {
        let (name, from) = (minifasnet::block_name(stage, BLOCKS[stage]), published_name(stage, BLOCKS[stage]));
        for (part, number) in [("squeeze", 1), ("excite", 2)] {
            let layer = |kind: &str| format!("{from}.se_module.{kind}{number}");
            state.convolution(&mut tensors, &format!("{name}.{part}"), &layer("fc"), &layer("bn"))?;
        }
    }
    let (weight, bias) = linear(state)?;
    tensors.insert("linear.weight".to_owned(), weight);
    tensors.insert("linear.bias".to_owned(), bias);
    serialize(tensors)
}

fn published_name(stage: usize, block: usize) -> String {
    let number = stage + 3;
    match block {
        0 => format!("conv_{}{number}", number - 1),
        _ => format!("conv_{number}.model.{}", block - 1),
    }
}

/// The depth-wise convolution that leaves one pixel, its norm, a linear layer, a norm and another linear layer: nothing
/// bends between them, so they are one linear layer over the map before them.
fn linear(state: &State) -> Result<(Array, Array), ModelError> {
    let (depthwise, first) = (state.array("conv_6_dw.conv.weight")?, state.norm("conv_6_dw.bn")?);
    let (hidden, second) = (state.array("linear.weight")?, state.norm("bn")?);
    let classes = state.array("prob.weight")?;
    let (pixels, width) = (LAST_SIDE * LAST_SIDE, second.scale.len());
    let fits = depthwise.values.len() == LAST_CHANNELS * pixels
        && first.scale.len() == LAST_CHANNELS
        && hidden.values.len() == width * LAST_CHANNELS
        && classes.values.len() == CLASSES * width;
    if !fits {
        return Err(OnnxError::Unexpected("conv_6_dw".to_owned()).into());
    }
    let mut weight = Vec::with_capacity(CLASSES * LAST_CHANNELS * pixels);
    let mut bias = Vec::with_capacity(CLASSES);
    for class in classes.values.chunks_exact(width) {
        let mut constant = 0.0;
        let mut of_channel = vec![0.0_f64; LAST_CHANNELS];
        for (unit, &share) in class.iter().enumerate() {
            let share = f64::from(share);
            constant += share * second.shift[unit];
            let row = &hidden.values[unit * LAST_CHANNELS..][..LAST_CHANNELS];
            for (sum, &value) in of_channel.iter_mut().zip(row) {
                *sum += share * second.scale[unit] * f64::from(value);
            }
        }
        for (channel, (share, taps)) in of_channel.iter().zip(depthwise.values.chunks_exact(pixels)).enumerate() {
            constant += share * first.shift[channel];
            weight.extend(taps.iter().map(|&tap| (share * first.scale[channel] * f64::from(tap)) as f32));
        }
        bias.push(constant);
    }
    Ok((Array { shape: vec![CLASSES, LAST_CHANNELS * pixels], values: weight }, vector(bias)))
}
