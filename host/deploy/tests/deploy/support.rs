//! Values that tests deploy.

use std::{collections::BTreeSet, num::NonZeroUsize};

use artifact::Digest;
use deploy::{
    Access, DeployError, Deployments, FunctionName, Limits, Live, Quota, Rollout, Route, Store,
    StoreError, UnixMillis, Version, VersionNumber,
};

pub(crate) const QUOTA: Quota = Quota {
    max_functions: 3,
    max_versions: NonZeroUsize::new(2).unwrap(),
    max_bytes: 100,
};

/// What a server's changes fail with.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum Failed {
    Refused(#[from] DeployError),
    Store(#[from] StoreError),
}

pub(crate) fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

pub(crate) fn route(text: &str) -> Route {
    text.parse().unwrap()
}

pub(crate) fn number(number: u32) -> VersionNumber {
    number.try_into().unwrap()
}

pub(crate) fn canary(percent: u8) -> Rollout {
    Rollout::Canary(percent.try_into().unwrap())
}

/// A version of this component, without grants.
pub(crate) fn version(component: &[u8]) -> Version {
    Version {
        component: Digest::of(component),
        deployed: UnixMillis(1_795_000_000_000),
        access: Access::Key,
        capabilities: BTreeSet::new(),
        outgoing_hosts: BTreeSet::new(),
        config: serde_json::Map::new(),
        limits: Limits::default(),
        max_concurrency: None,
        max_queue: None,
    }
}

/// Deploys another version of `hello`.
pub(crate) fn hello(now: &Deployments, how: Rollout) -> Result<Deployments, DeployError> {
    now.deploy(&name("hello"), &route("/hello"), version(b""), how)
}

/// Commits a version of `hello`.
pub(crate) fn commit_hello(
    store: &mut Store,
    version: Version,
    how: Rollout,
) -> Result<(), Failed> {
    commit(store, |now| {
        now.deploy(&name("hello"), &route("/hello"), version, how)
    })
}

/// Commits a change.
pub(crate) fn commit(
    store: &mut Store,
    change: impl FnOnce(&Deployments) -> Result<Deployments, DeployError>,
) -> Result<(), Failed> {
    store
        .commit(|now| change(now).map_err(Failed::from))
        .map(drop)
}

/// Stable, canary and previous version of `hello`; 0 for none.
pub(crate) fn live(now: &Deployments) -> [u32; 3] {
    let Live {
        stable,
        canary,
        previous,
    } = now.function(&name("hello")).unwrap().live();
    let or_zero = |number: Option<VersionNumber>| number.map_or(0, VersionNumber::get);
    let canary = canary.map(|canary| canary.version);
    [stable.get(), or_zero(canary), or_zero(*previous)]
}
