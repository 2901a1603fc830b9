//! Choosing tokens on a GPU, against a plain reference. Run with `--ignored` where a GPU is.

mod bench;
mod choosing;
mod likelihoods;
mod reference;
mod safety;
mod slots;

/// Below one strip, a few strips with an odd end, the models' own, and one whose rows are not aligned.
const VOCAB_LENS: [usize; 5] = [50, 1000, 5001, 49_152, 151_936];
