//! Where in a row the attention heads are.

/// Neighbouring heads in each row of a row-major slice.
#[derive(Clone, Copy, Debug)]
pub struct HeadColumns {
    /// Numbers in a row.
    pub row_len: usize,
    /// The column where the first head begins.
    pub first: usize,
    /// How many heads.
    pub num_heads: usize,
    /// Numbers in a head.
    pub head_len: usize,
}

impl HeadColumns {
    /// The heads of one row, one after the other. Panics if they are not inside the row.
    pub(crate) fn of<'a>(&self, row: &'a mut [f32]) -> std::slice::ChunksExactMut<'a, f32> {
        row[self.first..][..self.num_heads * self.head_len].chunks_exact_mut(self.head_len)
    }
}
