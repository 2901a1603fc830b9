//! Pulling from and pushing to a real registry on loopback.

mod contents;
mod failures;
mod support;
