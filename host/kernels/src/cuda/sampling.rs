//! Choosing tokens on the device, each row by its own settings: only ids, and the logprobs that were asked for, come back.
//!
//! The terms and their order are vLLM's: mask and banned stop tokens, bias, penalties, temperature, top-k, top-p, min-p. The
//! random number of a token is a function of its row's seed and position, and nothing else.

use super::{Buffer, CudaError, Device, Dispatch, Plain, View};

mod timing;

pub use timing::time;

/// The most alternatives that are reported per token.
pub const MAX_LOGPROBS: usize = 20;

/// The largest vocabulary that the kernels can take.
pub const MAX_VOCAB_LEN: usize = MAX_STRIPS * STRIP;

/// Chosen: no logit is left, or the row is padding. The slot's last token stays what it was.
pub const NOTHING_LEFT: i32 = -1;
/// Chosen: the row is [`UNDECIDED`](SampleRow::UNDECIDED). Nothing of the slot changes.
pub const NO_MASK_YET: i32 = -2;
/// Chosen: the row [`CONTINUES`](SampleRow::CONTINUES) a draft that was not guessed. Nothing of the slot changes.
pub const NOT_REACHED: i32 = -3;

/// Tokens that one warp scans.
const STRIP: usize = 512;
const SCAN_WARPS: usize = 8;
const MAX_STRIPS: usize = 1024;
const CHOOSE_THREADS: u32 = 1024;
const COUNT_THREADS: usize = 256;

/// How one row of logits becomes a token. Lies on the device as it is here.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRow {
    /// Key of the random numbers.
    pub seed: u64,
    /// The token's place in its sequence, counted from the sequence's first token.
    pub position: u64,
    /// Where the sequence's state is; negative: the row is padding and chooses nothing.
    pub slot: i32,
    /// Which row of the logits.
    pub logits_row: u32,
    /// [`PENALTIES`](Self::PENALTIES) and the others, or-ed.
    pub flags: u32,
    /// The token that was guessed to come here, or -1. Rows that continue this one choose only if it does. With
    /// [`SCORES`](Self::SCORES): the token that did come.
    pub draft: i32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus probability mass in (0, 1]; 1 is off.
    pub top_p: f32,
    /// Least probability relative to the likeliest token, in [0, 1]; 0 is off.
    pub min_p: f32,
    /// How many of the likeliest tokens stay; 0 is off.
    pub top_k: u32,
    /// Divides the positive and multiplies the negative logits of tokens in prompt or output; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens in the output.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit once for each time that it is in the output.
    pub frequency_penalty: f32,
    /// How many of the likeliest tokens are reported, at most [`MAX_LOGPROBS`]; 0: only the chosen one's probability; -1: none.
    pub num_logprobs: i32,
    /// Range of [`SampleInputs::bias_tokens`] and `bias_values`. A token may be there once.
    pub bias_start: u32,
    /// Its length.
    pub bias_len: u32,
    /// Range of [`SampleInputs::stop_tokens`], read with [`BAN_STOPS`](Self::BAN_STOPS).
    pub stop_start: u32,
    /// Its length.
    pub stop_len: u32,
    /// Range of [`SampleInputs::mask_words`], read with [`MASKED`](Self::MASKED): bit `t % 32` of word `t / 32` says whether
    /// token `t` may be chosen; tokens beyond the last word may not.
    pub mask_start: u32,
    /// Its length.
    pub mask_len: u32,
}

// SAFETY: numbers of 8 bytes, then an even count of numbers of 4: no padding, and every bit pattern is a value.
#[allow(unsafe_code, reason = "a promise about bits")]
unsafe impl Plain for SampleRow {}
const _: () = assert!(size_of::<SampleRow>() == 88, "the kernel's layout");

impl SampleRow {
    /// The penalties apply, and the slot's occurrences are kept up.
    pub const PENALTIES: u32 = 1;
    /// Only tokens of the mask may be chosen.
    pub const MASKED: u32 = 2;
    /// There is a mask but it has not come: nothing is chosen.
    pub const UNDECIDED: u32 = 4;
    /// The stop tokens may not be chosen, unless the mask leaves nothing else.
    pub const BAN_STOPS: u32 = 8;
    /// The row chooses only if the slot's row before it chose its draft.
    pub const CONTINUES: u32 = 16;
    /// The row chooses nothing: its `draft` is given, "chosen" too, and only how likely it was is wanted. Nothing of the slot changes, so
    /// any number of such rows may have the same.
    pub const SCORES: u32 = 32;

    /// A row without a sequence, which fills a launch up.
    pub fn padding() -> Self {
        Self::greedy(-1, 0)
    }

    /// The likeliest token of a row of logits.
    pub fn greedy(slot: i32, logits_row: u32) -> Self {
        Self {
            seed: 0,
            position: 0,
            slot,
            logits_row,
            flags: 0,
            draft: -1,
            temperature: 0.0,
            top_p: 1.0,
            min_p: 0.0,
            top_k: 0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            num_logprobs: -1,
            bias_start: 0,
            bias_len: 0,
            stop_start: 0,
            stop_len: 0,
            mask_start: 0,
            mask_len: 0,
        }
    }
}

/// How likely tokens were, as natural logarithms under the model's own distribution; -9999 stands for less.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowLogprobs {
    /// The chosen token's.
    pub chosen: f32,
    /// The likeliest tokens, likeliest first, as many as the row asked for; -1 where there are no more.
    pub top_ids: [i32; MAX_LOGPROBS],
    /// Theirs.
    pub top: [f32; MAX_LOGPROBS],
}

// SAFETY: numbers of 4 bytes.
#[allow(unsafe_code, reason = "a promise about bits")]
unsafe impl Plain for RowLogprobs {}

/// What one launch reads. All of it may change between the launches of a graph, except where it is and how much there is.
#[derive(Clone, Copy)]
pub struct SampleInputs<'a> {
    /// Rows of the vocabulary's length.
    pub logits: View<'a, f32>,
    /// One row for each token to choose. Two rows of one launch may not have the same slot, unless they only score.
    pub rows: View<'a, SampleRow>,
    /// Side arrays that the rows' ranges are of. What a range has beyond the end is left out.
    pub bias_tokens: View<'a, u32>,
    /// As long as `bias_tokens`.
    pub bias_values: View<'a, f32>,
    /// Stop tokens.
    pub stop_tokens: View<'a, u32>,
    /// Words of masks.
    pub mask_words: View<'a, u32>,
}

/// Chooses tokens and keeps what choosing needs to know of the running sequences.
pub struct Sampler {
    vocab_len: usize,
    stride: usize,
    num_strips: usize,
    max_rows: usize,
    max_slots: usize,
    shaped: Buffer<f32>,
    best: Buffer<u64>,
    raw_best: Buffer<u64>,
    raw_sum: Buffer<f32>,
    weights: Buffer<u64>,
    occurrences: Buffer<u16>,
    last_token: Buffer<i32>,
    alive: Buffer<i32>,
    chosen: Buffer<i32>,
    logprobs: Buffer<RowLogprobs>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SamplingArgs {
    logits: u64,
    rows: u64,
    bias_tokens: u64,
    bias_values: u64,
    stop_tokens: u64,
    mask_words: u64,
    shaped: u64,
    best: u64,
    raw_best: u64,
    raw_sum: u64,
    weights: u64,
    occurrences: u64,
    last_token: u64,
    alive: u64,
    chosen: u64,
    logprobs: u64,
    vocab_len: u32,
    stride: u32,
    num_strips: u32,
    num_logits_rows: u32,
    max_slots: u32,
    num_bias: u32,
    num_stops: u32,
    num_mask_words: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CountArgs {
    occurrences: u64,
    prompt: u64,
    output: u64,
    prompt_len: u32,
    output_len: u32,
    vocab_len: u32,
}

impl Sampler {
    /// For at most `max_rows` rows a launch and sequences in slots below `max_slots`.
    ///
    /// # Panics
    /// If the vocabulary is empty or longer than [`MAX_VOCAB_LEN`].
    pub fn new(
        device: &Device,
        max_rows: usize,
        vocab_len: usize,
        max_slots: usize,
    ) -> Result<Self, CudaError> {
        assert!(
            (1..=MAX_VOCAB_LEN).contains(&vocab_len),
            "a vocabulary of {vocab_len} tokens; the kernels take 1 to {MAX_VOCAB_LEN}"
        );
        let (stride, num_strips) = (stride(vocab_len), vocab_len.div_ceil(STRIP));
        let strips = max_rows * num_strips;
        Ok(Self {
            vocab_len,
            stride,
            num_strips,
            max_rows,
            max_slots,
            shaped: device.zeros("shaped logits", max_rows * stride)?,
            best: device.zeros("likeliest tokens", strips)?,
            raw_best: device.zeros("likeliest tokens", strips)?,
            raw_sum: device.zeros("sums of probabilities", strips)?,
            weights: device.zeros("sums of weights", strips)?,
            occurrences: device.zeros("occurrences of tokens", max_slots * stride)?,
            last_token: device.zeros("last tokens", max_slots)?,
            alive: device.zeros("states of drafts", max_slots)?,
            chosen: device.zeros("chosen tokens", max_rows)?,
            logprobs: device.zeros("logprobs", max_rows)?,
        })
    }

    /// What [`new`](Self::new) allocates.
    pub fn byte_len(max_rows: usize, vocab_len: usize, max_slots: usize) -> usize {
        let (stride, num_strips) = (stride(vocab_len), vocab_len.div_ceil(STRIP));
        let strip = 3 * size_of::<u64>() + size_of::<f32>();
        let row = stride * size_of::<f32>()
            + num_strips * strip
            + size_of::<i32>()
            + size_of::<RowLogprobs>();
        let slot = stride * size_of::<u16>() + 2 * size_of::<i32>();
        max_rows * row + max_slots * slot
    }

    /// Chooses a token for each row: the id goes to [`chosen`](Self::chosen), from `first_output` on, and to the slot's
    /// [`last_token`](Self::last_token).
    ///
    /// # Panics
    /// If there are no rows, or more than there is room for, or arrays do not fit together.
    #[allow(unsafe_code, reason = "launches a kernel")]
    pub fn launch(
        &self,
        device: &Device,
        inputs: &SampleInputs<'_>,
        first_output: usize,
    ) -> Result<(), CudaError> {
        let num_rows = inputs.rows.len();
        assert!(
            num_rows > 0 && first_output + num_rows <= self.max_rows,
            "rows {first_output} to {} of {}",
            first_output + num_rows,
            self.max_rows
        );
        assert!(
            inputs.logits.len().is_multiple_of(self.vocab_len),
            "{} logits are not whole rows of {}",
            inputs.logits.len(),
            self.vocab_len
        );
        assert_eq!(
            inputs.bias_tokens.len(),
            inputs.bias_values.len(),
            "a value for each biased token"
        );
        let args = SamplingArgs {
            logits: inputs.logits.ptr(),
            rows: inputs.rows.ptr(),
            bias_tokens: inputs.bias_tokens.ptr(),
            bias_values: inputs.bias_values.ptr(),
            stop_tokens: inputs.stop_tokens.ptr(),
            mask_words: inputs.mask_words.ptr(),
            shaped: self.shaped.view().ptr(),
            best: self.best.view().ptr(),
            raw_best: self.raw_best.view().ptr(),
            raw_sum: self.raw_sum.view().ptr(),
            weights: self.weights.view().ptr(),
            occurrences: self.occurrences.view().ptr(),
            last_token: self.last_token.view().ptr(),
            alive: self.alive.view().ptr(),
            chosen: self.chosen.view().slice(first_output, num_rows).ptr(),
            logprobs: self.logprobs.view().slice(first_output, num_rows).ptr(),
            vocab_len: self.vocab_len as u32,
            stride: self.stride as u32,
            num_strips: self.num_strips as u32,
            num_logits_rows: (inputs.logits.len() / self.vocab_len) as u32,
            max_slots: self.max_slots as u32,
            num_bias: inputs.bias_tokens.len() as u32,
            num_stops: inputs.stop_tokens.len() as u32,
            num_mask_words: inputs.mask_words.len() as u32,
        };
        let scan = Dispatch {
            grid: [
                self.num_strips.div_ceil(SCAN_WARPS) as u32,
                num_rows as u32,
                1,
            ],
            threads: 32 * SCAN_WARPS as u32,
            shared_bytes: 0,
            overlaps: true,
        };
        let choose = Dispatch {
            grid: [num_rows as u32, 1, 1],
            threads: CHOOSE_THREADS,
            shared_bytes: 0,
            overlaps: true,
        };
        // SAFETY: the structs mirror each other; our own buffers hold `max_rows` rows and `max_slots` slots; what rows say of
        // slots, logits and side arrays is checked against the lengths given here, and tokens against the vocabulary.
        unsafe {
            device.launch(&device.kernel("sampling", "sampling_scan")?, scan, &args)?;
            device.launch(
                &device.kernel("sampling", "sampling_choose")?,
                choose,
                &args,
            )
        }
    }

    /// Forgets what the slot's last sequence said. For sequences with penalties, before [`count`](Self::count).
    pub fn reset(&self, device: &Device, slot: usize) -> Result<(), CudaError> {
        device.fill(self.occurrences_of(slot), 0)
    }

    /// Counts tokens that the slot's sequence has: those of its prompt and, if it was preempted, of its output.
    #[allow(unsafe_code, reason = "launches a kernel")]
    pub fn count(
        &self,
        device: &Device,
        slot: usize,
        prompt: View<'_, u32>,
        output: View<'_, u32>,
    ) -> Result<(), CudaError> {
        let len = prompt.len() + output.len();
        if len == 0 {
            return Ok(());
        }
        let args = CountArgs {
            occurrences: self.occurrences_of(slot).ptr(),
            prompt: prompt.ptr(),
            output: output.ptr(),
            prompt_len: prompt.len() as u32,
            output_len: output.len() as u32,
            vocab_len: self.vocab_len as u32,
        };
        let dispatch = Dispatch {
            grid: [len.div_ceil(COUNT_THREADS) as u32, 1, 1],
            threads: COUNT_THREADS as u32,
            shared_bytes: 0,
            overlaps: true,
        };
        // SAFETY: the structs mirror each other, the lengths are the views' own, and tokens are checked against the vocabulary.
        unsafe {
            device.launch(
                &device.kernel("sampling", "sampling_count")?,
                dispatch,
                &args,
            )
        }
    }

    /// The token that each slot chose last; -1 is never there. Prefill and admission may write it.
    pub fn last_token(&self) -> View<'_, i32> {
        self.last_token.view()
    }

    /// What each row chose: an id or one of the negative constants of this module.
    pub fn chosen(&self) -> View<'_, i32> {
        self.chosen.view()
    }

    /// Of the rows that asked for them and chose a token; others keep what was there.
    pub fn logprobs(&self) -> View<'_, RowLogprobs> {
        self.logprobs.view()
    }

    /// How often each token is in the slot's sequence: bit 15 says whether in its prompt, the rest counts in its output.
    pub fn occurrences(&self, slot: usize) -> View<'_, u16> {
        self.occurrences_of(slot).slice(0, self.vocab_len)
    }

    fn occurrences_of(&self, slot: usize) -> View<'_, u16> {
        let all = self.occurrences.view();
        all.slice(slot * self.stride, self.stride)
    }
}

/// Rows of our own begin where four numbers can be loaded at once.
fn stride(vocab_len: usize) -> usize {
    vocab_len.next_multiple_of(4)
}
