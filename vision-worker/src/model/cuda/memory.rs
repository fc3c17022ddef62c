//! The device's memory: tensors as the kernels see them, room for what they write, and bytes brought there.

#![expect(
    unsafe_code,
    reason = "memory that nobody has written yet, and settings of the driver, are unsafe to ask for"
)]

use std::cell::RefCell;
use std::ops::Range;

use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DeviceRepr, PinnedHostSlice, result};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage, WrapErr as _};
use candle_core::op::BackpropOp;
use candle_core::{Result, Shape, Storage, StorageRef, Tensor, bail};

/// A tensor's numbers on the device.
pub(super) struct Held<'a> {
    storage: StorageRef<'a>,
    /// Where they lie in the storage.
    range: Range<usize>,
    pub(super) dims: &'a [usize],
}

impl<'a> Held<'a> {
    /// Contiguous tensors only.
    pub(super) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("this is a bug: the tensor is not contiguous");
        };
        Ok(Self { storage, range: start..end, dims: tensor.dims() })
    }

    fn storage(&self) -> Result<&CudaStorage> {
        match &*self.storage {
            Storage::Cuda(storage) => Ok(storage),
            _ => bail!("this is a bug: not a tensor of a CUDA device"),
        }
    }

    pub(super) fn device(&self) -> Result<&CudaDevice> {
        Ok(&self.storage()?.device)
    }

    /// As many numbers as the dimensions say.
    pub(super) fn slice<T: CudaDType>(&self) -> Result<CudaView<'_, T>> {
        let slice = self.storage()?.as_cuda_slice::<T>()?;
        match slice.try_slice(self.range.clone()) {
            Some(slice) if slice.len() == self.dims.iter().product::<usize>() => Ok(slice),
            _ => bail!("this is a bug: a tensor of shape {:?} without all of its numbers", self.dims),
        }
    }

    /// The slice of a tensor that must have that many numbers.
    pub(super) fn slice_of<T: CudaDType>(&self, count: usize) -> Result<CudaView<'_, T>> {
        let slice = self.slice()?;
        if slice.len() != count {
            bail!("this is a bug: a tensor of shape {:?} in place of {count} numbers", self.dims);
        }
        Ok(slice)
    }

    pub(super) fn dims4(&self) -> Result<(usize, usize, usize, usize)> {
        match *self.dims {
            [a, b, c, d] => Ok((a, b, c, d)),
            _ => bail!("this is a bug: a tensor of shape {:?} in place of one of four dimensions", self.dims),
        }
    }
}

/// A tensor out of what a kernel wrote.
pub(super) fn tensor<T: CudaDType>(slice: CudaSlice<T>, device: &CudaDevice, shape: impl Into<Shape>) -> Tensor {
    let storage = CudaStorage::wrap_cuda_slice(slice, device.clone());
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// Room for what a kernel will write.
pub(super) fn room<T: DeviceRepr>(device: &CudaDevice, count: usize) -> Result<CudaSlice<T>> {
    // SAFETY: nothing reads the numbers before the kernel, which is launched next on the same stream, has written all
    // of them.
    unsafe { device.alloc::<T>(count) }
}

/// Makes the device's allocator keep what is freed: it gives all back to the system whenever nothing runs, and fetching
/// it again takes longer than the networks.
pub fn keep_memory(device: &CudaDevice) -> Result<()> {
    let mut threshold = u64::MAX;
    // SAFETY: the device is a valid one, its default pool lives as long as it does, and the attribute is a u64.
    unsafe {
        let pool = result::device::get_default_mem_pool(device.cuda_stream().context().cu_device()).w()?;
        let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut threshold).cast()).w()
    }
}

/// Bytes brought to the device, as a tensor of that shape: by way of memory that the device reads by itself, since the
/// driver copies from any other in small pieces, one thread at a time. Each thread keeps its own such memory.
pub fn upload(device: &CudaDevice, bytes: &[u8], shape: impl Into<Shape>) -> Result<Tensor> {
    thread_local! {
        static STAGE: RefCell<Option<PinnedHostSlice<u8>>> = const { RefCell::new(None) };
    }
    STAGE.with_borrow_mut(|stage| {
        let stage = match stage {
            Some(stage) if stage.len() >= bytes.len() => stage,
            // SAFETY: what is read of it is written first.
            stage => stage.insert(unsafe { device.cuda_stream().context().alloc_pinned(bytes.len()) }.w()?),
        };
        stage.as_mut_slice().w()?[..bytes.len()].copy_from_slice(bytes);
        let mut out = room::<u8>(device, bytes.len())?;
        // Waits until they are there, so that the memory may be written again.
        device.memcpy_htod(&stage.as_slice().w()?[..bytes.len()], &mut out)?;
        Ok(tensor(out, device, shape))
    })
}
