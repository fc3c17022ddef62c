//! JPEG files decoded on the device by NVIDIA's nvJPEG, where its card has engines for that by those. The library is
//! loaded when it is asked for, so that a worker that decodes on the CPU does not need it.

#![expect(unsafe_code, reason = "nvJPEG is a library in C")]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::cudarc::driver::DevicePtrMut as _;
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};
use candle_core::{Result, Tensor, bail};
use libloading::Library;

use super::memory::{room, tensor};

/// The library by the names that it has had; its functions are the same in all.
const NAMES: [&str; 3] = ["libnvjpeg.so.13", "libnvjpeg.so.12", "libnvjpeg.so"];

/// `nvjpegBackend_t`: the card's own engines, or kernels.
const BACKENDS: [c_int; 2] = [3, 2];

/// `NVJPEG_OUTPUT_RGBI`: red, green and blue bytes, pixel by pixel.
const RGB: c_int = 5;

/// `nvjpegChromaSubsampling_t`: 4:4:4, 4:2:2, 4:2:0 and 4:4:0, which the engines take.
const SUBSAMPLINGS: std::ops::RangeInclusive<c_int> = 0..=3;

/// Channels that nvJPEG's structures have room for.
const CHANNELS: usize = 4;

/// `nvjpegImage_t`.
#[repr(C)]
struct Image {
    channel: [*mut u8; CHANNELS],
    pitch: [usize; CHANNELS],
}

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(c_int, *mut c_void, *mut c_void, c_uint, *mut Handle) -> c_int;
type CreateState = unsafe extern "C" fn(Handle, *mut Handle) -> c_int;
type Destroy = unsafe extern "C" fn(Handle) -> c_int;
type Info = unsafe extern "C" fn(Handle, *const u8, usize, *mut c_int, *mut c_int, *mut c_int, *mut c_int) -> c_int;
type Begin = unsafe extern "C" fn(Handle, Handle, c_int, c_int, c_int) -> c_int;
type Decode = unsafe extern "C" fn(Handle, Handle, *const *const u8, *const usize, *mut Image, *mut c_void) -> c_int;

/// nvJPEG, ready to decode.
pub struct Decoder {
    device: CudaDevice,
    handle: Handle,
    /// What belongs to the batch that is being decoded.
    state: Mutex<Handle>,
    info: Info,
    begin: Begin,
    decode: Decode,
    destroy: Destroy,
    destroy_state: Destroy,
    /// Where the functions lie.
    _library: Library,
}

// SAFETY: the handles are not bound to a thread.
unsafe impl Send for Decoder {}
// SAFETY: a batch's state is used by who holds its lock; the handle itself may be shared, and `nvjpegGetImageInfo` is
// documented to be safe from several threads.
unsafe impl Sync for Decoder {}

impl Decoder {
    /// Loads the library.
    pub fn open(device: &CudaDevice) -> Result<Self> {
        device.cuda_stream().context().bind_to_thread().w()?;
        // SAFETY: the library's initialisers do nothing but for itself.
        let library = NAMES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
        let Some(library) = library else {
            bail!("{} is not there: install CUDA's nvJPEG, or decode on the CPU", NAMES[0])
        };
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the type is that of nvjpeg.h, and the library lives as long as the function is held.
                *unsafe { library.get($name) }.map_err(candle_core::Error::wrap)?
            };
        }
        let (create, create_state): (Create, CreateState) =
            (function!(b"nvjpegCreateEx"), function!(b"nvjpegJpegStateCreate"));
        let mut handle = null_mut();
        // SAFETY: without allocators of ours it takes its own; the handle is written on success.
        let created =
            BACKENDS.iter().any(|&backend| unsafe { create(backend, null_mut(), null_mut(), 0, &mut handle) } == 0);
        if !created {
            bail!("nvJPEG does not start on this device");
        }
        let mut state = null_mut();
        // SAFETY: the handle was just made; the state is written on success.
        check("nvjpegJpegStateCreate", unsafe { create_state(handle, &mut state) })?;
        Ok(Self {
            device: device.clone(),
            handle,
            state: Mutex::new(state),
            info: function!(b"nvjpegGetImageInfo"),
            begin: function!(b"nvjpegDecodeBatchedInitialize"),
            decode: function!(b"nvjpegDecodeBatched"),
            destroy: function!(b"nvjpegDestroy"),
            destroy_state: function!(b"nvjpegJpegStateDestroy"),
            _library: library,
        })
    }

    /// Whether a baseline file of three colours can be decoded here.
    pub fn takes(&self, jpeg: &[u8]) -> bool {
        let (mut components, mut subsampling) = (0, -1);
        let (mut widths, mut heights) = ([0; CHANNELS], [0; CHANNELS]);
        // SAFETY: it reads the file within its length, and writes one number, one number, and four each.
        let status = unsafe {
            let (widths, heights) = (widths.as_mut_ptr(), heights.as_mut_ptr());
            (self.info)(self.handle, jpeg.as_ptr(), jpeg.len(), &mut components, &mut subsampling, widths, heights)
        };
        status == 0 && components == 3 && SUBSAMPLINGS.contains(&subsampling)
    }

    /// Decodes files of `width` times `height` pixels, which [`Decoder::takes`] said yes to, into
    /// `[n, height, width, 3]`. Where one cannot be decoded, none is.
    pub fn decode(&self, jpegs: &[&[u8]], width: usize, height: usize) -> Result<Tensor> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = self.device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let count = c_int::try_from(jpegs.len()).map_err(candle_core::Error::wrap)?;
        let picture = width * height * 3;
        let mut out = room::<u8>(&self.device, jpegs.len() * picture)?;
        {
            let (address, _written) = out.device_ptr_mut(&stream);
            let mut images: Vec<Image> = (0..jpegs.len() as u64)
                .map(|index| {
                    let first = (address + index * picture as u64) as *mut u8;
                    let rest = null_mut();
                    Image { channel: [first, rest, rest, rest], pitch: [width * 3, 0, 0, 0] }
                })
                .collect();
            let files: Vec<*const u8> = jpegs.iter().map(|jpeg| jpeg.as_ptr()).collect();
            let lengths: Vec<usize> = jpegs.iter().map(|jpeg| jpeg.len()).collect();
            // SAFETY: handle and state are this decoder's, and the state is nobody else's while it is locked; there are `count`
            // files, lengths and images, and each image has room for its pixels, since `takes` and the header were asked
            // for the size. The files live until the stream has been waited for.
            let status = unsafe {
                check("nvjpegDecodeBatchedInitialize", (self.begin)(self.handle, *state, count, 1, RGB))?;
                let (files, lengths, images) = (files.as_ptr(), lengths.as_ptr(), images.as_mut_ptr());
                (self.decode)(self.handle, *state, files, lengths, images, stream.cu_stream().cast())
            };
            stream.synchronize().w()?;
            check("nvjpegDecodeBatched", status)?;
        }
        Ok(tensor(out, &self.device, (jpegs.len(), height, width, 3)))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: both were made by this library and are used no more.
        unsafe {
            (self.destroy_state)(*self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
            (self.destroy)(self.handle);
        }
    }
}

fn check(what: &str, status: c_int) -> Result<()> {
    if status != 0 {
        bail!("{what} failed with status {status}");
    }
    Ok(())
}
