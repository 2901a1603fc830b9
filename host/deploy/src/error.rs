//! Why a change of what is deployed was refused.

use crate::{
    name::{FunctionName, NotAName},
    route::{NotARoute, Reserved, Route},
    traffic::NotAPercent,
};

/// A change was refused, and nothing was changed. Each is the client's to mend, except for quotas, which are the operator's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DeployError {
    /// The name cannot be a function's.
    #[error(transparent)]
    Name(#[from] NotAName),
    /// The route cannot be a function's.
    #[error(transparent)]
    Route(#[from] NotARoute),
    /// The share cannot be a canary's.
    #[error(transparent)]
    Percent(#[from] NotAPercent),
    /// The server answers the route itself.
    #[error(transparent)]
    Reserved(#[from] Reserved),
    /// No function has this name.
    #[error("there is no function `{name}`; {}", list(known))]
    UnknownFunction {
        /// The name that was asked for.
        name: FunctionName,
        /// The functions that there are.
        known: Vec<FunctionName>,
    },
    /// Another function has this route.
    #[error(
        "the route {route} is taken by function `{by}`: choose another route, or remove `{by}` first"
    )]
    RouteTaken {
        /// The route that was asked for.
        route: Route,
        /// The function that has it.
        by: FunctionName,
    },
    /// A canary of a function that is not there yet.
    #[error(
        "function `{0}` is new and has no stable version to try a canary against: deploy it in full"
    )]
    NothingStable(FunctionName),
    /// A canary at another route than its function's.
    #[error(
        "a canary shares its function's route: `{name}` has {from}, not {to}; leave the route, or deploy in full to move it"
    )]
    CanaryMoves {
        /// The function.
        name: FunctionName,
        /// Its route.
        from: Route,
        /// The route that was asked for.
        to: Route,
    },
    /// There is no canary to promote.
    #[error("function `{0}` has no canary to promote: deploy one first")]
    NoCanary(FunctionName),
    /// There is nothing to roll back to.
    #[error(
        "function `{0}` has neither a canary nor a previous version to go back to: deploy the version that you want"
    )]
    NothingBefore(FunctionName),
    /// The quota of functions is used up.
    #[error(
        "function `{name}` would be one more than the {max} that this server keeps: remove one, or have the operator raise the limit"
    )]
    TooManyFunctions {
        /// The function that was to be added.
        name: FunctionName,
        /// The quota.
        max: usize,
    },
    /// The name had the highest version number.
    #[error("function `{0}` has used up its version numbers: deploy under another name")]
    NumbersUsedUp(FunctionName),
}

fn list(known: &[FunctionName]) -> String {
    let names: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    match names[..] {
        [] => "none is deployed".into(),
        _ => format!("deployed are {}", names.join(", ")),
    }
}
