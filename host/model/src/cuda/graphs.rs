//! The decode batch as CUDA graphs, one for each of a few shapes.

use std::collections::{BTreeMap, btree_map::Entry};

use kernels::cuda::{CudaError, Graph};

/// What a graph is fixed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    /// Rows; those beyond the batch's are padding.
    pub(super) num_rows: usize,
    /// Parts that the longest sequence may be split into by attention.
    pub(super) num_chunks: usize,
    /// Whether tokens are chosen in it: not where masks may still be on their way.
    pub(super) chooses: bool,
}

/// Graphs by their shape, recorded when they are first needed.
#[derive(Default)]
pub(super) struct Graphs(BTreeMap<Shape, Graph>);

impl Graphs {
    /// Launches the graph of this shape, recording `work` first if there is none.
    pub(super) fn launch(
        &mut self,
        shape: Shape,
        record: impl FnOnce() -> Result<Graph, CudaError>,
    ) -> Result<(), CudaError> {
        let graph = match self.0.entry(shape) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(record()?),
        };
        graph.launch()
    }

    /// Forgets all: what they read from has moved.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The rows of the graph that computes `num_rows`: every number that matters for speed, few enough to record.
pub(super) fn bucket(num_rows: usize) -> usize {
    let step = match num_rows {
        0..=4 => 1,
        5..=16 => 2,
        17..=32 => 4,
        33..=64 => 8,
        65..=128 => 16,
        _ => 32,
    };
    num_rows.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_rows_and_is_its_own_bucket() {
        for num_rows in 1..=1024 {
            let bucket = bucket(num_rows);
            assert!(bucket >= num_rows && bucket <= num_rows + 31);
            assert_eq!(super::bucket(bucket), bucket);
            // What is narrow stays narrow.
            assert!(num_rows > 64 || bucket <= 64);
        }
    }
}
