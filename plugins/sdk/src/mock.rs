//! The host's place in unit tests: what the modules of the host's interfaces read and write, and calls of functions. Native
//! targets only. All of it belongs to the calling thread, so tests that run side by side do not meet.

mod call;
pub(crate) mod fetch;
pub(crate) mod function;
pub(crate) mod model;
pub(crate) mod store;
mod time;

use std::cell::{Cell, RefCell};

pub use call::{Answer, Ending, Request, call};
pub use fetch::set_fetch;
pub use model::{
    refuse_generations, set_answer, set_answer_text, set_embedding, set_models, take_generations,
};
pub use store::set_quota;
pub use time::{advance, set_time};
pub(crate) use time::{monotonic, now};

use crate::log::Level;

thread_local! {
    static CONFIG: RefCell<String> = RefCell::new("{}".to_owned());
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Puts everything back as a thread finds it at first: no settings, an empty log and store, the year 1970, a model called
/// `mock-model` that answers nothing. For threads that run several tests.
pub fn reset() {
    set_config("{}");
    take_log();
    set_seed(0);
    time::reset();
    store::reset();
    model::reset();
    fetch::reset();
}

/// Sets the JSON text that `config::read` parses from now on. It is `{}` at first.
pub fn set_config(json: impl Into<String>) {
    CONFIG.set(json.into());
}

/// Takes the lines that were logged since the last call.
pub fn take_log() -> Vec<(Level, String)> {
    LOG.take()
}

/// Sets where the sequence of `random`'s bytes begins. It is 0 at first.
pub fn set_seed(seed: u64) {
    SEED.set(seed);
}

pub(crate) fn config() -> String {
    CONFIG.with_borrow(Clone::clone)
}

pub(crate) fn write_log(level: Level, line: &str) {
    LOG.with_borrow_mut(|log| log.push((level, line.to_owned())));
}

/// SplitMix64 over a counter: different bytes at each call, the same in each run.
pub(crate) fn random_bytes(len: u32) -> Vec<u8> {
    let words = std::iter::from_fn(|| {
        let seed = SEED.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        SEED.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((mixed ^ (mixed >> 31)).to_le_bytes())
    });
    words.flatten().take(len as usize).collect()
}
