//! Looks for faster tilings of the skinny products where it counts: inside whole decode steps. A kernel's best tiling alone leaves
//! the next one no shared memory to begin in.

use kernels::cuda::{
    CudaError, Device, PAGE_LEN, View,
    decode_attention::chunks_bucket,
    elementwise::TokenSource,
    gemm::{Plan, Tiling},
};

use super::{
    forward::{DecodeRows, Forward, product_shapes},
    inputs::{Inputs, Words},
};

/// How many timed steps a tiling is judged by: the best counts, as noise only adds.
const NUM_STEPS: usize = 8;

/// Gains of less are noise.
const LEAST_GAIN: f32 = 0.002;

/// What was found for one number of rows.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// Sequences in a step.
    pub num_rows: usize,
    /// Tokens of each.
    pub context: usize,
    /// Milliseconds a step by the table's tilings.
    pub ms_before: f32,
    /// And by these.
    pub ms_after: f32,
    /// N, K, and the tiling that was best, of those that differ from the table's.
    pub better: Vec<(usize, usize, Tiling)>,
}

/// Tries all tilings, product by product, keeping each that makes the step faster.
pub(super) fn tune(
    device: &Device,
    forward: &mut Forward,
    num_rows: usize,
    context: usize,
) -> Result<Tuned, CudaError> {
    let mut step = Step::new(device, num_rows, context)?;
    let ms_before = step.time(device, forward)?;
    let mut ms_after = ms_before;
    let mut better = Vec::new();
    for (n, k) in product_shapes(&forward.weights.config) {
        let table = Plan::of(device.into(), num_rows, n, k);
        let mut best = None;
        for tiling in Tiling::candidates(num_rows) {
            let is_possible = Plan { tiling, ..table }.is_possible(device.into(), num_rows, n, k);
            if !is_possible || tiling == table.tiling {
                continue;
            }
            forward.gemm.prefer((n, k), Some(tiling));
            let ms = step.time(device, forward)?;
            if ms < ms_after * (1.0 - LEAST_GAIN) {
                (ms_after, best) = (ms, Some(tiling));
            }
        }
        forward.gemm.prefer((n, k), best);
        better.extend(best.map(|tiling| (n, k, tiling)));
    }
    for (n, k) in product_shapes(&forward.weights.config) {
        forward.gemm.prefer((n, k), None);
    }
    Ok(Tuned {
        num_rows,
        context,
        ms_before,
        ms_after,
        better,
    })
}

/// A decode step of sequences that each have pages of their own.
struct Step {
    inputs: Inputs,
    words: Words,
    num_rows: usize,
    context: usize,
}

impl Step {
    fn new(device: &Device, num_rows: usize, context: usize) -> Result<Self, CudaError> {
        Ok(Self {
            inputs: Inputs::new(device)?,
            words: Words::default(),
            num_rows,
            context,
        })
    }

    /// Milliseconds of the fastest replay.
    fn time(&mut self, device: &Device, forward: &Forward) -> Result<f32, CudaError> {
        let pages_per_row = self.context.div_ceil(PAGE_LEN);
        self.words.clear();
        let zeros = self.words.put_counts(std::iter::repeat_n(0, self.num_rows));
        let lens = self
            .words
            .put_counts(std::iter::repeat_n(self.context, self.num_rows));
        let pages = self.words.put_counts(0..self.num_rows * pages_per_row);
        let page_starts = self
            .words
            .put_counts((0..self.num_rows).map(|row| pages.start + row * pages_per_row));
        self.inputs.send(device, &self.words)?;
        let ids: View<'_, i32> = self.inputs.view(zeros);
        let tokens = TokenSource {
            ids,
            slots: ids,
            last_token: ids,
        };
        let rows = DecodeRows {
            len: self.inputs.view(lens),
            page_start: self.inputs.view(page_starts),
            pages: self.inputs.all(),
            num_chunks: chunks_bucket(self.context),
        };
        forward.decode(device, tokens, &rows)?;
        let mut graph = device.capture(|| forward.decode(device, tokens, &rows))?;
        let mut best = f32::INFINITY;
        for _ in 0..NUM_STEPS {
            let begin = device.timed_event()?;
            graph.launch()?;
            best = best.min(begin.elapsed_ms(&device.timed_event()?)?);
        }
        Ok(best)
    }
}
