//! One function, and how its versions change. Each change makes a new value or says why not.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    deployments::Quota,
    error::DeployError,
    name::FunctionName,
    route::Route,
    traffic::{Canary, Live, Percent},
    version::{Version, VersionNumber},
};

/// A name, a route, and the versions that were deployed under them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Function {
    name: FunctionName,
    route: Route,
    live: Live,
    versions: BTreeMap<VersionNumber, Version>,
}

/// How much of the traffic a new version gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// All of it: the version becomes the stable one.
    Full,
    /// A share, until `promote` or `rollback`.
    Canary(Percent),
}

impl Function {
    /// What it is called.
    pub fn name(&self) -> &FunctionName {
        &self.name
    }

    /// Where it answers.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Where its traffic goes.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The versions that are kept. All live ones are among them.
    pub fn versions(&self) -> &BTreeMap<VersionNumber, Version> {
        &self.versions
    }

    /// The version that takes the request with this number, as [`Live::choose`] says.
    pub fn choose(&self, ticket: u64) -> (VersionNumber, &Version) {
        let number = self.live.choose(ticket);
        (number, &self.versions[&number])
    }

    /// The number that was given last. The newest version is always kept, so it is the highest.
    pub(crate) fn last(&self) -> Option<VersionNumber> {
        self.versions.keys().next_back().copied()
    }

    /// A function with its first version.
    pub(crate) fn new(
        name: FunctionName,
        route: Route,
        number: VersionNumber,
        version: Version,
    ) -> Function {
        Function {
            name,
            route,
            live: Live::full(number, None),
            versions: BTreeMap::from([(number, version)]),
        }
    }

    /// With one more version.
    pub(crate) fn deploy(
        &self,
        route: &Route,
        number: VersionNumber,
        version: Version,
        how: Rollout,
        quota: &Quota,
    ) -> Result<Function, DeployError> {
        let live = match how {
            Rollout::Full => Live::full(number, Some(self.live.stable)),
            Rollout::Canary(percent) if self.route == *route => Live {
                canary: Some(Canary {
                    version: number,
                    percent,
                }),
                ..self.live
            },
            Rollout::Canary(_) => {
                return Err(DeployError::CanaryMoves {
                    name: self.name.clone(),
                    from: self.route.clone(),
                    to: route.clone(),
                });
            }
        };
        let mut function = self.clone();
        function.route = route.clone();
        function.versions.insert(number, version);
        Ok(function.with(live, quota))
    }

    /// With the canary as the stable version.
    pub(crate) fn promote(&self, quota: &Quota) -> Result<Function, DeployError> {
        let canary = self.live.canary;
        let canary = canary.ok_or_else(|| DeployError::NoCanary(self.name.clone()))?;
        let live = Live::full(canary.version, Some(self.live.stable));
        Ok(self.clone().with(live, quota))
    }

    /// Without the canary, or else with the previous version as the stable one.
    pub(crate) fn rollback(&self, quota: &Quota) -> Result<Function, DeployError> {
        let live = match (self.live.canary, self.live.previous) {
            (Some(_), previous) => Live::full(self.live.stable, previous),
            (None, Some(previous)) => Live::full(previous, None),
            (None, None) => return Err(DeployError::NothingBefore(self.name.clone())),
        };
        Ok(self.clone().with(live, quota))
    }

    /// With this traffic, and without the versions that are neither live nor among the newest.
    fn with(mut self, live: Live, quota: &Quota) -> Function {
        let newest = self.versions.keys().rev().take(quota.max_versions.get());
        let kept: BTreeSet<_> = newest.copied().chain(live.versions()).collect();
        self.versions.retain(|number, _| kept.contains(number));
        self.live = live;
        self
    }
}

/// A function as it was read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    name: FunctionName,
    route: Route,
    live: Live,
    versions: BTreeMap<VersionNumber, Version>,
}

impl TryFrom<Unchecked> for Function {
    type Error = String;

    fn try_from(read: Unchecked) -> Result<Function, String> {
        let Unchecked {
            name,
            route,
            live,
            versions,
        } = read;
        let numbers: Vec<_> = live.versions().collect();
        if let Some(lost) = numbers.iter().find(|n| !versions.contains_key(n)) {
            return Err(format!(
                "version {lost} of `{name}` is live and not among its versions"
            ));
        }
        if numbers.iter().collect::<BTreeSet<_>>().len() < numbers.len() {
            return Err(format!("a version of `{name}` is live in two ways"));
        }
        Ok(Function {
            name,
            route,
            live,
            versions,
        })
    }
}
