//! The engine through its handle, on its own thread.

mod answers;
mod embeddings;
mod ending;
mod forms;
mod leaving;
mod refusals;
mod support;
