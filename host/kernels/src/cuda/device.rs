//! One GPU: its context, its one stream, its kernels.

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Arc, Mutex},
};

use cudarc::{
    driver::{CudaContext, CudaFunction, CudaModule, CudaStream, result, sys},
    nvrtc::Ptx,
};

use super::{
    Buffer, CudaError, Event, Graph, Libraries, Pinned, Plain, View,
    image::{KernelSource, MODULES},
    nvrtc,
};

/// The oldest card: bf16 matrix instructions and `cp.async` came with Ampere.
const OLDEST_CARD: (u32, u32) = (8, 0);
/// CUDA 13.0, whose code nvcc and NVRTC make here.
const OLDEST_DRIVER: i32 = 13_000;

/// A GPU that is ready for work. All work goes to one stream, in order.
pub struct Device {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// By their file's name.
    modules: HashMap<&'static str, Arc<CudaModule>>,
    kernels: Mutex<HashMap<String, Kernel>>,
    compute_capability: (u32, u32),
    num_sms: u32,
    max_shared_bytes: u32,
}

/// A kernel of this device.
#[derive(Clone, Debug)]
pub struct Kernel {
    function: CudaFunction,
    /// Whether it waits for its predecessor itself: not where it was compiled from the text for older cards.
    waits: bool,
}

/// How a kernel is launched.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block in bytes.
    pub shared_bytes: u32,
    /// Whether it may begin while the kernel before it still runs (programmatic dependent launch, on compute capability 9.0).
    /// Only for a kernel that waits for its predecessor itself.
    pub overlaps: bool,
}

impl Device {
    /// Whether there is a driver and it finds a card.
    pub fn is_present() -> bool {
        Libraries::find().driver && CudaContext::device_count().is_ok_and(|count| count > 0)
    }

    /// Opens the first GPU and loads the kernels. The calling thread becomes one that can use it.
    #[allow(unsafe_code, reason = "turns off a feature of the bindings")]
    pub fn open() -> Result<Self, CudaError> {
        if !Libraries::find().driver {
            return Err(CudaError::NoDriver);
        }
        let context = CudaContext::new(0)
            .map_err(|error| CudaError::NoDevice(CudaError::from(error).to_string()))?;
        // SAFETY: nothing is allocated yet, and everything goes to one stream, so there is nothing to track.
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context.compute_capability()?;
        let compute_capability = (major as u32, minor as u32);
        if compute_capability < OLDEST_CARD {
            return Err(CudaError::TooOld {
                what: "the GPU's compute capability",
                found: format!("{major}.{minor}"),
                needed: "8.0 (Ampere)",
            });
        }
        let driver = driver_version()?;
        if driver < OLDEST_DRIVER {
            let found = format!("{}.{}", driver / 1000, driver % 1000 / 10);
            return Err(CudaError::TooOld {
                what: "the CUDA version of the driver",
                found,
                needed: "13.0 (driver 580)",
            });
        }
        use sys::CUdevice_attribute_enum as Attribute;
        let num_sms =
            context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32;
        let max_shared_bytes = context
            .attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?
            as u32;
        let stream = context.new_stream()?;
        let modules = load_modules(&context, compute_capability)?;
        Ok(Self {
            context,
            stream,
            modules,
            kernels: Mutex::default(),
            compute_capability,
            num_sms,
            max_shared_bytes,
        })
    }

    /// Makes the calling thread one that can use the device. Once a thread is enough.
    pub fn bind(&self) -> Result<(), CudaError> {
        Ok(self.context.bind_to_thread()?)
    }

    /// The card's name.
    pub fn name(&self) -> Result<String, CudaError> {
        Ok(self.context.name()?)
    }

    /// Such as (9, 0).
    pub fn compute_capability(&self) -> (u32, u32) {
        self.compute_capability
    }

    /// Streaming multiprocessors.
    pub fn num_sms(&self) -> u32 {
        self.num_sms
    }

    /// The most dynamic shared memory of a block, in bytes.
    pub fn max_shared_bytes(&self) -> u32 {
        self.max_shared_bytes
    }

    /// The CUDA version that the driver implements, as 13000 for 13.0.
    pub fn driver_version(&self) -> Result<i32, CudaError> {
        driver_version()
    }

    /// Free and total memory in bytes.
    pub fn memory(&self) -> Result<(u64, u64), CudaError> {
        let (free, total) = self.context.mem_get_info()?;
        Ok((free as u64, total as u64))
    }

    /// The kernel of this name in `cuda/{module}.cu`. Its blocks may use all dynamic shared memory that the card has.
    pub fn kernel(&self, module: &str, name: &str) -> Result<Kernel, CudaError> {
        let mut kernels = self
            .kernels
            .lock()
            .expect("nobody panics while looking a kernel up");
        if let Some(kernel) = kernels.get(name) {
            return Ok(kernel.clone());
        }
        let unknown = || CudaError::UnknownKernel(format!("{name} in {module}.cu"));
        let function = self
            .modules
            .get(module)
            .ok_or_else(unknown)?
            .load_function(name)
            .map_err(|_| unknown())?;
        use sys::CUfunction_attribute_enum as Attribute;
        let fixed = function.get_attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?;
        let most = self.max_shared_bytes as i32 - fixed;
        function.set_attribute(
            Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            most,
        )?;
        let kernel = Kernel {
            waits: function.ptx_version()? >= 90,
            function,
        };
        kernels.insert(name.to_owned(), kernel.clone());
        Ok(kernel)
    }

    /// Launches a kernel whose one parameter is `args`.
    ///
    /// # Safety
    /// `args` is laid out as the kernel's parameter is, and what it points to fits what the kernel does with `dispatch`.
    #[allow(unsafe_code, reason = "runs code that the compiler cannot see")]
    pub unsafe fn launch<A: Copy>(
        &self,
        kernel: &Kernel,
        dispatch: Dispatch,
        args: &A,
    ) -> Result<(), CudaError> {
        let Dispatch {
            grid: [x, y, z],
            threads,
            shared_bytes,
            overlaps,
        } = dispatch;
        let mut overlap = sys::CUlaunchAttribute_st {
            id:
                sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue_union {
                programmaticStreamSerializationAllowed: 1,
            },
        };
        let config = sys::CUlaunchConfig_st {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: shared_bytes,
            hStream: self.stream.cu_stream(),
            attrs: &mut overlap,
            numAttrs: u32::from(overlaps && kernel.waits),
        };
        let mut params = [std::ptr::from_ref(args).cast_mut().cast::<c_void>()];
        // SAFETY: the driver copies one parameter of the kernel's own size from `args`; the rest is the caller's promise.
        unsafe {
            sys::cuLaunchKernelEx(
                &config,
                kernel.function.cu_function(),
                params.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        }
        .result()?;
        Ok(())
    }

    /// Memory for `len` numbers, all zero. `what` names it in the error.
    #[allow(unsafe_code, reason = "allocates")]
    pub fn zeros<T: Plain>(&self, what: &'static str, len: usize) -> Result<Buffer<T>, CudaError> {
        self.bind()?;
        let bytes = len.max(1) * size_of::<T>();
        // SAFETY: the context is bound.
        let ptr = unsafe { result::malloc_sync(bytes) }
            .map_err(|_| CudaError::OutOfMemory { what, bytes })?;
        let buffer = Buffer::new(ptr, len, self.context.clone());
        // SAFETY: `bytes` were just allocated.
        unsafe { result::memset_d8_async(ptr, 0, bytes, self.stream.cu_stream()) }?;
        Ok(buffer)
    }

    /// A buffer with these numbers.
    pub fn upload<T: Plain>(
        &self,
        what: &'static str,
        numbers: &[T],
    ) -> Result<Buffer<T>, CudaError> {
        let buffer = self.zeros(what, numbers.len())?;
        self.write(buffer.view(), numbers)?;
        Ok(buffer)
    }

    /// Writes numbers to the device and waits until they are there.
    ///
    /// # Panics
    /// If the lengths differ.
    #[allow(unsafe_code, reason = "copies")]
    pub fn write<T: Plain>(&self, to: View<'_, T>, numbers: &[T]) -> Result<(), CudaError> {
        assert_eq!(to.len(), numbers.len(), "a copy of as many numbers");
        if !numbers.is_empty() {
            // SAFETY: `to` is device memory of this length; the source is not touched before the wait is over.
            unsafe { result::memcpy_htod_async(to.ptr(), numbers, self.stream.cu_stream()) }?;
        }
        self.synchronize()
    }

    /// Reads numbers from the device after all work that was launched.
    #[allow(unsafe_code, reason = "copies")]
    pub fn read<T: Plain + Default>(&self, from: View<'_, T>) -> Result<Vec<T>, CudaError> {
        let mut numbers = vec![T::default(); from.len()];
        if !numbers.is_empty() {
            // SAFETY: `from` is device memory of this length; the wait below ends before `numbers` is seen.
            unsafe {
                result::memcpy_dtoh_async(&mut numbers, from.ptr(), self.stream.cu_stream())
            }?;
        }
        self.synchronize()?;
        Ok(numbers)
    }

    /// Sets all bytes to `byte`, in the stream's order.
    #[allow(unsafe_code, reason = "writes device memory")]
    pub fn fill<T: Plain>(&self, to: View<'_, T>, byte: u8) -> Result<(), CudaError> {
        // SAFETY: `to` is device memory of this length.
        Ok(unsafe {
            result::memset_d8_async(
                to.ptr(),
                byte,
                to.len() * size_of::<T>(),
                self.stream.cu_stream(),
            )
        }?)
    }

    /// Page-locked host memory.
    pub fn pinned<T: Plain>(&self, len: usize) -> Result<Pinned<T>, CudaError> {
        Pinned::new(len, self.context.clone())
    }

    /// Copies the first numbers of `from` to the device, in the stream's order. `from` must stay as it is until an event
    /// recorded after this has come.
    ///
    /// # Panics
    /// If `from` has fewer numbers than `to`.
    #[allow(unsafe_code, reason = "copies")]
    pub fn send<T: Plain>(&self, from: &Pinned<T>, to: View<'_, T>) -> Result<(), CudaError> {
        // SAFETY: both have `to.len()` numbers, the slice checks it; page-locked memory lives at least until its drop has waited.
        Ok(unsafe {
            result::memcpy_htod_async(
                to.ptr(),
                &from.as_slice()[..to.len()],
                self.stream.cu_stream(),
            )
        }?)
    }

    /// Copies numbers into `to` from its number `first` on, in the stream's order. They are there once an event recorded after this
    /// has come.
    ///
    /// # Panics
    /// If they do not fit.
    #[allow(unsafe_code, reason = "copies")]
    pub fn receive<T: Plain>(
        &self,
        from: View<'_, T>,
        to: &mut Pinned<T>,
        first: usize,
    ) -> Result<(), CudaError> {
        let to = &mut to.as_mut_slice()[first..first + from.len()];
        // SAFETY: as in `send`.
        Ok(unsafe { result::memcpy_dtoh_async(to, from.ptr(), self.stream.cu_stream()) }?)
    }

    /// When the work before it is done, calls `fill` on a thread of the driver with the numbers of `from` from `first` on, as many as
    /// `to` has, and then copies them to the device. `fill` must not call CUDA; `from` must stay as it is and live until an event
    /// recorded after this has come.
    ///
    /// # Panics
    /// If `from` has fewer numbers.
    #[allow(unsafe_code, reason = "a callback and a copy")]
    pub fn fill_and_send<T: Plain>(
        &self,
        from: &mut Pinned<T>,
        first: usize,
        to: View<'_, T>,
        fill: impl FnOnce(&mut [T]) + Send + 'static,
    ) -> Result<(), CudaError> {
        let numbers = &mut from.as_mut_slice()[first..first + to.len()];
        let call = Box::new(HostCall {
            fill: Box::new(fill),
            numbers: numbers.as_mut_ptr(),
            len: numbers.len(),
        });
        // SAFETY: `run_host_call` is called once, with the box that is handed over here, while the numbers are nobody else's by the
        // caller's promise.
        unsafe {
            result::stream::launch_host_function(
                self.stream.cu_stream(),
                run_host_call::<T>,
                Box::into_raw(call).cast(),
            )
        }?;
        // SAFETY: `to` is device memory of this length, and the source lives by the caller's promise.
        Ok(unsafe { result::memcpy_htod_async(to.ptr(), numbers, self.stream.cu_stream()) }?)
    }

    /// An event that comes when the work launched so far is done.
    pub fn event(&self) -> Result<Event, CudaError> {
        Ok(Event(self.stream.record_event(Some(
            sys::CUevent_flags_enum::CU_EVENT_DISABLE_TIMING,
        ))?))
    }

    /// The same, to be compared with another by [`Event::elapsed_ms`].
    pub fn timed_event(&self) -> Result<Event, CudaError> {
        Ok(Event(self.stream.record_event(Some(
            sys::CUevent_flags_enum::CU_EVENT_DEFAULT,
        ))?))
    }

    /// Records what `work` launches.
    pub fn capture<E: From<CudaError>>(
        &self,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Graph, E> {
        Graph::capture(&self.stream, work)
    }

    /// Waits until everything launched is done.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        Ok(self.stream.synchronize()?)
    }

    pub(super) fn raw_stream(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }
}

type Fill<T> = Box<dyn FnOnce(&mut [T]) + Send>;

/// What a thread of the driver is to do.
struct HostCall<T> {
    fill: Fill<T>,
    numbers: *mut T,
    len: usize,
}

/// # Safety
/// `call` is a `Box<HostCall<T>>` that nobody else owns, whose numbers nobody else uses.
#[allow(unsafe_code, reason = "a callback")]
unsafe extern "C" fn run_host_call<T: Plain>(call: *mut c_void) {
    // SAFETY: the caller's promise.
    let (fill, numbers) = unsafe {
        let call = Box::from_raw(call.cast::<HostCall<T>>());
        let numbers = std::slice::from_raw_parts_mut(call.numbers, call.len);
        (call.fill, numbers)
    };
    // A panic must not cross into the driver; what was not filled stays as it was packed.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fill(numbers)));
}

#[allow(unsafe_code, reason = "asks the driver")]
fn driver_version() -> Result<i32, CudaError> {
    let mut version = 0;
    // SAFETY: the driver is loaded, and writes one number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok(version)
}

fn load_modules(
    context: &Arc<CudaContext>,
    compute_capability: (u32, u32),
) -> Result<HashMap<&'static str, Arc<CudaModule>>, CudaError> {
    let source = KernelSource::of_this_process();
    let fitting = MODULES
        .iter()
        .filter(|module| !module.is_hopper_only || compute_capability == (9, 0));
    fitting
        .map(|module| {
            let image = match module.image {
                Some(image) if source == KernelSource::BuiltIn => image.to_vec(),
                _ => nvrtc::compile(module, compute_capability)?,
            };
            Ok((module.name, context.load_module(Ptx::from_binary(image))?))
        })
        .collect()
}
