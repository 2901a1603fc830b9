//! Device memory.

use std::{marker::PhantomData, sync::Arc};

use cudarc::driver::{CudaContext, result};

/// Numbers that are the same bits on both sides, and for which all bits zero is a value.
///
/// # Safety
/// The type has no padding, no pointers and no invalid bit patterns.
#[allow(unsafe_code, reason = "a promise about bits")]
pub unsafe trait Plain: Copy + Send + 'static {}

macro_rules! plain {
    ($($name:ty),*) => {$(
        // SAFETY: a number.
        #[allow(unsafe_code, reason = "a promise about bits")]
        unsafe impl Plain for $name {}
    )*};
}
plain!(u8, u16, u32, i32, u64, f32, half::bf16);

/// Memory on the device for `len` numbers. Freed on drop, which waits for the work that uses it.
pub struct Buffer<T> {
    ptr: u64,
    len: usize,
    context: Arc<CudaContext>,
    numbers: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    pub(super) fn new(ptr: u64, len: usize, context: Arc<CudaContext>) -> Self {
        Self {
            ptr,
            len,
            context,
            numbers: PhantomData,
        }
    }

    /// Numbers in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it.
    pub fn view(&self) -> View<'_, T> {
        View {
            ptr: self.ptr,
            len: self.len,
            buffer: PhantomData,
        }
    }
}

impl<T> Drop for Buffer<T> {
    #[allow(unsafe_code, reason = "frees what was allocated")]
    fn drop(&mut self) {
        if self.ptr != 0 && self.context.bind_to_thread().is_ok() {
            // SAFETY: `Device` allocated it with `malloc_sync`, and only this owns it. A fault here shows again at the next call.
            let _ = unsafe { result::free_sync(self.ptr) };
        }
    }
}

/// A range of a [`Buffer`]. Kernels may write through it: what order means among them is the stream's order.
#[derive(Debug)]
pub struct View<'a, T> {
    ptr: u64,
    len: usize,
    buffer: PhantomData<&'a T>,
}

impl<T> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for View<'_, T> {}

impl<'a, T: Plain> View<'a, T> {
    /// Nothing, for an argument that a kernel does not read: its address is null.
    pub fn none() -> Self {
        Self {
            ptr: 0,
            len: 0,
            buffer: PhantomData,
        }
    }

    /// The device address.
    pub fn ptr(self) -> u64 {
        self.ptr
    }

    /// Numbers in it.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The part from `start` on with `len` numbers.
    ///
    /// # Panics
    /// If it is not within this view.
    pub fn slice(self, start: usize, len: usize) -> View<'a, T> {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len),
            "{start} + {len} exceeds a view of {}",
            self.len
        );
        View {
            ptr: self.ptr + (start * size_of::<T>()) as u64,
            len,
            buffer: PhantomData,
        }
    }

    /// The same bytes as other numbers.
    ///
    /// # Panics
    /// If they do not fit or are not aligned.
    pub fn cast<U: Plain>(self) -> View<'a, U> {
        let bytes = self.len * size_of::<T>();
        assert!(
            bytes.is_multiple_of(size_of::<U>()) && self.ptr.is_multiple_of(align_of::<U>() as u64),
            "a view of {bytes} bytes does not hold whole numbers of another type"
        );
        View {
            ptr: self.ptr,
            len: bytes / size_of::<U>(),
            buffer: PhantomData,
        }
    }
}
