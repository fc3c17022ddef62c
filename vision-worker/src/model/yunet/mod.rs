//! YuNet, the face detector of March 2023, in its small and its normal form: a backbone of depth-wise separable
//! convolutions, a feature pyramid of three levels, and for every cell of a level a score, a box and five points.
//! Decoding the cells into faces is `detect.rs`'s business.

use candle_core::{Device, Result, Tensor};

use super::layers::Backend;
use super::weights::Weights;
use crate::image::Picture;

#[cfg(feature = "cuda")]
mod cuda;
mod rows;
mod stock;

#[cfg(feature = "cuda")]
pub use cuda::{Likely, likely};

/// Pixels from one cell to the next, level by level.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Numbers that a cell puts out: class and object score before their sigmoid, four for the box, ten for the points.
pub const CHANNELS: usize = 16;

/// The four heads of a level, in the order of their numbers.
const HEADS: [&str; 4] = ["cls", "obj", "bbox", "kps"];

/// The units of the backbone, after which of them the map is halved, and which of them the levels come from.
const BACKBONE: usize = 11;
const HALVED_AFTER: [usize; 4] = [0, 4, 6, 8];
const LEVEL_AFTER: [usize; 3] = [6, 8, 10];

/// The detector's input has sides that are multiples of its coarsest stride; a picture is filled up with zeros at the
/// right and below.
const SIDE_MULTIPLE: usize = STRIDES[2];

/// How large the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// 53,112 parameters.
    Small,
    /// 73,848 parameters: more channels early on, and one more unit before the heads of each level.
    Normal,
}

impl Form {
    /// By its name on a card.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Small, Self::Normal].into_iter().find(|form| form.to_string() == name)
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Small => "yunet-s",
            Self::Normal => "yunet-n",
        })
    }
}

/// What the network says about one level of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Cells in a row.
    pub columns: usize,
    /// `CHANNELS` numbers for each cell, row by row.
    pub values: Vec<f32>,
}

/// The detector.
pub struct Yunet {
    run: Run,
    /// For each convolution the pixels from one of its outputs to the next, and its weights.
    sizes: Vec<(usize, usize)>,
}

enum Run {
    Rows(Box<rows::Network>),
    Stock(Box<stock::Network>),
    #[cfg(feature = "cuda")]
    Cuda(Box<cuda::Network>),
}

impl Yunet {
    /// Builds the network from its weights.
    pub fn load(weights: &Weights, form: Form) -> Result<Self> {
        let size = |(name, stride): (String, usize)| Ok((stride, weights.get(&name)?.elem_count()));
        let sizes = convolutions(form)
            .into_iter()
            .map(|(name, stride)| size((format!("{name}.weight"), stride)))
            .collect::<Result<_>>()?;
        let run = match weights.backend() {
            Backend::Kernels => Run::Rows(Box::new(rows::Network::load(weights, form)?)),
            Backend::Stock => Run::Stock(Box::new(stock::Network::load(weights, form)?)),
            #[cfg(feature = "cuda")]
            Backend::Cuda => Run::Cuda(Box::new(cuda::Network::load(weights, form)?)),
        };
        Ok(Self { run, sizes })
    }

    /// The cells of each level.
    pub fn cells(&self, picture: &Picture, device: &Device) -> Result<[Cells; 3]> {
        match &self.run {
            Run::Rows(network) => Ok(network.cells(picture)),
            Run::Stock(network) => network.cells(picture, device),
            #[cfg(feature = "cuda")]
            Run::Cuda(network) => {
                let mut levels = Vec::with_capacity(STRIDES.len());
                for cells in network.cells(&picture.tensor(device)?.unsqueeze(0)?)? {
                    levels.push(Cells { columns: cells.dim(2)?, values: cells.flatten_all()?.to_vec1()? });
                }
                levels.try_into().map_err(|_| candle_core::Error::Msg("this is a bug: not three levels".to_owned()))
            }
        }
    }

    /// The cells of each level of pictures `[n, rows, columns, 3]` of bytes on a CUDA device, as
    /// `[n, rows, columns, CHANNELS]`.
    #[cfg(feature = "cuda")]
    pub fn cells_together(&self, pictures: &Tensor) -> Result<[Tensor; 3]> {
        match &self.run {
            Run::Cuda(network) => network.cells(pictures),
            Run::Rows(_) | Run::Stock(_) => candle_core::bail!("this is a bug: the detector runs on the CPU"),
        }
    }

    /// The multiply-adds that a picture of that size needs.
    pub fn multiply_adds(&self, width: usize, height: usize) -> usize {
        let (width, height) = filled_up(width, height);
        self.sizes.iter().map(|(stride, weights)| weights * (width / stride) * (height / stride)).sum()
    }
}

/// The names of all convolutions in the order in which the published graph holds them.
pub fn convolutions_in_graph_order(form: Form) -> Vec<String> {
    convolutions(form).into_iter().map(|(name, _)| name).collect()
}

/// All convolutions, and how many pixels of the picture lie from one of their outputs to the next.
fn convolutions(form: Form) -> Vec<(String, usize)> {
    let unit = |(name, stride): (String, usize)| [(pointwise(&name), stride), (depthwise(&name), stride)];
    let backbone = (0..BACKBONE).map(|unit| (backbone_name(unit), backbone_stride(unit)));
    let neck = STRIDES.iter().rev().map(|&stride| (neck_name(stride), stride));
    let shared = STRIDES.iter().filter(|_| form == Form::Normal).map(|&stride| (shared_name(stride), stride));
    let heads =
        ["cls", "bbox", "obj", "kps"].iter().flat_map(|head| STRIDES.map(|stride| (head_name(stride, head), stride)));
    std::iter::once(("stem".to_owned(), 2))
        .chain(backbone.chain(neck).chain(shared).chain(heads).flat_map(unit))
        .collect()
}

/// A picture's width and height, filled up.
fn filled_up(width: usize, height: usize) -> (usize, usize) {
    (width.next_multiple_of(SIDE_MULTIPLE), height.next_multiple_of(SIDE_MULTIPLE))
}

fn backbone_stride(unit: usize) -> usize {
    2 << HALVED_AFTER.iter().filter(|&&after| after < unit).count()
}

fn backbone_name(unit: usize) -> String {
    format!("backbone.{unit:02}")
}

fn neck_name(stride: usize) -> String {
    format!("neck.{stride}")
}

/// The normal form has one more unit before the heads.
fn shared_name(stride: usize) -> String {
    format!("shared.{stride}")
}

fn head_name(stride: usize, head: &str) -> String {
    format!("head.{stride}.{head}")
}

fn head_names(stride: usize) -> [String; 4] {
    HEADS.map(|head| head_name(stride, head))
}

/// A part of several units' convolutions of one kind, one after the other.
fn joined(weights: &Weights, names: &[String], kind: fn(&str) -> String, part: &str) -> Result<Tensor> {
    let parts: Result<Vec<Tensor>> = names.iter().map(|name| weights.get(&format!("{}.{part}", kind(name)))).collect();
    Tensor::cat(&parts?, 0)
}

fn pointwise(unit: &str) -> String {
    format!("{unit}.pointwise")
}

fn depthwise(unit: &str) -> String {
    format!("{unit}.depthwise")
}
