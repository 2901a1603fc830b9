//! The primitives at which the engine's threads meet; under `--cfg loom` those that explore every interleaving.

#[cfg(loom)]
pub(crate) mod mpsc;

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Arc, Mutex, atomic},
    thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Arc, Mutex, atomic, mpsc},
    thread,
};
