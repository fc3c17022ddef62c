//! The kernels' launches. Each step looks at the shapes of what it is given and allocates what its kernel writes.

#![expect(unsafe_code, reason = "launching a kernel is unsafe: nothing checks its arguments but the functions here")]

use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg as _};
use candle_core::{Result, Shape, Tensor, bail};
use half::f16;

use super::memory::{Held, room, tensor};
use crate::align::Placement;
use crate::model::sface::SIDE;

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// Threads of a block, where the kernel does not say otherwise.
const THREADS: usize = 128;

/// Threads of a block, and outputs of one along each side: `UNIT_THREADS`, `ACROSS` and `DOWN` of the kernel.
const UNIT_THREADS: u32 = 256;
const UNIT_ACROSS: usize = 16;
const UNIT_ACROSS_NARROW: usize = 32;
const UNIT_DOWN: usize = 8;

/// Numbers of a candidate's record: its level, its place, and what the network says of the cell.
pub const RECORD: usize = 18;

/// Launches a kernel with the arguments in its own order.
macro_rules! launch {
    ($device:expr, $name:expr, $grid:expr, $threads:expr, [$($argument:expr),* $(,)?]) => {{
        let kernel = $device.get_or_load_custom_func($name, "gatepost_vision", KERNELS)?;
        let mut call = kernel.builder();
        $(
            let argument = $argument;
            call.arg(argument);
        )*
        let config = LaunchConfig { grid_dim: $grid, block_dim: ($threads, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments are those of the kernel in number, order and type, all of them are of this device, and
        // the function has checked that the slices are as long as the kernel reads and writes for these shapes.
        unsafe { call.launch(config) }.w()?;
    }};
}

fn int(number: usize) -> Result<i32> {
    i32::try_from(number).map_err(|_| candle_core::Error::Msg(format!("{number} is too large for a kernel")))
}

/// Blocks for that many threads.
fn blocks(threads: usize) -> Result<(u32, u32, u32)> {
    Ok((u32::try_from(int(threads.div_ceil(THREADS))?).unwrap_or(u32::MAX), 1, 1))
}

/// The first convolution of a network, 3x3.
pub struct Stem {
    /// `[3, 3, 3, outputs]`.
    pub weights: Tensor,
    /// Bias, then slopes.
    pub after: Tensor,
}

/// The detector's first convolution, with stride 2 and 16 outputs: from pictures `[n, rows, columns, 3]`, which are
/// filled up with zeros to twice `rows` and `columns`, to `[n, rows, columns, 16]`.
pub fn stem_of_pictures(stem: &Stem, pictures: &Tensor, (rows, columns): (usize, usize)) -> Result<Tensor> {
    const OUTPUTS: usize = 16;
    let [pictures, weights, after] = [Held::of(pictures)?, Held::of(&stem.weights)?, Held::of(&stem.after)?];
    let (images, in_rows, in_columns, colours) = pictures.dims4()?;
    if colours != 3 {
        bail!("this is a bug: pictures of {colours} colours");
    }
    let device = pictures.device()?;
    let pixels = images * rows * columns;
    let mut out = room::<f16>(device, pixels * OUTPUTS)?;
    launch!(
        device,
        "stem_of_pictures",
        blocks(pixels)?,
        THREADS as u32,
        [
            &pictures.slice::<u8>()?,
            &int(images)?,
            &int(in_rows)?,
            &int(in_columns)?,
            &int(rows)?,
            &int(columns)?,
            &weights.slice_of::<f32>(27 * OUTPUTS)?,
            &after.slice_of::<f32>(2 * OUTPUTS)?,
            &mut out,
        ]
    );
    Ok(tensor(out, device, (images, rows, columns, OUTPUTS)))
}

/// The embedder's first convolution, with stride 1 and 32 outputs: from crops `[n, 3, rows, columns]`, of which `mean`
/// is taken off before they are multiplied by `scale`, to `[n, rows, columns, 32]`.
pub fn stem_of_crops(stem: &Stem, crops: &Tensor, mean: f32, scale: f32) -> Result<Tensor> {
    const OUTPUTS: usize = 32;
    let [crops, weights, after] = [Held::of(crops)?, Held::of(&stem.weights)?, Held::of(&stem.after)?];
    let (images, colours, rows, columns) = crops.dims4()?;
    if colours != 3 {
        bail!("this is a bug: crops of {colours} colours");
    }
    let device = crops.device()?;
    let pixels = images * rows * columns;
    let mut out = room::<f16>(device, pixels * OUTPUTS)?;
    launch!(
        device,
        "stem_of_crops",
        blocks(pixels)?,
        THREADS as u32,
        [
            &crops.slice::<f32>()?,
            &int(images)?,
            &int(rows)?,
            &int(columns)?,
            &mean,
            &scale,
            &weights.slice_of::<f32>(27 * OUTPUTS)?,
            &after.slice_of::<f32>(2 * OUTPUTS)?,
            &mut out,
        ]
    );
    Ok(tensor(out, device, (images, rows, columns, OUTPUTS)))
}

/// A 3x3 depth-wise convolution. What it reads gets a bias and an activation first, so that a matrix product before it
/// needs no step of its own.
pub struct Depthwise {
    /// 1 or 2.
    pub stride: usize,
    /// Bias, then slopes, of what is read.
    pub before: Tensor,
    /// `[3, 3, 1, channels]`.
    pub weights: Tensor,
    /// Bias, then slopes, of what is written.
    pub after: Tensor,
}

impl Depthwise {
    /// From `[n, rows, columns, channels]` to the same, or half the rows and columns.
    pub fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let map = Held::of(map)?;
        let [before, weights, after] = [Held::of(&self.before)?, Held::of(&self.weights)?, Held::of(&self.after)?];
        let (images, rows, columns, channels) = map.dims4()?;
        // Outputs of a thread along each side, as the kernel has it.
        let (name, tile) = match self.stride {
            1 => ("depthwise_1", 2),
            2 => ("depthwise_2", 1),
            stride => bail!("this is a bug: a depth-wise convolution of stride {stride}"),
        };
        if channels % 4 != 0 {
            bail!("this is a bug: {channels} channels");
        }
        let (out_rows, out_columns) = (rows.div_ceil(self.stride), columns.div_ceil(self.stride));
        let device = map.device()?;
        let mut out = room::<f16>(device, images * out_rows * out_columns * channels)?;
        launch!(
            device,
            name,
            blocks(images * out_rows.div_ceil(tile) * out_columns.div_ceil(tile) * (channels / 4))?,
            THREADS as u32,
            [
                &map.slice::<f16>()?,
                &int(images)?,
                &int(rows)?,
                &int(columns)?,
                &int(out_rows)?,
                &int(out_columns)?,
                &int(channels)?,
                &before.slice_of::<f32>(2 * channels)?,
                &weights.slice_of::<f32>(9 * channels)?,
                &after.slice_of::<f32>(2 * channels)?,
                &mut out,
            ]
        );
        Ok(tensor(out, device, (images, out_rows, out_columns, channels)))
    }
}

/// What a unit writes; the numbers are the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// A map of half-precision numbers.
    Whole = 0,
    /// The maxima of its 2x2 areas.
    Halved = 1,
    /// A map of single-precision numbers.
    Single = 2,
}

/// A 1x1 convolution with bias, then a 3x3 depth-wise one with activation, as one step.
pub struct Unit {
    /// `[inputs, outputs]`, half precision; 16, 32 or 64 each.
    pub pointwise: Tensor,
    /// Of the 1x1 convolution.
    pub bias: Tensor,
    /// `[3, 3, 1, outputs]`.
    pub depthwise: Tensor,
    /// Bias, then slopes, of the depth-wise convolution.
    pub after: Tensor,
}

impl Unit {
    /// From `[n, rows, columns, inputs]` to `[n, rows, columns, outputs]`, or half the rows and columns. Each pixel of
    /// `coarser`, a map of half the size, is added to four of `map` first.
    pub fn forward(&self, map: &Tensor, coarser: Option<&Tensor>, written: Written) -> Result<Tensor> {
        let (inputs, outputs) = self.pointwise.dims2()?;
        let [map, pointwise, bias] = [Held::of(map)?, Held::of(&self.pointwise)?, Held::of(&self.bias)?];
        let [depthwise, after] = [Held::of(&self.depthwise)?, Held::of(&self.after)?];
        let (images, rows, columns, channels) = map.dims4()?;
        let known = |count| matches!(count, 16 | 32 | 64);
        if channels != inputs || !known(inputs) || !known(outputs) {
            bail!("this is a bug: {channels} channels for a unit of {inputs} to {outputs}");
        }
        if written == Written::Halved && (rows % 2, columns % 2) != (0, 0) {
            bail!("this is a bug: a map of {rows} rows and {columns} columns cannot be halved");
        }
        let held = coarser.map(Held::of).transpose()?;
        let coarser = match &held {
            Some(coarser) if (rows % 2, columns % 2) == (0, 0) => {
                coarser.slice_of::<f16>(images * (rows / 2) * (columns / 2) * inputs)?
            }
            Some(_) => bail!("this is a bug: a map of {rows} rows and {columns} columns is twice no other"),
            // Not read.
            None => map.slice::<f16>()?,
        };
        let across = if (inputs, outputs) == (16, 16) { UNIT_ACROSS_NARROW } else { UNIT_ACROSS };
        let side = |length: usize| u32::try_from(length).map_err(candle_core::Error::wrap);
        let grid = (side(columns.div_ceil(across))?, side(rows.div_ceil(UNIT_DOWN))?, side(images)?);
        let device = map.device()?;
        let name = format!("unit_{inputs}_{outputs}");
        let (has_coarser, result) = (i32::from(held.is_some()), written as i32);
        let (rows_argument, columns_argument) = (int(rows)?, int(columns)?);
        macro_rules! unit {
            ($number:ty, $shape:expr) => {{
                let shape = Shape::from($shape);
                let mut out = room::<$number>(device, shape.elem_count())?;
                launch!(
                    device,
                    &name,
                    grid,
                    UNIT_THREADS,
                    [
                        &map.slice::<f16>()?,
                        &coarser,
                        &has_coarser,
                        &rows_argument,
                        &columns_argument,
                        &pointwise.slice::<f16>()?,
                        &bias.slice_of::<f32>(outputs)?,
                        &depthwise.slice_of::<f32>(9 * outputs)?,
                        &after.slice_of::<f32>(2 * outputs)?,
                        &result,
                        &mut out,
                    ]
                );
                Ok(tensor(out, device, shape))
            }};
        }
        match written {
            Written::Whole => unit!(f16, (images, rows, columns, outputs)),
            Written::Halved => unit!(f16, (images, rows / 2, columns / 2, outputs)),
            Written::Single => unit!(f32, (images, rows, columns, outputs)),
        }
    }
}

/// The maxima of a map's 2x2 areas.
pub fn halve(map: &Tensor) -> Result<Tensor> {
    let map = Held::of(map)?;
    let (images, rows, columns, channels) = map.dims4()?;
    if (rows % 2, columns % 2, channels % 4) != (0, 0, 0) {
        bail!("this is a bug: a map of shape {:?} cannot be halved", map.dims);
    }
    let device = map.device()?;
    let count = images * (rows / 2) * (columns / 2) * channels;
    let mut out = room::<f16>(device, count)?;
    launch!(
        device,
        "halve",
        blocks(count / 4)?,
        THREADS as u32,
        [&map.slice::<f16>()?, &int(images)?, &int(rows)?, &int(columns)?, &int(channels)?, &mut out]
    );
    Ok(tensor(out, device, (images, rows / 2, columns / 2, channels)))
}

/// A bias and an activation for `[pixels, channels]`.
pub fn activate(map: &Tensor, after: &Tensor) -> Result<Tensor> {
    let (pixels, channels) = map.dims2()?;
    let [map, after] = [Held::of(map)?, Held::of(after)?];
    if channels % 4 != 0 {
        bail!("this is a bug: {channels} channels");
    }
    let device = map.device()?;
    let mut out = room::<f16>(device, pixels * channels)?;
    launch!(
        device,
        "activate",
        blocks(pixels * channels / 4)?,
        THREADS as u32,
        [
            &map.slice::<f16>()?,
            &i64::from(int(pixels)?),
            &int(channels)?,
            &after.slice_of::<f32>(2 * channels)?,
            &mut out,
        ]
    );
    Ok(tensor(out, device, (pixels, channels)))
}

/// Pictures `[n, rows, columns, 3]` at a smaller size, each pixel the mean of the area that it covers.
pub fn shrink(pictures: &Tensor, (rows, columns): (usize, usize)) -> Result<Tensor> {
    let pictures = Held::of(pictures)?;
    let (images, in_rows, in_columns, colours) = pictures.dims4()?;
    if colours != 3 || rows == 0 || columns == 0 || rows > in_rows || columns > in_columns {
        bail!(
            "this is a bug: pictures of shape {:?} do not shrink to {rows} rows and {columns} columns",
            pictures.dims
        );
    }
    let device = pictures.device()?;
    let pixels = images * rows * columns;
    let mut out = room::<u8>(device, pixels * 3)?;
    launch!(
        device,
        "shrink",
        blocks(pixels)?,
        THREADS as u32,
        [
            &pictures.slice::<u8>()?,
            &int(images)?,
            &int(in_rows)?,
            &int(in_columns)?,
            &int(rows)?,
            &int(columns)?,
            &mut out,
        ]
    );
    Ok(tensor(out, device, (images, rows, columns, 3)))
}

/// Of the levels' cells `[n, rows, columns, 16]` those whose score is at least `least`, as `[n, 1 + most, RECORD]`: the
/// first record's first number holds the bits of how many there are, each other's first two those of a cell's level and
/// place. Those beyond `most` are missing.
pub fn candidates(levels: &[Tensor; 3], least: f32, most: usize) -> Result<Tensor> {
    let first = Held::of(&levels[0])?;
    let device = first.device()?;
    let (images, ..) = first.dims4()?;
    // The counts start at zero.
    let mut out = device.alloc_zeros::<f32>(images * (1 + most) * RECORD)?;
    for (level, cells) in levels.iter().enumerate() {
        let cells = Held::of(cells)?;
        let (count, rows, columns, numbers) = cells.dims4()?;
        if count != images || numbers + 2 != RECORD {
            bail!("this is a bug: cells of shape {:?}", cells.dims);
        }
        launch!(
            device,
            "candidates",
            blocks(images * rows * columns)?,
            THREADS as u32,
            [&cells.slice::<f32>()?, &int(images)?, &int(rows * columns)?, &int(level)?, &least, &int(most)?, &mut out,]
        );
    }
    Ok(tensor(out, device, (images, 1 + most, RECORD)))
}

/// Cuts faces out of the pictures `[n, rows, columns, 3]`: which picture, and where. Returns the crops,
/// `[faces, 3, 112, 112]` of single-precision numbers, and what is measured of each: variance of the Laplacian,
/// brightness, colour, share inside the picture.
pub fn cut(pictures: &Tensor, faces: &[(usize, Placement)]) -> Result<(Tensor, Tensor)> {
    const PIXELS: usize = SIDE * SIDE;
    let pictures = Held::of(pictures)?;
    let (images, rows, columns, colours) = pictures.dims4()?;
    if colours != 3 || faces.iter().any(|(picture, _)| *picture >= images) {
        bail!("this is a bug: pictures of shape {:?} do not hold all faces", pictures.dims);
    }
    let device = pictures.device()?;
    let numbers = faces.iter().flat_map(|(picture, placement)| {
        let [a, b, dx, dy, samples] = placement.numbers();
        [*picture as f32, a, b, dx, dy, samples]
    });
    let placed = device.clone_htod(&numbers.collect::<Vec<f32>>())?;
    let mut crops = room::<f32>(device, faces.len() * 3 * PIXELS)?;
    let mut measures = room::<f32>(device, faces.len() * 4)?;
    let (in_rows, in_columns, count) = (int(rows)?, int(columns)?, int(faces.len())?);
    launch!(
        device,
        "cut",
        blocks(faces.len() * PIXELS)?,
        THREADS as u32,
        [&pictures.slice::<u8>()?, &in_rows, &in_columns, &placed, &count, &mut crops]
    );
    launch!(
        device,
        "measure",
        (u32::try_from(count).unwrap_or(0), 1, 1),
        UNIT_THREADS,
        [&crops, &placed, &in_rows, &in_columns, &mut measures]
    );
    let crops = tensor(crops, device, (faces.len(), 3, SIDE, SIDE));
    Ok((crops, tensor(measures, device, (faces.len(), 4))))
}
