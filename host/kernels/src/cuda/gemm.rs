//! To come.

use half::bf16;

use super::View;

/// A matrix of `num_rows` outputs and `num_cols` inputs, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    /// `[num_rows][num_cols]`
    pub view: View<'a, bf16>,
    /// N
    pub num_rows: usize,
    /// K
    pub num_cols: usize,
}
