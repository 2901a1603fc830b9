//! The rules of deploying, and that the disk keeps them.

mod crash;
mod model;
mod rules;
mod store;
mod support;
