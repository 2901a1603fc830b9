#![doc = include_str!("../README.md")]

mod deployments;
mod error;
mod function;
mod name;
mod route;
mod routes;
mod state_file;
mod store;
mod traffic;
mod version;

pub use deployments::{Deployments, Quota};
pub use error::DeployError;
pub use function::{Function, Rollout};
pub use name::{FunctionName, NotAName};
pub use route::{NotARoute, Reserved, Route};
pub use routes::Routes;
pub use store::{Store, StoreError};
pub use traffic::{Canary, Live, NotAPercent, Percent};
pub use version::{Access, Limits, UnixMillis, Version, VersionNumber};
