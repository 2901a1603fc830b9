//! An output slice that several threads fill, each its own part.
#![allow(
    unsafe_code,
    reason = "threads write disjoint columns of one row-major output, which no safe split can express"
)]

use std::marker::PhantomData;

/// A `&mut [T]` lent to all threads of a parallel region.
pub(crate) struct SharedOut<'a, T> {
    start: *mut T,
    len: usize,
    lent: PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only used by `part`, whose caller promises that no element is in two parts at once; handing an
// element to another thread needs `T: Send`.
unsafe impl<T: Send> Sync for SharedOut<'_, T> {}

impl<'a, T> SharedOut<'a, T> {
    pub(crate) fn new(out: &'a mut [T]) -> Self {
        Self {
            start: out.as_mut_ptr(),
            len: out.len(),
            lent: PhantomData,
        }
    }

    /// The `len` elements from `offset` on. Panics if they are not all inside.
    ///
    /// # Safety
    /// No element of the part may be in another part that is alive at the same time.
    #[allow(clippy::mut_from_ref, reason = "exclusiveness is the caller's promise")]
    pub(crate) unsafe fn part(&self, offset: usize, len: usize) -> &mut [T] {
        assert!(
            offset <= self.len && len <= self.len - offset,
            "part {offset}+{len} of {}",
            self.len
        );
        // SAFETY: inside the slice by the assertion, lent for 'a, and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }
}
