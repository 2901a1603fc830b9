//! An answer depends on its request and on nothing else, on real models: not on the cache, on chunks, batch mates,
//! preemptions, overlapped steps, guesses or threads. The tiny checkpoints run in every setting there is and must say what
//! the reference says; the demo model runs in each setting that differs from the plainest in one thing, and in a few that
//! differ in many.

#[path = "exactness/ask.rs"]
mod ask;
#[path = "exactness/bench.rs"]
mod bench;
#[path = "exactness/isolation.rs"]
mod isolation;
#[path = "exactness/lent.rs"]
mod lent;
#[path = "exactness/models.rs"]
mod models;
#[path = "exactness/prompts.rs"]
mod prompts;
#[path = "exactness/reuse.rs"]
mod reuse;
#[path = "exactness/setting.rs"]
mod setting;
#[path = "exactness/settings.rs"]
mod settings;
#[path = "exactness/vectors.rs"]
mod vectors;
