//! What training leaves: a file of PyTorch's, of today or of before its version 1.6, or the same as safetensors.

use std::collections::HashMap;
use std::io::{BufRead as _, Cursor, Read as _};
use std::path::{Path, PathBuf};

use candle_core::pickle::{Object, Stack};
use candle_core::{DType, Device, Tensor};

use super::norm::{DEFAULT_EPSILON, Norm};
use super::{Tensors, vector};
use crate::model::onnx::{Array, OnnxError};
use crate::model::{ModelError, card};

/// How PyTorch's files began before version 1.6: a pickle that holds one number and nothing else.
const OLD_FORMAT: [u8; 15] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, b'.'];

/// The tensors of a training's file.
pub struct State(HashMap<String, Tensor>);

impl State {
    /// Reads `.safetensors`, and any other file as PyTorch's. Nothing in the file is run.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes = card::read(path)?;
        let tensors = if path.extension().is_some_and(|kind| kind == "safetensors") {
            candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?
        } else if bytes.starts_with(&OLD_FORMAT) {
            old_format(&bytes)?
        } else {
            candle_core::pickle::read_all(path)?.into_iter().collect()
        };
        // Trainings on several devices put a word before every name.
        let plain = |(name, tensor): (String, Tensor)| (name.trim_start_matches("module.").to_owned(), tensor);
        Ok(Self(tensors.into_iter().map(plain).collect()))
    }

    /// A tensor by its name.
    pub fn array(&self, name: &str) -> Result<Array, ModelError> {
        let tensor = self.0.get(name).ok_or_else(|| OnnxError::Missing(name.to_owned()))?;
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(Array { shape: tensor.dims().to_vec(), values })
    }

    /// A batch norm by its name.
    pub fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        let part = |part: &str| Ok::<_, ModelError>(self.array(&format!("{name}.{part}"))?.values);
        let parts = [part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?];
        Ok(Norm::new(name, parts, DEFAULT_EPSILON))
    }

    /// A convolution and the norm behind it as one.
    pub fn convolution(&self, to: &mut Tensors, name: &str, from: &str, norm: &str) -> Result<(), ModelError> {
        let (mut weight, norm) = (self.array(&format!("{from}.weight"))?, self.norm(norm)?);
        norm.scale_rows(&mut weight)?;
        to.insert(format!("{name}.weight"), weight);
        to.insert(format!("{name}.bias"), vector(norm.shift));
        Ok(())
    }
}

/// The format of before version 1.6: a few pickles, the last but one of them the tensors and the last one the names of
/// their numbers; then the numbers themselves, in that order, each run after its count.
fn old_format(bytes: &[u8]) -> candle_core::Result<HashMap<String, Tensor>> {
    let mut file = Cursor::new(bytes);
    file.consume(OLD_FORMAT.len());
    let mut pickle = || -> candle_core::Result<Object> {
        let mut stack = Stack::empty();
        stack.read_loop(&mut file)?;
        stack.finalize()
    };
    let (_version, _machine, tensors, names) = (pickle()?, pickle()?, pickle()?, pickle()?);
    let (Object::Dict(tensors), Object::List(names)) = (tensors, names) else {
        candle_core::bail!("not the tensors of a training")
    };
    let folder = PathBuf::new();
    let mut infos = Vec::new();
    for (name, value) in tensors {
        infos.extend(value.into_tensor_info(name, &folder)?);
    }
    let mut found = HashMap::new();
    for name in names {
        let key = format!("/{}", name.unicode()?);
        let mut count = [0; 8];
        file.read_exact(&mut count)?;
        let used: Vec<_> = infos.extract_if(.., |info| info.path == key).collect();
        let Some(first) = used.first() else { candle_core::bail!("numbers that belong to no tensor") };
        let numbers = usize::try_from(u64::from_le_bytes(count)).map_err(candle_core::Error::wrap)?;
        let length = numbers.checked_mul(first.dtype.size_in_bytes());
        let start = file.position() as usize;
        let Some(run) = length.and_then(|length| bytes.get(start..start.checked_add(length)?)) else {
            candle_core::bail!("the file ends early")
        };
        for info in &used {
            let offset = info.layout.start_offset();
            let length = info.layout.shape().elem_count() * info.dtype.size_in_bytes();
            let Some(own) = run.get(offset..offset + length).filter(|_| info.layout.is_contiguous()) else {
                candle_core::bail!("{} does not lie in one piece", info.name)
            };
            let tensor = Tensor::from_raw_buffer(own, info.dtype, info.layout.shape().dims(), &Device::Cpu)?;
            found.insert(info.name.clone(), tensor);
        }
        file.consume(run.len());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = include_bytes!("../../../tests/reference/old_format.pth");

    fn read(bytes: &[u8]) -> Result<State, ModelError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.pth");
        std::fs::write(&path, bytes).unwrap();
        State::read(&path)
    }

    #[test]
    fn the_old_format_is_read_and_numbers_may_be_shared() {
        let state = read(FILE).unwrap();
        let first = state.array("first").unwrap();
        assert_eq!((first.shape.as_slice(), first.values.as_slice()), (&[2, 2][..], &[1.0, 2.0, 3.0, 4.0][..]));
        assert_eq!(state.array("second").unwrap().values, [5.0, 6.0]);
        assert_eq!(state.array("count").unwrap().values, [9.0]);
    }

    #[test]
    fn an_old_file_that_ends_early_is_refused() {
        for length in OLD_FORMAT.len()..FILE.len() {
            assert!(read(&FILE[..length]).is_err(), "{length}");
        }
    }
}
