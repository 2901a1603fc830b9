//! Host memory that the device can copy from and to while the host goes on.

use std::sync::Arc;

use cudarc::driver::{CudaContext, result};

use super::{CudaError, Plain};

/// Page-locked host memory of `len` numbers.
pub struct Pinned<T> {
    ptr: *mut T,
    len: usize,
    context: Arc<CudaContext>,
}

// SAFETY: it is plain memory with one owner.
#[allow(unsafe_code, reason = "a pointer that only this owns")]
unsafe impl<T: Plain> Send for Pinned<T> {}

impl<T: Plain> Pinned<T> {
    #[allow(unsafe_code, reason = "allocates")]
    pub(super) fn new(len: usize, context: Arc<CudaContext>) -> Result<Self, CudaError> {
        context.bind_to_thread()?;
        // SAFETY: the context is bound; the memory is zeroed before anything reads it.
        let ptr = unsafe {
            let ptr = result::malloc_host(len.max(1) * size_of::<T>(), 0)?.cast::<T>();
            ptr.write_bytes(0, len);
            ptr
        };
        Ok(Self { ptr, len, context })
    }

    /// What is in it. Whoever has told the device to write here waits for that first.
    #[allow(unsafe_code, reason = "a slice of owned memory")]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `len` plain numbers, zeroed at the start, owned by this.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }

    /// The same, to be written. Whoever has told the device to read here waits for that first.
    #[allow(unsafe_code, reason = "a slice of owned memory")]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    #[allow(unsafe_code, reason = "frees what was allocated")]
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: `new` allocated it and only this owns it; the call waits for copies under way.
            let _ = unsafe { result::free_host(self.ptr.cast()) };
        }
    }
}
