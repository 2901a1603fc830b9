//! The sandbox against plugins that misbehave on demand (`plugins/hostile`) and components written for one test.

mod cache;
mod calls;
mod faults;
mod functions;
mod loading;
mod pool;
mod support;
